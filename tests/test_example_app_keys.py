"""The example proxy with several keys, as a configuration file gives them, over real sockets."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from anyio.from_thread import BlockingPortal

from coo_middleware import COOMiddleware
from example_app import scene
from example_app.loopback import InFlight
from example_app.main import create_app, create_proxy, read_config
from example_app.scene import Share
from example_app.upstream import Upstream
from tests.test_example_app import closed_port

if TYPE_CHECKING:
    from tests.conftest import Serve

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
ERRORS = {CHAT: "server_error", MESSAGES: "api_error"}

Settings = dict[str, object]


@dataclass(frozen=True, slots=True)
class Stage:
    """The proxy with the middleware, in front of the built-in upstream."""

    url: str
    coo: COOMiddleware
    proxy: InFlight
    upstream: Upstream
    portal: BlockingPortal

    def ask(self, path: str = CHAT, **more: object) -> httpx.Response:
        """A question that has not been asked before."""
        question = f"one two {self.upstream.calls}"
        document = {"model": "m", "messages": [{"role": "user", "content": question}], **more}
        with httpx.Client(timeout=20, trust_env=False) as client:
            return client.post(self.url + path, json=document, headers={"authorization": "Bearer caller"})

    def count(self, provider: str, key: str) -> tuple[float, float]:
        """The requests and the errors of a key."""
        self.portal.call(self.proxy.settled)
        self.portal.call(self.coo.drain)
        usage = [self.portal.call(self.coo.store.get_usage, provider, key, metric) for metric in ("req", "errors")]
        return usage[0], usage[1]


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
def address(serve: "Serve", upstream: Upstream) -> str:
    return serve(upstream)


class Stages:
    """Opens a proxy with the providers of a configuration file, whose keys take turns unless it says otherwise."""

    def __init__(self, serve: "Serve", portal: BlockingPortal, upstream: Upstream, path: Path) -> None:
        self._serve = serve
        self._portal = portal
        self._upstream = upstream
        self._path = path

    def open(self, *providers: Settings, **policy: object) -> Stage:
        """Every setting goes through the file."""
        tree = {"policy": {"algorithm": "round_robin", **policy}, "llm_providers": providers}
        self._path.write_text(json.dumps(tree))
        config = read_config({"COO_CONFIG": str(self._path)})
        coo = COOMiddleware(create_proxy({}, config), config)
        proxy = InFlight(coo)
        return Stage(self._serve(proxy), coo, proxy, self._upstream, self._portal)


@pytest.fixture
def stages(serve: "Serve", portal: BlockingPortal, upstream: Upstream, tmp_path: Path) -> Stages:
    return Stages(serve, portal, upstream, tmp_path / "keys.yaml")


def openai(address: str, *secrets: str, **more: object) -> Settings:
    return {"id": "openai", "type": "openai", "base_url": f"{address}/v1", "api_keys": secrets, **more}


def anthropic(address: str, *secrets: str) -> Settings:
    return {"id": "anthropic", "type": "anthropic", "base_url": address, "api_keys": secrets}


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_another_key_answers_for_one_that_fails(stages: Stages, address: str, status: int) -> None:
    """The client sees the second key's answer alone, and each attempt is counted for its own key."""
    stage = stages.open(openai(address, f"fail-{status}", "sound"))

    assert 200 == stage.ask().status_code
    assert {f"fail-{status}": 1, "sound": 1} == stage.upstream.keys
    assert ((1, 1), (1, 0)) == (stage.count("openai", "openai-1"), stage.count("openai", "openai-2"))


def test_a_key_that_failed_rests(stages: Stages, address: str) -> None:
    """What has just failed is not asked by the requests that come after."""
    stage = stages.open(openai(address, "fail-500", "sound"), cooldown_seconds=120)

    assert [200] * 5 == [stage.ask().status_code for _ in range(5)]
    assert {"fail-500": 1, "sound": 5} == stage.upstream.keys


def test_a_stream_begins_with_the_key_that_answers(stages: Stages, address: str) -> None:
    """Nothing of the failed attempt is in a streamed answer."""
    stage = stages.open(openai(address, "fail-500", "sound"))
    answer = stage.ask(stream=True)

    assert (200, "text/event-stream") == (answer.status_code, answer.headers["content-type"].partition(";")[0])
    assert ("data: {", "data: [DONE]\n\n") == (answer.text[:7], answer.text[-14:])


