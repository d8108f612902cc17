"""The wire formats that are understood, and the paths that speak them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from coo_middleware.core.format import Route
from coo_middleware.formats.chat import CHAT
from coo_middleware.formats.cohere import COHERE
from coo_middleware.formats.cohere_embeddings import COHERE_EMBEDDINGS
from coo_middleware.formats.cohere_tasks import COHERE_CLASSIFY, COHERE_SUMMARIZE
from coo_middleware.formats.cohere_v1 import COHERE_GENERATE, COHERE_V1
from coo_middleware.formats.complete import COMPLETE
from coo_middleware.formats.completions import COMPLETIONS
from coo_middleware.formats.converse import CONVERSE
from coo_middleware.formats.decisions import DECISIONS
from coo_middleware.formats.embeddings import EMBEDDINGS
from coo_middleware.formats.gemini import GEMINI
from coo_middleware.formats.gemini_embeddings import GEMINI_EMBEDDINGS
from coo_middleware.formats.gemini_refused import GEMINI_REFUSED
from coo_middleware.formats.interactions import INTERACTIONS
from coo_middleware.formats.invoke import INVOKE
from coo_middleware.formats.messages import MESSAGES
from coo_middleware.formats.mistral import AGENTS, FIM, OCR
from coo_middleware.formats.moderations import MODERATIONS
from coo_middleware.formats.ollama import OLLAMA_CHAT, OLLAMA_GENERATE
from coo_middleware.formats.ollama_embeddings import OLLAMA_EMBEDDINGS
from coo_middleware.formats.refused import REFUSED
from coo_middleware.formats.rerank import RERANK
from coo_middleware.formats.responses import RESPONSES
from coo_middleware.formats.tgi import TGI

if TYPE_CHECKING:
    from coo_middleware.core.format import Format

__all__ = ["FORMATS", "recognise"]

FORMATS: Final[tuple[Format, ...]] = (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    RESPONSES,
    MESSAGES,
    GEMINI,
    GEMINI_EMBEDDINGS,
    INTERACTIONS,
    OLLAMA_CHAT,
    OLLAMA_GENERATE,
    OLLAMA_EMBEDDINGS,
    TGI,
    COMPLETE,
    CONVERSE,
    INVOKE,
    COHERE,
    COHERE_V1,
    COHERE_GENERATE,
    COHERE_EMBEDDINGS,
    COHERE_CLASSIFY,
    COHERE_SUMMARIZE,
    RERANK,
    MODERATIONS,
    DECISIONS,
    AGENTS,
    FIM,
    OCR,
    *REFUSED,
    *GEMINI_REFUSED,
)


def recognise(path: str) -> Route | None:
    """What a path says by its end, as whole segments, whatever it is mounted under; None where it speaks no format."""
    ends = _ENDS.get(_last_word(path))
    if ends is None or "//" in path:
        return None
    for head, pattern, route in ends:
        # Looking for a text is much faster than matching a pattern, and most of them do not fit.
        found = pattern.search(path) if head in path else None
        if found:
            return replace(route, model=found["model"]) if pattern.groups else route
    return None


def _last_word(path: str) -> str:
    """What follows the last slash, and the colon behind it where a verb stands there."""
    return path[max(path.rfind("/"), path.rfind(":")) + 1 :]


def _pattern(tail: str) -> re.Pattern[str]:
    escaped = re.escape(tail).replace(r"\*", "[^/]+").replace(r"\{model\}", "(?P<model>.+)")
    return re.compile(escaped + r"\Z")


def _by_last_word() -> dict[str, list[tuple[str, re.Pattern[str], Route]]]:
    """What paths end in, the longest first, by the last word: the text before what varies, the whole, what it says."""
    known = [(endpoint, fmt) for fmt in FORMATS for endpoint in fmt.endpoints]
    known.sort(key=lambda pair: -len(pair[0].tail))
    words: dict[str, list[tuple[str, re.Pattern[str], Route]]] = {}
    for end, fmt in known:
        route = Route(fmt, end.provider or fmt.provider, stream=end.stream, bypass=end.bypass)
        head = _WILD.split(end.tail, maxsplit=1)[0]
        words.setdefault(_last_word(end.tail), []).append((head, _pattern(end.tail), route))
    return words


_WILD: Final = re.compile(r"[*{]")
_ENDS: Final = _by_last_word()
