"""Frames of AWS's event stream, built as the specification lays them out."""

import json
import struct
from base64 import b64encode
from collections.abc import Iterable
from zlib import crc32

from coo_middleware.core.document import Document, Json

Header = tuple[str, int, bytes]


def string(name: str, value: str) -> Header:
    """A header of the type of texts."""
    return name, 7, struct.pack(">H", len(value.encode())) + value.encode()


def frame(payload: bytes, headers: Iterable[Header] = ()) -> bytes:
    """One frame; of a header is given the name, the type, and the value as it is sent."""
    section = b"".join(
        bytes([len(name.encode())]) + name.encode() + bytes([kind]) + value for name, kind, value in headers
    )
    prelude = struct.pack(">II", 16 + len(section) + len(payload), len(section))
    head = prelude + struct.pack(">I", crc32(prelude)) + section + payload
    return head + struct.pack(">I", crc32(head))


def event(name: str, document: Json) -> bytes:
    """A frame of an event."""
    kinds = string(":event-type", name), string(":content-type", "application/json"), string(":message-type", "event")
    return frame(json.dumps(document).encode(), kinds)


def failure(message_type: str, document: Json) -> bytes:
    """A frame that tells of a failure: an `exception`, which the model of the service knows, or an `error`."""
    name = string(":exception-type" if message_type == "exception" else ":error-code", "throttlingException")
    return frame(json.dumps(document).encode(), (name, string(":message-type", message_type)))


def chunk(piece: Document | str) -> bytes:
    """A frame of a native stream, with what a vendor sent in it."""
    text = piece if isinstance(piece, str) else json.dumps(piece)
    return event("chunk", {"bytes": b64encode(text.encode()).decode(), "p": "abc"})
