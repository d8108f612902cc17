"""Takes out of a stream, on its way to the client, what the client did not ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.sse import SSEDecoder

if TYPE_CHECKING:
    from coo_middleware.core.coding import Coding
    from coo_middleware.core.format import Strip

# What is stripped is called so wherever it stands.
_WORD: Final = b'"usage"'


class Rewriter:
    """Strips every event of a stream of server-sent events; a coded stream leaves it decoded."""

    __slots__ = ("_coding", "_decoder", "_limit", "_strip")

    def __init__(self, strip: Strip, coding: Coding, limit: int) -> None:
        self._strip: Final = strip
        self._coding: Final = coding
        self._limit: Final = limit
        self._decoder: Final = SSEDecoder(limit)

    @property
    def held(self) -> bytes:
        """What is kept back: the beginning of an event that has not ended."""
        return self._decoder.rest

    def rewrite(self, chunk: bytes, *, more: bool) -> bytes:
        """What the client gets of a chunk; an unfinished event waits for its end. Raises CodingError."""
        text = self._coding.decode(chunk, self._limit)
        if text.endswith(b"\n\n") and _WORD not in text and self._decoder.is_empty:
            # Whole events, as servers send them, with nothing in them to look for.
            return text
        events = self._decoder.feed(text)
        rest = b"" if more else self._decoder.take_rest()
        return b"".join(map(self._strip, events)) + rest
