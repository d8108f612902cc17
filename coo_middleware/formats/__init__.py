"""The wire formats that are understood, and the paths that speak them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.formats.chat import CHAT
from coo_middleware.formats.completions import COMPLETIONS
from coo_middleware.formats.embeddings import EMBEDDINGS
from coo_middleware.formats.messages import MESSAGES
from coo_middleware.formats.responses import RESPONSES

if TYPE_CHECKING:
    from coo_middleware.core.format import Format

__all__ = ["FORMATS", "recognise"]

FORMATS: Final[tuple[Format, ...]] = (CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, MESSAGES)

# Mistral's fill-in-the-middle and agents end like completions and answer like chat.
_REFUSED: Final = ("/fim/completions", "/agents/completions")


def recognise(path: str) -> Format | None:
    """The format that a path speaks by its end, as whole segments, whatever it is mounted under; else None."""
    tails = _TAILS.get(path[path.rfind("/") + 1 :])
    if tails is None or "//" in path:
        return None
    return next((spoken for tail, spoken in tails if path.endswith(tail)), None)


def _by_segment() -> dict[str, list[tuple[str, Format | None]]]:
    """Tails by their last segment, the longest first."""
    known: list[tuple[str, Format | None]] = [(tail, spoken) for spoken in FORMATS for tail in spoken.tails]
    known += [(tail, None) for tail in _REFUSED]
    known.sort(key=lambda pair: -len(pair[0]))
    segments: dict[str, list[tuple[str, Format | None]]] = {}
    for tail, spoken in known:
        segments.setdefault(tail.rpartition("/")[2], []).append((tail, spoken))
    return segments


_TAILS: Final = _by_segment()
