"""A difference for people to read: without the text of a prompt, unless that is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from coo_middleware.core.contrast import Blank, Found, differing_place
from coo_middleware.core.document import canonical_json
from coo_middleware.core.explain import Verdict

if TYPE_CHECKING:
    from coo_middleware.core.explain import Difference

# Texts that say nothing of what a prompt says.
_PLAIN: Final = frozenset({"model", "stream", "request path", "request format", "request scope", "request normalize"})
_BEFORE: Final = 20
_MOST_SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class Shown:
    """A Difference whose values are told in words. `alike`: where both are texts, how many characters they begin with
    alike.
    """

    where: str
    verdict: Verdict
    is_order: bool
    a: str
    b: str
    alike: int | None


def show(difference: Difference, *, texts: bool) -> Shown:
    """The difference in words; a text only by its length unless `texts`, and then no more than some hundred characters
    round the first difference.
    """
    a, b = difference.a, difference.b
    alike = differing_place(a, b) if isinstance(a, str) and isinstance(b, str) else None
    is_told = texts or difference.where in _PLAIN
    ours, theirs = (_quote(value, alike or 0) if is_told else _describe(value) for value in (a, b))
    return Shown(difference.where, difference.verdict, difference.is_order, ours, theirs, alike)


def _describe(value: Found) -> str:
    if isinstance(value, str):
        return f"text of {len(value)} characters"
    if isinstance(value, list):
        return f"list of {len(value)}"
    if isinstance(value, dict):
        return f"object of {len(value)} members"
    return _quote(value, 0)


def _quote(value: Found, alike: int) -> str:
    """The value as JSON; of a long one a piece that begins a little before the first difference."""
    if isinstance(value, Blank):
        return value.value
    text = value if isinstance(value, str) else canonical_json(value, ordered=True).decode()
    start = max(0, alike - _BEFORE)
    piece = text[start : start + _MOST_SHOWN]
    told = canonical_json(piece).decode() if isinstance(value, str) else piece
    return "…" * (start > 0) + told + "…" * (start + _MOST_SHOWN < len(text))
