"""What schemathesis does not know by itself: a body of lines is sent as it is."""
import schemathesis


@schemathesis.serializer("application/jsonl")
def lines(_, value):
    return value if isinstance(value, bytes) else str(value).encode()
