"""One stored answer, two shapes: a stream or a body, with the usage that was asked for or without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from coo_middleware.core.document import read_json
from coo_middleware.core.sse import SSEDecoder

if TYPE_CHECKING:
    from coo_middleware.core.document import Document
    from coo_middleware.core.format import Format
    from coo_middleware.core.framing import Event


@dataclass(frozen=True, slots=True)
class Shape:
    """How an answer comes. `usage`: it is a stream that was asked to tell its usage (OpenAI's `include_usage`)."""

    stream: bool
    usage: bool = False


def wanted_shape(fmt: Format, document: Document, *, stream: bool) -> Shape:
    """The shape that a request asks for."""
    options = document.get("stream_options")
    told = isinstance(options, dict) and options.get("include_usage") is True
    return Shape(stream, usage=stream and told and fmt.strip is not None)


def render(fmt: Format, content: bytes, stored: Shape, wanted: Shape) -> bytes | None:
    """The content of a whole answer in the shape that is wanted: the very bytes where that is the stored one, None
    where it cannot be had without loss.
    """
    if stored == wanted:
        return content
    if stored.stream and wanted.stream:
        # Usage that was not asked for is nowhere to be found.
        return None if wanted.usage or fmt.strip is None else b"".join(map(fmt.strip, _split(content)))
    if fmt.rendering is None:
        return None
    if stored.stream:
        return fmt.rendering.body(_split(content))
    document = read_json(content)
    return fmt.rendering.stream(document, wanted.usage) if isinstance(document, dict) else None


def _split(content: bytes) -> list[Event]:
    return SSEDecoder(len(content)).feed(content)
