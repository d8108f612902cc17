"""Explains requests as the middleware with the same settings would treat them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from coo_middleware.core.explain import Explanation, ask, compare, explain, explain_untouched
from coo_middleware.core.judgement import Judgement, judge
from coo_middleware.core.naming import Naming
from coo_middleware.core.plan import Planner, Target
from coo_middleware.core.showing import Shown, show
from coo_middleware.core.trial import trial_policy
from coo_middleware.formats.router import Router

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.config import Policy
    from coo_middleware.core.dump import AnswerDump, AskedDump
    from coo_middleware.core.explain import Asked

# So many places say enough of two requests that have little in common.
MOST_SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class Report:
    """What is told of one request or two. `equal`: whether they have one key, None where there is nothing to compare.

    `differences` are the first of them, `left_off` says how many more there are. `answer` is what would become of the
    answer to `a`, None where none was given or the path is not known.
    """

    a: Explanation
    b: Explanation | None
    equal: bool | None
    differences: tuple[Shown, ...]
    left_off: int
    answer: Judgement | None

    @property
    def is_clear(self) -> bool:
        """Whether there is one key, and nothing against storing."""
        bypasses = (self.a.bypass, self.b and self.b.bypass, self.answer and self.answer.refusal)
        return not any(bypasses) and self.equal is not False


def open_planner(policy: Policy) -> Planner:
    """The planner for a configuration."""
    return Planner(
        trial_policy(policy.cache),
        Naming(policy.routes),
        secret=policy.secret,
        ask_usage=policy.metrics.include_usage,
        max_bytes=policy.max_request_bytes,
        routes=policy.routes,
    )


class Explainer:
    """Explains requests by one policy."""

    __slots__ = ("_limit", "_planner", "_router")

    def __init__(self, policy: Policy) -> None:
        self._limit: Final = policy.max_request_bytes
        self._planner: Final = open_planner(policy)
        self._router: Final = Router(policy.routes)

    def report(self, dumps: Sequence[AskedDump], answer: AnswerDump | None = None, *, texts: bool = False) -> Report:
        """What the cache makes of one request or two, and of an answer to the first. With `texts` the texts that differ
        are shown.
        """
        asked = [self.ask(dump) for dump in dumps]
        told = [_explain(dump, each) for dump, each in zip(dumps, asked, strict=True)]
        ours, theirs = asked[0], asked[1] if len(asked) > 1 else None
        found = compare(ours, theirs) if ours and theirs else []
        return Report(
            a=told[0],
            b=told[1] if len(told) > 1 else None,
            equal=told[0].key == told[1].key if all(each.key for each in told) and len(told) > 1 else None,
            differences=tuple(show(each, texts=texts) for each in found[:MOST_SHOWN]),
            left_off=max(0, len(found) - MOST_SHOWN),
            answer=judge(ours.plan, answer.status, answer.headers, answer.content) if ours and answer else None,
        )

    def ask(self, dump: AskedDump) -> Asked | None:
        """The request as it is planned, None where it passes untouched."""
        route = self._router.recognise(unquote(dump.path.decode())) if dump.method == "POST" else None
        if route is None:
            return None
        fault = route.bypass or ("too-large" if len(dump.content) > self._limit else "")
        return ask(self._planner, route, Target(dump.path, dump.query, dump.headers), dump.content, fault)


def _explain(dump: AskedDump, asked: Asked | None) -> Explanation:
    if asked is not None:
        return explain(asked)
    return explain_untouched("unknown-path" if dump.method == "POST" else "not-post")
