#!/usr/bin/env python3
"""Makes tests/vectors/cosignature/mldsa44.json with pyca/cryptography (48 or newer), which shares no code with this project.

    tests/oracle/mldsa_cosignature.py > tests/vectors/cosignature/mldsa44.json

The message is put together from the words of C2SP tlog-cosignature. Keys are from fixed seeds; signatures are randomized, so
each run makes others. With the name of a file of that form, verifies its lines instead.
"""
import base64
import hashlib
import json
import struct
import sys

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

TYPE = b"\x06"


def message(name, time, origin, size, root):
    short = lambda text: bytes([len(text.encode())]) + text.encode()
    return b"subtree/v1\n\0" + short(name) + struct.pack(">Q", time) + short(origin) + struct.pack(">QQ", 0, size) + root


def key_id(name, public):
    return hashlib.sha256(name.encode() + b"\n" + TYPE + public).digest()[:4]


def vector(seed, name, time, origin, size, extension=""):
    secret = MLDSA44PrivateKey.from_seed_bytes(bytes([seed]) * 32)
    public = secret.public_key().public_bytes_raw()
    root = hashlib.sha256(f"root {size}".encode()).digest() if size else hashlib.sha256(b"").digest()
    text = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n{extension}"
    signature = secret.sign(message(name, time, origin, size, root))
    secret.public_key().verify(signature, message(name, time, origin, size, root))
    line = base64.b64encode(key_id(name, public) + struct.pack(">Q", time) + signature).decode()
    vkey = f"{name}+{key_id(name, public).hex()}+{base64.b64encode(TYPE + public).decode()}"
    return {"seed": seed, "vkey": vkey, "text": text, "time": time, "line": f"\u2014 {name} {line}"}


def verify(found):
    name, _, key = found["vkey"].split("+", 2)
    public = base64.b64decode(key)[1:]
    line = base64.b64decode(found["line"].split(" ")[2])
    origin, size, root = found["text"].split("\n")[:3]
    time = struct.unpack(">Q", line[4:12])[0]
    assert line[:4] == key_id(name, public) and time == found["time"]
    MLDSA44PublicKey.from_public_bytes(public).verify(line[12:], message(name, time, origin, int(size), base64.b64decode(root)))


if len(sys.argv) == 2:
    for one in json.load(open(sys.argv[1], encoding="utf-8")):
        verify(one)
    print("all verify")
else:
    print(json.dumps([
        vector(1, "witness.example/pq", 1679315147, "example.com/behind-the-sofa", 20852163),
        vector(2, "oid/1.3.6.1.4.1.32473.1", 1, "журнал.example/77", 0),
        vector(3, "w" * 255, 2**63 - 1, "o" * 255, 2**63 - 1, "an extension line\n"),
    ], ensure_ascii=False, indent=1))
