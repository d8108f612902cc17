"""What calls will take of limits, learned by provider, model and caller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cachetools import LRUCache

from coo_middleware.core.ceiling import find_ceiling
from coo_middleware.core.demand import Demand
from coo_middleware.core.document import read_json
from coo_middleware.core.estimate import texts_of_request
from coo_middleware.core.forecast import Experience, presume
from coo_middleware.estimator import estimate_usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from coo_middleware.core.document import Document, Json
    from coo_middleware.core.outcome import Usage
    from coo_middleware.core.plan import Plan

_MOST_NAMES: Final = 4096
_PER_CHARACTER: Final = 0.3
# How firmly that is believed.
_PRESUMED_TOKENS: Final = 600.0
# A caller with fewer calls is taken to be like all others.
_ENOUGH: Final = 10
# Other operations have no output that is counted in tokens.
_WRITING: Final = frozenset({"chat", "text_completion", "generate_content"})


@dataclass(frozen=True, slots=True)
class Foreseen:
    """One call in flight: what it will probably take, without its cost, and what `Forecasts.end` needs."""

    demand: Demand
    size: float
    begun: int
    every: Experience
    own: Experience


class Forecasts:
    """Forecasts calls; `count` counts the tokens of a text, None where they are reckoned from its length.

    Both ends of each call have to be told, so it is to be asked only where a limit counts tokens or cost: it parses
    the request.
    """

    def __init__(self, default_output_tokens: int, count: Callable[[str], int] | None) -> None:
        self._default: Final = default_output_tokens
        self._count: Final = count
        self._learned: Final[LRUCache[tuple[str, ...], Experience]] = LRUCache(_MOST_NAMES)

    def begin(self, plan: Plan) -> Foreseen:
        """Forecasts a call that begins now. The margins of calls to one model shrink as more of them are in flight."""
        every, own = self._find(plan.provider, plan.model), self._find(plan.provider, plan.model, plan.caller)
        document = read_json(plan.content) if plan.content else None
        request = document if isinstance(document, dict) else {}
        size, begun = self._measure(request), every.begun
        every.begun += 1
        every.in_flight += 1
        known = own if own.learned >= _ENOUGH else every
        inputs = known.foresee_input(size, every.in_flight)
        outputs = self._foresee_output(request, known, every.in_flight) if plan.format.operation in _WRITING else 0.0
        return Foreseen(Demand(1.0, inputs, outputs), size, begun, every, own)

    def end(self, foreseen: Foreseen, usage: Usage | None) -> None:
        """Ends a call, once, and learns what it took where that is known."""
        every = foreseen.every
        every.in_flight -= 1
        if usage is not None:
            for each in (every, foreseen.own):
                each.learn(foreseen.size, usage, every.begun - foreseen.begun)

    def _find(self, *name: str) -> Experience:
        found = self._learned.get(name)
        if found is None:
            per_unit = _PER_CHARACTER if self._count is None else 1.0
            found = self._learned[name] = Experience(presume(per_unit, _PRESUMED_TOKENS / per_unit))
        return found

    def _measure(self, request: Document) -> float:
        """Its tokens where they are counted, else its characters; what is given as tokens is as long as these are."""
        given = _count_given(request.get("input")) + _count_given(request.get("prompt"))
        if self._count is None:
            return sum(map(len, texts_of_request(request))) + given / _PER_CHARACTER
        usage = estimate_usage(self._count, request, ())
        return given + (usage.input_tokens or 0 if usage else 0)

    def _foresee_output(self, request: Document, known: Experience, in_flight: int) -> float:
        ceiling = find_ceiling(request)
        if not known.outputs.count:
            return self._default if ceiling is None else ceiling
        expected = known.outputs.expect(in_flight)
        return expected if ceiling is None else min(expected, ceiling)


def _count_given(value: Json) -> int:
    """The tokens in a list of them, or in a list of such lists."""
    if not isinstance(value, list):
        return 0
    return sum(len(each) if isinstance(each, list) else isinstance(each, int) for each in value)
