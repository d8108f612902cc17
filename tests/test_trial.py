"""Hits that were not served: what is kept, what is judged, and what is counted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from coo_middleware.core.difference import Divergence
from coo_middleware.core.entry import Entry, pack_entry, unpack_entry
from coo_middleware.core.exchange import Answer, Exchange
from coo_middleware.core.outcome import Usage
from coo_middleware.core.policy import CachePolicy
from coo_middleware.core.trial import TRIAL_FIELDS, Trial, count_trial, judge_trial, make_marker, trial_policy
from coo_middleware.formats.chat import CHAT
from tests.asgi import ANSWER, JSON_FIELD
from tests.plans import make_plan

if TYPE_CHECKING:
    from coo_middleware.core.plan import Plan

OBSERVE = CachePolicy(mode="observe")
SHADOW = CachePolicy(mode="shadow")
USAGE = Usage(9, 2)


def entry_of(plan: Plan) -> Entry:
    """A stored response to the plan's request."""
    return Entry(
        digest=plan.digest,
        created=1.0,
        ttl=10.0,
        provider="openai",
        key_id="k",
        model="m",
        format="chat",
        shape=plan.asked,
        usage=USAGE,
        headers=(JSON_FIELD,),
        content=ANSWER,
        tags=("t",),
    )


def answer_of(content: bytes = ANSWER) -> Answer:
    exchange = Exchange(CHAT, 4096)
    exchange.start(200, (JSON_FIELD,))
    exchange.add(content, more=False)
    return exchange.answer()


def test_a_marker_has_no_content() -> None:
    """What observing keeps is whole as a frame, can be purged as the response could, and has nothing of the answer."""
    entry = entry_of(make_plan(policy=OBSERVE))

    marker = make_marker(entry)

    assert replace(entry, headers=(), content=b"") == marker
    assert marker == unpack_entry(pack_entry(marker), entry.digest)
    assert b"Hello" not in pack_entry(marker)


def test_a_marker_lies_where_no_response_is_looked_for() -> None:
    """The keys of a policy that observes are others than those of one that serves."""
    assert make_plan(policy=OBSERVE).digest == make_plan().digest
    assert make_plan(policy=OBSERVE).key != make_plan().key == make_plan(policy=SHADOW).key


def test_observing_shares_nothing() -> None:
    """Requests in flight are apart while observing, and only then."""
    assert not trial_policy(OBSERVE).collapse
    assert SHADOW == trial_policy(SHADOW)


def test_a_shadows_answer_is_compared() -> None:
    """In shadow the answer that came is compared with the stored one, where it could be stored itself."""
    plan = make_plan(policy=SHADOW)
    entry, other = entry_of(plan), answer_of(ANSWER.replace(b"Hello", b"Hi"))

    assert Trial(Divergence("equal", 1.0)) == judge_trial(plan, entry, answer_of(), "")
    assert Trial(Divergence("text", 0.4)) == judge_trial(plan, entry, other, "")
    assert Trial() == judge_trial(plan, entry, other, "status")


def test_an_observed_answer_is_not_compared() -> None:
    """A marker has nothing to be compared with."""
    plan = make_plan(policy=OBSERVE)

    assert Trial() == judge_trial(plan, make_marker(entry_of(plan)), answer_of(), "")


def test_a_trial_is_counted() -> None:
    """A would-be hit, its tokens and their cost, and in shadow whether the answer differed in more than what always
    differs.
    """
    hit = [("would_hits", 1.0), ("tokens_would_save", 11.0)]
    differs = [("shadow_checks", 1.0), ("shadow_differs", 1.0)]

    assert hit == count_trial(Trial(), USAGE, None)
    assert [*hit, ("cost_would_save", 0.25)] == count_trial(Trial(), USAGE, 0.25)
    assert hit[:1] == count_trial(Trial(), None, None)
    assert [*hit, ("shadow_checks", 1.0)] == count_trial(Trial(Divergence("volatile", 1.0)), USAGE, 0.0)
    assert [*hit, *differs] == count_trial(Trial(Divergence("text", 0.4)), USAGE, None)


def test_a_trials_fields_say_that_it_was_not_served() -> None:
    """The answer says that it was forwarded, and what for."""
    assert (b"cache-status", b"coo; fwd=bypass; detail=would-hit") == TRIAL_FIELDS[0]
