"""CooContext: what a handler reads and sets."""

import pytest

from coo_middleware import CooContext


def test_it_says_what_the_middleware_knows() -> None:
    """A fresh context names the status, the provider and the caller, and decides nothing."""
    context = CooContext("miss", "openai", "3f9a")

    assert ("miss", "openai", "3f9a") == (context.cache_status, context.provider, context.key_id)
    assert (None, False) == (context.ttl, context.is_bypassed)


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
