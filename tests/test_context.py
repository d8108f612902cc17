"""CooContext: what a handler reads and sets."""

import pytest

from coo_middleware import CooContext
from coo_middleware.attempts import Attempts
from coo_middleware.config import Policy
from coo_middleware.core.providers import ProviderKey
from tests.keys import PATH, PLAN, Room, openai


def test_it_says_what_the_middleware_knows() -> None:
    """A fresh context names the status, the provider and the caller, and decides nothing."""
    context = CooContext("miss", "openai", "3f9a")

    assert ("miss", "openai", "3f9a") == (context.cache_status, context.provider, context.key_id)
    assert (None, False, ()) == (context.ttl, context.is_bypassed, context.tags)
    assert (None, None) == (context.stale_while_revalidate, context.stale_if_error)


@pytest.mark.parametrize("seconds", [0.001, 10, 86_400.0, None])
def test_a_ttl_is_kept(seconds: float | None) -> None:
    """A lifetime above 0, or None for the configured one, is taken as it is."""
    context = CooContext("miss", "openai", "3f9a")
    context.ttl = seconds

    assert seconds == context.ttl


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_a_ttl_that_is_none_is_refused(seconds: float) -> None:
    """Anything that is no time above 0 raises ValueError with the way out, and nothing changes."""
    context = CooContext("miss", "openai", "3f9a")
    with pytest.raises(ValueError, match=r"ttl: .* call bypass\(\)"):
        context.ttl = seconds

    assert None is context.ttl


@pytest.mark.parametrize("name", ["stale_while_revalidate", "stale_if_error"])
def test_a_grace_is_kept_or_refused(name: str) -> None:
    """How long an answer may be stale is any time from 0 on, or None; all else raises and changes nothing."""
    context = CooContext("miss", "openai", "3f9a")
    for seconds in (0, 0.5, 86_400, None, 7):
        setattr(context, name, seconds)
        assert seconds == getattr(context, name)
    for wrong in (-1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=rf"{name}: .* 0 for never"):
            setattr(context, name, wrong)

    assert {7, None} == {context.stale_while_revalidate, context.stale_if_error}


def test_tags_are_kept() -> None:
    """Any number of printable texts up to the bound are tags."""
    context = CooContext("miss", "openai", "3f9a")
    context.tags = ["docs", "Über uns", "x" * 200, *map(str, range(61))]

    assert ("docs", "Über uns") == context.tags[:2]
    assert 64 == len(context.tags)


@pytest.mark.parametrize("tags", ["docs", [""], [" a"], ["a\nb"], ["x" * 201], ["\x00"], list(map(str, range(65)))])
def test_tags_that_are_none_are_refused(tags: list[str]) -> None:
    """One text in place of several, an empty, unprintable, too long or too many raise, and nothing changes."""
    context = CooContext("miss", "openai", "3f9a")
    context.tags = ["kept"]
    with pytest.raises(ValueError, match=r"tags: must be up to 64 printable texts"):
        context.tags = tags

    assert ("kept",) == context.tags


def test_bypass_stays() -> None:
    """A handler that has asked for a bypass cannot lose it."""
    context = CooContext("miss", "openai", "3f9a")
    context.bypass()
    context.bypass()

    assert context.is_bypassed


def test_a_misspelt_name_is_an_error() -> None:
    """Setting what does not exist raises instead of being ignored."""
    with pytest.raises(AttributeError):
        CooContext("miss", "openai", "3f9a").tll = 5  # type: ignore[attr-defined]


async def test_a_pick_says_who_does_the_work() -> None:
    """The picked key is the one that is counted, and a report is counted for the key that it names."""
    room = Room([openai(2)], Policy(algorithm="round_robin"))
    context = CooContext("miss", "unknown", "3f9a", attempts=Attempts(room.balancer, PLAN, PATH))
    first = await context.pick("openai", tokens=100)
    await context.report(first, status=503, retry_after="7", duration=0.25)
    second = await context.pick("openai")

    assert ("openai-1", "secret-0", "https://api.openai.test") == (first.id, first.secret, first.base_url)
    assert (second.provider, second.id) == (context.provider, context.key_id)
    assert [("openai-1", 503, "miss", 0.25)] == [
        (each.key_id, each.status, each.cache_status, each.duration) for each in room.register.records
    ]


async def test_without_keys_there_is_nothing_to_pick() -> None:
    """Where no keys are configured, pick and report raise LookupError with the way out."""
    context = CooContext("miss", "openai", "3f9a")
    with pytest.raises(LookupError, match="llm_providers has no keys"):
        await context.pick("openai")
    with pytest.raises(LookupError, match="llm_providers has no keys"):
        await context.report(ProviderKey("openai", "k", "secret"))
