"""Anthropic's text completions: the older format of one prompt and one text."""

import json

from coo_middleware.core.document import Document
from coo_middleware.core.outcome import Outcome
from coo_middleware.core.sse import SSEDecoder
from coo_middleware.formats import recognise
from coo_middleware.formats.complete import COMPLETE

PROMPT = "\n\nHuman: hi\r\n\n\nAssistant:"


def read(*pieces: Document) -> Outcome:
    reader = COMPLETE.read_stream()
    stream = "".join(f"event: {piece['type']}\r\ndata: {json.dumps(piece)}\r\n\r\n" for piece in pieces)
    for event in SSEDecoder(1 << 16).feed(stream.encode()):
        reader.feed(event)
    return reader.outcome()


def piece(text: str, reason: str | None = None) -> Document:
    return {"type": "completion", "id": "compl_1", "completion": text, "stop_reason": reason, "model": "m"}


def test_it_is_known_by_its_path() -> None:
    """The path ends in /v1/complete, and the document says whether it streams."""
    route = recognise("/proxy/v1/complete")

    assert route is not None
    assert (COMPLETE, "anthropic", None) == (route.format, route.provider, route.stream)
    assert recognise("/v1/xcomplete") is None


def test_a_stream_is_its_pieces() -> None:
    """It is whole at its stop reason, tells no usage, and pings may come anywhere."""
    whole = Outcome(True, None, ("stop_sequence",), error=False, sound=True, model="m")

    assert whole == read({"type": "ping"}, piece(" a"), {"type": "ping"}, piece("", "stop_sequence"), {"type": "ping"})
    assert not read(piece(" a"), {"type": "ping"}).whole
    assert read(piece(" a"), {"type": "error", "error": {"type": "overloaded_error"}}).error


def test_a_body_tells_all_at_once() -> None:
    """A body is whole by its stop reason."""
    expected = Outcome(True, None, ("max_tokens",), error=False, sound=True, model="m")

    assert expected == COMPLETE.read_body(piece(" a", "max_tokens"))


def test_a_prompts_outer_white_space_counts() -> None:
    """The prompt is raw: only its line ends and its composed characters are made equal."""
    document: Document = {"model": "m", "prompt": PROMPT}

    assert {"model": "m", "prompt": "\n\nHuman: hi\n\n\nAssistant:"} == COMPLETE.normalize(document, "text")
    assert document is COMPLETE.normalize(document, "strict")
    assert "" == COMPLETE.bypass(document)