def test_an_upstream_out_of_reach_is_one_that_failed(stages: Stages, address: str) -> None:
    """A connection that cannot be made is tried again elsewhere, with any provider of the type that was asked for."""
    gone = openai(closed_port(), "gone") | {"id": "gone"}
    stage = stages.open(gone, openai(address, "sound") | {"id": "here"})

    assert 200 == stage.ask().status_code
    assert ((1, 1), (1, 0)) == (stage.count("gone", "gone-1"), stage.count("here", "here-1"))


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_refusal_of_the_request_itself_is_the_answer(stages: Stages, address: str, status: int) -> None:
    """Another key would say the same."""
    stage = stages.open(openai(address, f"fail-{status}", "sound"))

    assert status == stage.ask().status_code
    assert {f"fail-{status}": 1} == stage.upstream.keys


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@pytest.mark.parametrize(("secrets", "status"), [(("fail-500", "fail-429"), 429), (("fail-429", "fail-529"), 529)])
def test_where_all_keys_fail_the_last_answer_is_passed_on(
    stages: Stages, address: str, path: str, secrets: tuple[str, str], status: int
) -> None:
    """With its status, its body and its header fields; no attempt is counted twice."""
    stage = stages.open(openai(address, *secrets), anthropic(address, *secrets))
    answer = stage.ask(path)

    assert (status, f"because the key is fail-{status}" in answer.text) == (answer.status_code, True)
    assert ("1" if status == 429 else None) == answer.headers.get("retry-after")
    name = "openai" if path == CHAT else "anthropic"
    assert [(1, 1)] * 2 == [stage.count(name, f"{name}-{place}") for place in (1, 2)]


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_where_no_key_may_be_asked_the_middleware_answers(stages: Stages, address: str, path: str) -> None:
    """A key's own limit holds, and what is beyond it is told when to come again, in the shape that its client knows."""
    limits = {"limits": {"req_per_min": 1}}
    stage = stages.open(openai(address, "key", **limits), anthropic(address, "key") | limits)

    assert 200 == stage.ask(path).status_code
    refused = stage.ask(path)
    assert (429, "rate_limit_error") == (refused.status_code, refused.json()["error"]["type"])
    assert 1 <= int(refused.headers["retry-after"]) <= 62
    assert 1 == stage.upstream.calls


def test_another_provider_takes_the_place_of_one_that_fails(stages: Stages, address: str) -> None:
    """The fallback is asked with its own key, and for the model that it is configured with."""
    spare = openai(address, "spare") | {"id": "spare", "model": "another"}
    stage = stages.open(openai(address, "fail-500", "fail-503"), spare, fallback={"providers": ["spare"]})
    answer = stage.ask()

    assert (200, "another") == (answer.status_code, answer.json()["model"])
    assert {"fail-500": 1, "fail-503": 1, "spare": 1} == stage.upstream.keys


def test_a_fallback_that_speaks_otherwise_is_not_asked(stages: Stages, address: str) -> None:
    """Nothing is translated: the last failure is the answer, though the other provider has a key."""
    stage = stages.open(openai(address, "sound"), anthropic(address, "fail-500"), fallback={"providers": ["openai"]})

    assert "api_error" == stage.ask(MESSAGES).json()["error"]["type"]
    assert {"fail-500": 1} == stage.upstream.keys


def test_a_provider_without_keys_is_asked_with_the_callers(stages: Stages, address: str) -> None:
    """A configuration file may name an address alone, beside a provider with keys."""
    stage = stages.open(openai(address), anthropic(address, "ours"))

    assert (200, 200) == (stage.ask().status_code, stage.ask(MESSAGES).status_code)
    assert {"caller": 1, "ours": 1} == stage.upstream.keys


def test_a_body_that_is_no_document_keeps_its_bytes(stages: Stages, address: str) -> None:
    """Where a provider has a model of its own and the request is none, the upstream is the one to say so."""
    stage = stages.open(openai(address, "sound", model="another"))

    for content in ("{", "[]"):
        assert 400 == httpx.post(stage.url + CHAT, content=content, trust_env=False).status_code


def test_keys_come_from_the_environment(
    serve: "Serve", address: str, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file holds the names of variables; where it names providers those of the environment do not count."""
    path = tmp_path / "coo.yaml"
    path.write_text(
        'llm_providers:\n  - {id: openai, base_url: "${EXAMPLE_URL}/v1", api_keys: ["${EXAMPLE_KEY}"], type: openai}\n'
    )
    monkeypatch.setenv("EXAMPLE_URL", address)
    monkeypatch.setenv("EXAMPLE_KEY", "from-env")
    url = serve(create_app({"COO_CONFIG": str(path), "OPENAI_API_KEY": "other", "ANTHROPIC_API_KEY": "other"}))

    answers = [httpx.post(url + each, json={"model": "m", "input": "x"}, trust_env=False) for each in (CHAT, MESSAGES)]
    assert [200, 503] == [answer.status_code for answer in answers]
    assert {"from-env": 1} == upstream.keys


SHARES = {
    "first": Share(30, 30, 0),
    "second": Share(1, 1, 0),
    "limited": Share(scene.MOST_LIMITED, scene.MOST_LIMITED, 0),
    "failing": Share(2, 2, 2),
}


WRONG = [
    ("first", Share(30, 29, 0), "first: counted 29 requests instead of 30"),
    ("first", Share(30, 30, 1), "first: counted 1 errors of 30 requests"),
    ("failing", Share(2, 2, 1), "failing: counted 1 errors of 2 requests"),
    ("failing", Share(6, 6, 6), "failing: asked 6 times, and may be at most 5"),
    ("limited", Share(5, 5, 0), "limited: asked 5 times, and may be at most 4"),
]


@pytest.mark.parametrize(("name", "share", "told"), WRONG)
def test_the_scene_finds_faults(name: str, share: Share, told: str) -> None:
    """The demonstration would notice a wrong count, a key that is asked too often and a request that failed."""
    assert [] == list(scene.find_faults(SHARES, [200] * 3))
    assert [told] == list(scene.find_faults({**SHARES, name: share}, [200] * 3))
    failed = ["1 of 2 requests failed, though other keys had room"]
    assert failed == list(scene.find_faults(SHARES, [200, 500]))
