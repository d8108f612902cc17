"""OpenAI Embeddings."""

import base64
import hashlib
import struct

from example_app.dialects.answer import Answer, Document

DIMENSIONS = 8


def body(document: Document, answer: Answer) -> Document:
    """A list of embeddings, one for each input: numbers between -1 and 1 drawn from a digest of the input."""
    given = document.get("input")
    inputs = given if isinstance(given, list) else [given]
    encode = _base64 if document.get("encoding_format") == "base64" else list
    data = [
        {"object": "embedding", "index": index, "embedding": encode(_vector(str(item)))}
        for index, item in enumerate(inputs)
    ]
    counts = {"prompt_tokens": answer.input_tokens, "total_tokens": answer.input_tokens}
    return {"object": "list", "data": data, "model": document["model"], "usage": counts}


def _vector(text: str) -> tuple[float, ...]:
    return tuple(byte / 128 - 1 for byte in hashlib.sha256(text.encode()).digest()[:DIMENSIONS])


def _base64(vector: tuple[float, ...]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
