"""What schemathesis does not know by itself: a body of lines is text, whatever it holds, and is sent as it is."""
import schemathesis


@schemathesis.serializer("application/jsonl")
def lines(_, value):
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def filter_body(_, body):
    # An array in place of the text would be sent as the text of an array, which is a line like any other.
    return isinstance(body, (str, bytes))
