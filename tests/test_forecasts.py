"""forecasts.py: what calls will take of limits, learned by provider, model and caller."""

from __future__ import annotations

import json
from dataclasses import replace
from timeit import repeat
from typing import TYPE_CHECKING

import pytest

from coo_middleware.core.demand import Demand
from coo_middleware.core.outcome import Usage
from coo_middleware.forecasts import Forecasts
from coo_middleware.formats.embeddings import EMBEDDINGS
from tests.plans import make_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from coo_middleware.core.document import Document, Json
    from coo_middleware.core.plan import Plan

TEXT = "word " * 20
USAGE = Usage(30, 40)


def words(text: str) -> int:
    return len(text.split())


def plan_of(caller: str = "someone", text: str = TEXT, **members: Json) -> Plan:
    document: Document = {"model": "m", "messages": [{"role": "user", "content": text}], **members}
    return replace(make_plan(json.dumps(document).encode()), caller=caller)


def foresee(forecasts: Forecasts, plan: Plan) -> Demand:
    """What is forecast for the plan alone, without learning anything of it."""
    foreseen = forecasts.begin(plan)
    forecasts.end(foreseen, None)
    return foreseen.demand


def teach(forecasts: Forecasts, plan: Plan, usage: Usage = USAGE, calls: int = 200) -> None:
    for _ in range(calls):
        forecasts.end(forecasts.begin(plan), usage)


def test_of_the_unknown_the_text_and_the_bound_are_known() -> None:
    """Before anything is learned, input is 0.3 tokens for each character, and output is what the request allows."""
    demand = foresee(Forecasts(1024, None), plan_of(max_tokens=50, n=2))

    assert (1.0, 100.0, 0.0) == (demand.requests, demand.output_tokens, demand.cost)
    assert 0.3 * len(TEXT) == pytest.approx(demand.input_tokens, rel=1e-3)


def test_without_a_bound_the_default_is_reserved() -> None:
    """What allows any output is reserved the configured one."""
    assert 1024 == foresee(Forecasts(1024, None), plan_of()).output_tokens


def test_a_tokenizer_counts_the_input() -> None:
    """With a counter the texts are counted, with what surrounds messages."""
    demand = foresee(Forecasts(1024, words), plan_of())

    assert 20 + 4 + 3 == pytest.approx(demand.input_tokens, rel=1e-3)


def test_output_is_learned() -> None:
    """What calls took is what the next one is reserved, as far as its own bound allows."""
    forecasts = Forecasts(1024, None)
    teach(forecasts, plan_of())

    assert 40 <= foresee(forecasts, plan_of()).output_tokens < 42
    assert 12 == foresee(forecasts, plan_of(max_tokens=12)).output_tokens


@pytest.mark.parametrize("count", [None, words])
def test_tokens_of_a_text_are_learned(count: Callable[[str], int] | None) -> None:
    """Where texts have other tokens than was thought, those of the next text are reckoned from what they have."""
    forecasts, text = Forecasts(1024, count), TEXT * 50
    teach(forecasts, plan_of(text=text), Usage(1500, 40))

    assert 3000 == pytest.approx(foresee(forecasts, plan_of(text=text + text)).input_tokens, rel=0.1)


def test_an_image_beside_a_short_text_does_not_make_text_dear() -> None:
    """What images take is expected of each call, and not of each character."""
    forecasts = Forecasts(1024, None)
    teach(forecasts, plan_of(text="What is this?"), Usage(1100, 40))

    assert 1100 + 0.3 * 40 * len(TEXT) == pytest.approx(
        foresee(forecasts, plan_of(text=TEXT * 40)).input_tokens, rel=0.1
    )


def test_a_caller_is_known_by_its_own_calls() -> None:
    """Callers with calls enough are told apart, and a new one is taken to be like all others."""
    forecasts = Forecasts(1024, None)
    for _ in range(100):
        teach(forecasts, plan_of("long"), Usage(30, 900), calls=1)
        teach(forecasts, plan_of("short"), Usage(30, 10), calls=1)

    short, new, long = (foresee(forecasts, plan_of(name)).output_tokens for name in ("short", "new", "long"))
    assert 10 <= short < 12
    assert 900 <= long < 950
    assert short < 455 < new


def test_models_are_told_apart() -> None:
    """What one model writes says nothing of another."""
    forecasts = Forecasts(1024, None)
    teach(forecasts, plan_of())

    assert 1024 == foresee(forecasts, plan_of(model="other")).output_tokens


def test_margins_shrink_with_the_calls_in_flight() -> None:
    """The more calls are in flight, the less each one bears of what their sum may err; once they end, it is as ever."""
    forecasts = Forecasts(1024, None)
    for length in (10, 500) * 100:
        teach(forecasts, plan_of(), Usage(30, length), calls=1)

    alone = foresee(forecasts, plan_of()).output_tokens
    running = [forecasts.begin(plan_of(f"caller {number}")) for number in range(100)]
    reserved = [foreseen.demand.output_tokens for foreseen in running]
    for foreseen in running:
        forecasts.end(foreseen, None)

    assert sorted(reserved, reverse=True) == reserved
    assert 255 <= reserved[-1] < 400
    assert alone > 1000
    assert alone == pytest.approx(foresee(forecasts, plan_of()).output_tokens)


def test_a_call_counts_for_all_that_began_during_it() -> None:
    """The long call among short ones is in flight when most of them begin, and is reckoned with."""
    forecasts = Forecasts(1024, None)
    long = forecasts.begin(plan_of())
    teach(forecasts, plan_of(), Usage(30, 10), calls=99)
    forecasts.end(long, Usage(30, 1000))

    assert 505 == pytest.approx(long.every.outputs.mean, rel=0.1)


def test_embeddings_have_no_output() -> None:
    """Where no text is written, no output is reserved, and tokens that are given as such are counted as such."""
    content = json.dumps({"model": "m", "input": [[1, 2, 3], [4, 5]]}).encode()
    plan = make_plan(content, fmt=EMBEDDINGS)

    for count in (None, words):
        demand = foresee(Forecasts(1024, count), plan)
        assert 0.0 == demand.output_tokens
        assert 5 == pytest.approx(demand.input_tokens, rel=1e-3)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"[" * 100_000])
def test_what_cannot_be_read_is_a_call_all_the_same(content: bytes) -> None:
    """A request without a document is one request with the default output."""
    plan = replace(plan_of(), content=content)

    assert Demand(1.0, 0.0, 1024.0) == foresee(Forecasts(1024, None), plan)


def test_an_unknown_usage_teaches_nothing() -> None:
    """A call of which nothing was told leaves everything as it was."""
    forecasts = Forecasts(1024, None)
    foresee(forecasts, plan_of())

    assert 1024 == foresee(forecasts, plan_of()).output_tokens


def test_what_is_learned_is_bounded() -> None:
    """Callers choose models, and the names that are remembered have an end; one in flight then ends all the same."""
    forecasts = Forecasts(1024, None)
    first = forecasts.begin(plan_of())
    for number in range(3000):
        foresee(forecasts, plan_of(model=f"m{number}"))
    forecasts.end(first, USAGE)

    assert 4096 == len(forecasts._learned)
    assert 0 == first.every.in_flight


def test_a_forecast_is_cheap() -> None:
    """A chat of 4 KB is forecast in well under a tenth of a millisecond."""
    forecasts, plan = Forecasts(1024, None), plan_of(text="x y " * 1000)

    assert min(repeat(lambda: foresee(forecasts, plan), number=100, repeat=5)) / 100 < 1e-4
