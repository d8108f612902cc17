"""`coo estimate`: what the configured cache would have saved of the requests in a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import reduce
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from coo_middleware.cli.diagnosis import printable
from coo_middleware.cli.terminal import open_console, show_amount, show_money, show_ratio, tell, write_json
from coo_middleware.core.dump import DumpError
from coo_middleware.core.judgement import judge
from coo_middleware.core.recorded import Recorded, read_recorded
from coo_middleware.core.savings import Call, Replay, Saving
from coo_middleware.core.steering import AnswerWishes, answer_wishes, effective_ttl
from coo_middleware.explainer import Explainer
from coo_middleware.prices import Prices

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coo_middleware.config import Config
    from coo_middleware.core.outcome import Usage
    from coo_middleware.core.plan import Plan

_TOLD_LINES: Final = 5
_HEADS: Final = (
    *("requests", "hits", "collapsed", "bypassed", "hit\nratio"),
    *("tokens", "tokens\nsaved", "cost", "cost\nsaved"),
)
# A caller may make up any number of models.
_MOST_MODELS: Final = 1000


@dataclass(frozen=True, slots=True)
class Estimate:
    """What would have been saved, by model; `untouched` are requests that are none for a provider, `timeless` says that
    a line without a time was read, `unreadable` how many lines could not be.
    """

    models: Mapping[str, Saving]
    untouched: int
    unreadable: int
    is_timeless: bool

    @property
    def whole(self) -> Saving:
        """All models together."""
        return reduce(Saving.join, self.models.values(), Saving())


class Estimator:
    """Replays a record as the middleware with `config` would have met it."""

    def __init__(self, config: Config) -> None:
        self._explainer: Final = Explainer(config.policy)
        self._prices: Final = Prices(config.llm_providers)
        self._replay: Final = Replay()
        self._models: Final[dict[str, Saving]] = {}
        self._untouched = self._unreadable = self._number = 0
        self._latest = 0.0
        self._is_timeless = False

    def add(self, line: bytes) -> None:
        """Takes the next line; one that cannot be read is counted, and of the first ones it is told which."""
        self._number += 1
        if not line.strip():
            return
        try:
            recorded = read_recorded(line)
            plan = self._explainer.ask(recorded.asked)
        except DumpError as error:
            self._unreadable += 1
            if self._unreadable <= _TOLD_LINES:
                tell(f"line {self._number}: {error}")
            return
        if plan is None:
            self._untouched += 1
        else:
            self._count(self._make_call(recorded, plan.plan))

    def estimate(self) -> Estimate:
        """What the lines so far come to."""
        models = sorted(self._models.items(), key=lambda each: (-each[1].requests, each[0]))
        return Estimate(dict(models), self._untouched, self._unreadable, self._is_timeless)

    def _count(self, call: Call) -> None:
        name = call.plan.model or "none"
        if name not in self._models and len(self._models) >= _MOST_MODELS:
            name = "other"
        self._models[name] = self._models.get(name, Saving()).add(call, self._replay.add(call))

    def _make_call(self, recorded: Recorded, plan: Plan) -> Call:
        """A record is often written when a request ends: one that came before its predecessor counts as coming then."""
        self._is_timeless |= recorded.time is None
        self._latest = max(self._latest, recorded.time or 0.0)
        ttl, usage = _judge(recorded, plan)
        cost = self._prices.cost(plan.provider, plan.model, usage) if usage else None
        return Call(plan, self._latest, recorded.duration, ttl, usage, cost)


def _judge(recorded: Recorded, plan: Plan) -> tuple[float, Usage | None]:
    """For how long the answer may be stored, and what it used; of an answer that is not there its status tells."""
    if recorded.answer is None:
        ttl = effective_ttl(plan.policy, plan.directives, AnswerWishes(), None) if recorded.status == 200 else 0.0
        return ttl, recorded.usage
    answer = recorded.answer
    judged = judge(plan, answer.status, answer.headers, answer.content)
    told = answer_wishes(answer.headers)
    ttl = 0.0 if judged.refusal else effective_ttl(plan.policy, plan.directives, told, None)
    return ttl, recorded.usage or judged.usage


def estimate_lines(config: Config, lines: Iterable[bytes]) -> Estimate:
    """What a record of requests comes to, one line after the other."""
    estimator = Estimator(config)
    for line in lines:
        estimator.add(line)
    return estimator.estimate()


def show_estimate(estimate: Estimate, *, as_json: bool) -> None:
    """A table by model and what to know about it, or one document."""
    if as_json:
        models = [{"model": name, **_figures(each)} for name, each in estimate.models.items()]
        others = {
            "untouched": estimate.untouched,
            "unreadable": estimate.unreadable,
            "is_timed": not estimate.is_timeless,
        }
        write_json({"all": _figures(estimate.whole), "models": models, **others})
        return
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("model", no_wrap=True, overflow="ellipsis", max_width=24)
    for head in _HEADS:
        table.add_column(head, justify="right", no_wrap=True)
    for name, each in estimate.models.items():
        table.add_row(Text(printable(name)), *_cells(each))
    table.add_row("all", *_cells(estimate.whole), style="bold")
    console = open_console()
    console.print(table)
    for remark in _remarks(estimate):
        console.print(remark, soft_wrap=True)


def _figures(saving: Saving) -> dict[str, object]:
    return {**asdict(saving), "hit_ratio": saving.hit_ratio}


def _cells(saving: Saving) -> list[str]:
    return [
        show_amount(saving.requests),
        show_amount(saving.hits + saving.stale),
        show_amount(saving.collapsed),
        show_amount(saving.bypassed),
        show_ratio(saving.hit_ratio),
        show_amount(saving.tokens),
        show_amount(saving.tokens_saved),
        show_money(saving.cost),
        show_money(saving.cost_saved),
    ]


def _remarks(estimate: Estimate) -> list[str]:
    whole = estimate.whole
    unpriced = whole.unpriced - whole.unmeasured
    remarks = [
        (whole.unmeasured, f"no usage is known of {whole.unmeasured} requests: what they cost is not in it"),
        (unpriced, f"no price is known of {unpriced} requests with a usage"),
        (estimate.untouched, f"{estimate.untouched} requests are none that the middleware would touch"),
        (estimate.unreadable, f"{estimate.unreadable} lines cannot be read"),
        (
            estimate.is_timeless,
            "a line without a time counts as coming with the one before: nothing expires in between",
        ),
    ]
    return [text for told, text in remarks if told]
