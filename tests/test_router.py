"""formats/router.py: which format a path speaks where the operator has a say in it."""

from __future__ import annotations

import pytest

from coo_middleware.core.format import Route
from coo_middleware.core.routes import RoutePolicy
from coo_middleware.formats import FORMATS, recognise
from coo_middleware.formats.chat import CHAT
from coo_middleware.formats.messages import MESSAGES
from coo_middleware.formats.router import FORMAT_NAMES, Router
from coo_middleware.formats.tgi import TGI

PATHS = ["/v1/chat/completions", "/openai/deployments/d/chat/completions", "/v1/files", "/", "/invocations", "/a//b"]


@pytest.mark.parametrize("path", PATHS)
def test_without_a_rule_a_path_s_end_decides(path: str) -> None:
    """No rules, rules without a format and rules that do not fit leave everything as it is."""
    other = [RoutePolicy(provider="p"), RoutePolicy(path="/other/*", format="chat")]

    assert recognise(path) == Router().recognise(path) == Router(other).recognise(path)


def test_a_rule_gives_a_path_its_format() -> None:
    """The first rule that fits counts, also before a format that the path's end would tell."""
    router = Router(
        [
            RoutePolicy(path="/", format="tgi"),
            RoutePolicy(path="*/invocations", format="messages", provider="aws"),
            RoutePolicy(path="/claude/*", format="messages"),
            RoutePolicy(path="/claude/*", format="chat"),
        ]
    )

    assert Route(TGI, "huggingface") == router.recognise("/")
    assert Route(MESSAGES, "anthropic") == router.recognise("/endpoints/e/invocations")
    assert Route(MESSAGES, "anthropic") == router.recognise("/claude/v1/chat/completions")
    assert router.recognise("/other") is None


def test_a_path_of_the_same_format_keeps_what_it_says() -> None:
    """A rule for the format that a path speaks anyway does not take the model away that the path names."""
    router = Router([RoutePolicy(format="chat")])

    assert Route(CHAT, "azure.ai.openai", "d") == router.recognise("/openai/deployments/d/chat/completions")
    assert Route(CHAT, "openai") == router.recognise("/v1/embeddings")


def test_the_names_of_formats_are_told() -> None:
    """Every format that a rule may name can be routed to, and no other is told."""
    routes = {name: Router([RoutePolicy(format=name)]).recognise("/") for name in FORMAT_NAMES}

    assert {fmt.name: Route(fmt, fmt.provider) for fmt in FORMATS} == routes


def test_paths_are_recalled_within_bounds() -> None:
    """A path is looked at once, of many paths the last are known, and long ones have their answer and are not kept."""
    router = Router([RoutePolicy(path="/mine/*", format="chat")])
    first = router.recognise("/v1beta/models/m:generateContent")
    long = "/v1beta/models/%s:generateContent" % ("m" * 300)

    assert first is router.recognise("/v1beta/models/m:generateContent")
    assert router.recognise(long) == recognise(long)
    assert 1 == router._recall.cache_info().currsize
    for turn in range(3000):
        router.recognise(f"/mine/{turn}")
    assert 1024 == router._recall.cache_info().currsize
