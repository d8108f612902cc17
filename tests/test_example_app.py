"""The example proxy over real sockets: what it passes on, what it answers itself, and when it lets go."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest
from anyio.from_thread import BlockingPortal
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from coo_middleware import COOMiddleware
from example_app import demo
from example_app.loopback import HOST, InFlight
from example_app.main import create_app, create_proxy, read_config
from example_app.providers import find_providers, find_target, find_url
from example_app.upstream import Upstream

if TYPE_CHECKING:
    from tests.conftest import Serve

CHAT = "/v1/chat/completions"
QUESTION: dict[str, object] = {"model": "m", "messages": [{"role": "user", "content": "one two three"}]}
STREAMED = {**QUESTION, "stream": True}


@pytest.fixture(autouse=True)
def _own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test begins without a stored response."""
    monkeypatch.setenv("COO_DATA", str(tmp_path / "coo.db"))


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=20) as client:
        yield client


def environ(upstream: str, **more: str) -> dict[str, str]:
    return {"OPENAI_BASE_URL": f"{upstream}/v1", "ANTHROPIC_BASE_URL": upstream, **more}


def closed_port() -> str:
    with closing(socket.create_server((HOST, 0))) as listener:
        return f"http://{HOST}:{listener.getsockname()[1]}"


class Listener:
    """An upstream that answers with `opening` messages, then only waits for its client to leave."""

    def __init__(self, *opening: dict[str, object]) -> None:
        self.opening = opening
        self.asked = asyncio.Event()
        self.left = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        for message in self.opening:
            await send(message)
        while (await receive())["type"] != "http.disconnect":
            self.asked.set()
        self.left.set()


async def within(event: asyncio.Event) -> bool:
    with anyio.fail_after(20):
        return await event.wait()


def recording_upstream(requests: list[Request], answer: Response) -> ASGIApp:
    async def respond(request: Request) -> Response:
        await request.body()
        requests.append(request)
        return answer

    return Starlette(routes=[Route("/v1/{path:path}", respond, methods=["POST"])])


def test_stream_passes_event_by_event(serve: "Serve", portal: BlockingPortal, client: httpx.Client) -> None:
    """Each event of a streamed miss is with the client before the upstream is allowed to send the next."""
    permits = asyncio.Semaphore(1)

    async def wait_for_permit() -> None:
        await permits.acquire()

    url = serve(create_app(environ(serve(Upstream(wait_for_permit)))))
    events = []
    # A usage event that only the middleware asked for would use a permit up and never reach the client.
    document = {**STREAMED, "stream_options": {"include_usage": True}}
    with client.stream("POST", url + CHAT, json=document) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                events.append(line)
                portal.call(permits.release)
    assert "data: [DONE]" == events[-1]
    assert len(events) > 5


def test_headers_end_to_end(serve: "Serve", client: httpx.Client) -> None:
    """What concerns one connection alone stays there; everything else passes, both ways, with the status and bytes."""
    fields = {
        "Retry-After": "7",
        "X-RateLimit-Remaining-Tokens": "12",
        "X-Request-ID": "req_1",
        "Connection": "X-Private",
        "X-Private": "1",
        "Keep-Alive": "timeout=5",
    }
    requests: list[Request] = []
    upstream = serve(recording_upstream(requests, Response(b'{"error": {}}', 429, fields, "application/json")))
    headers = {"Authorization": "Bearer caller", "Connection": "X-Hop", "X-Hop": "1", "X-Trace": "t", "TE": "trailers"}
    answer = client.post(serve(create_proxy(environ(upstream))) + CHAT + "?a=b", json=QUESTION, headers=headers)
    assert (429, b'{"error": {}}') == (answer.status_code, answer.content)
    assert ("7", "12", "req_1") == tuple(answer.headers[name] for name in list(fields)[:3])
    assert not {"x-private", "keep-alive"} & set(answer.headers)
    assert 1 == len(answer.headers.get_list("date"))
    received = requests[0].headers
    assert ("Bearer caller", "t", "identity") == tuple(
        received[n] for n in ("authorization", "x-trace", "accept-encoding")
    )
    assert not {"x-hop", "te"} & set(received)
    assert "a=b" == requests[0].url.query


def test_own_key_replaces_credentials(serve: "Serve", client: httpx.Client) -> None:
    """Where the proxy has a key the upstream sees that one only, in the provider's own header."""
    requests: list[Request] = []
    upstream = serve(recording_upstream(requests, Response(b"{}", media_type="application/json")))
    url = serve(create_proxy(environ(upstream, OPENAI_API_KEY="ours", ANTHROPIC_API_KEY="ours")))
    for path in (CHAT, "/v1/messages"):
        client.post(url + path, json=QUESTION, headers={"Authorization": "Bearer caller", "x-api-key": "caller"})
    assert [("Bearer ours", None), (None, "ours")] == [
        (each.headers.get("authorization"), each.headers.get("x-api-key")) for each in requests
    ]


def test_key_stays_out_of_sight() -> None:
    """A key of the environment is in no representation."""
    assert "sk-1" not in repr(read_config({"OPENAI_API_KEY": "sk-1"}))


@pytest.mark.parametrize("name", ["openai", "anthropic"])
def test_public_address_by_default(name: str) -> None:
    """A key alone sends a provider's calls to its public address."""
    target = find_target(list(find_providers({f"{name.upper()}_API_KEY": "sk-1"})), name)
    assert target is not None
    assert f"https://api.{name}.com/v1/messages" == find_url(name, target, "/v1/messages")


def test_unreachable_upstream_is_502(serve: "Serve", client: httpx.Client) -> None:
    """A refused connection becomes a 502 in the shape of the provider that was asked."""
    url = serve(create_app(environ(closed_port())))
    openai, anthropic = client.post(url + CHAT, json=QUESTION), client.post(url + "/v1/messages", json=QUESTION)
    assert (502, 502) == (openai.status_code, anthropic.status_code)
    assert "server_error" == openai.json()["error"]["type"]
    assert ("error", "api_error") == (anthropic.json()["type"], anthropic.json()["error"]["type"])


def test_silent_upstream_is_504(serve: "Serve", client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upstream that does not answer in time becomes a 504 in the provider's shape."""
    monkeypatch.setattr("example_app.main.TIMEOUT", httpx.Timeout(5, read=0.05))
    url = serve(create_app(environ(serve(Listener()))))
    answer = client.post(f"{url}/v1/messages", json=QUESTION)
    assert (504, "timeout_error") == (answer.status_code, answer.json()["error"]["type"])


def test_cut_stream_stays_cut(serve: "Serve", client: httpx.Client) -> None:
    """Where the upstream breaks off, the client sees a broken connection and no invented end."""
    url = serve(create_app({}))
    with client.stream("POST", url + CHAT, json={**STREAMED, "model": "cut-stream"}) as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("data: ")
        with pytest.raises(httpx.RemoteProtocolError):
            list(lines)


def test_leaving_a_stream_closes_the_upstream(serve: "Serve", portal: BlockingPortal, client: httpx.Client) -> None:
    """A client that goes in the middle of a stream ends the call to the upstream."""
    listener = Listener(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]},
        {"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True},
    )
    url = serve(create_proxy(environ(serve(listener))))
    with client.stream("POST", url + CHAT, json=STREAMED) as answer:
        assert b"data: 1\n\n" == next(answer.iter_raw())
    assert portal.call(within, listener.left)


def test_leaving_before_the_answer_closes_the_upstream(serve: "Serve", portal: BlockingPortal) -> None:
    """A client that goes before the upstream has answered ends the call too."""
    listener = Listener()
    url = httpx.URL(serve(create_proxy(environ(serve(listener)))))
    body = json.dumps(QUESTION)
    with socket.create_connection((url.host, url.port or 0)) as connection:
        connection.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: proxy\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        assert portal.call(within, listener.asked)
    assert portal.call(within, listener.left)


def test_unconfigured_provider(serve: "Serve", client: httpx.Client) -> None:
    """With one provider configured, a call of the other is told which variables are missing."""
    answer = client.post(serve(create_app({"OPENAI_API_KEY": "sk-1"})) + "/v1/messages", json=QUESTION)
    assert (503, True) == (answer.status_code, "ANTHROPIC_API_KEY" in answer.json()["error"]["message"])


def test_first_run_needs_nothing(serve: "Serve", portal: BlockingPortal, client: httpx.Client) -> None:
    """With an empty environment the proxy answers from its own upstream, and the same request again from the cache."""
    app = InFlight(create_app({}))
    url = serve(app)
    assert {"status": "ok"} == client.get(f"{url}/healthz").json()
    first = client.post(url + CHAT, json=QUESTION)
    portal.call(app.settled)
    second = client.post(url + CHAT, json=QUESTION)
    assert ("MISS", "HIT") == (first.headers["x-coo-cache"], second.headers["x-coo-cache"])
    assert first.content == second.content


def test_configuration_file(serve: "Serve", tmp_path: Path, client: httpx.Client) -> None:
    """COO_CONFIG names the middleware's configuration."""
    file = tmp_path / "off.yaml"
    file.write_text("policy:\n  cache:\n    enabled: false\n")
    url = serve(create_app({"COO_CONFIG": str(file)}))
    assert "BYPASS" == client.post(url + CHAT, json=QUESTION).headers["x-coo-cache"]


def test_counts_under_the_name_of_the_key(serve: "Serve", portal: BlockingPortal, client: httpx.Client) -> None:
    """Work that the proxy's own key pays for is counted under that key's name."""
    config = read_config(environ(serve(Upstream()), ANTHROPIC_API_KEY="sk-1"))
    coo = COOMiddleware(create_proxy({}, config), config)
    proxy = InFlight(coo)
    client.post(f"{serve(proxy)}/v1/messages", json=QUESTION)
    portal.call(proxy.settled)
    portal.call(coo.drain)
    assert 1 == portal.call(coo.store.get_usage, "anthropic", "anthropic-1", "req")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_stream_usage_only_when_asked(serve: "Serve", client: httpx.Client, path: str) -> None:
    """The built-in upstream tells a stream's usage at its end, and only where include_usage asks for it."""
    document = {**STREAMED, "prompt": "one two three"}
    url = serve(Upstream()) + path
    plain = client.post(url, json=document).text
    asked = client.post(url, json={**document, "stream_options": {"include_usage": True}}).text
    assert "usage" not in plain
    last = json.loads(asked.split("\n\n")[-3].removeprefix("data: "))
    assert [] == last["choices"]
    assert last["usage"]["total_tokens"] == last["usage"]["prompt_tokens"] + last["usage"]["completion_tokens"] > 6


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"{"])
def test_upstream_refuses_what_is_no_request(serve: "Serve", client: httpx.Client, body: bytes) -> None:
    """The built-in upstream answers 400, and counts the call, where the body is not a request document."""
    upstream = Upstream()
    assert 400 == client.post(serve(upstream) + CHAT, content=body).status_code
    assert 1 == upstream.calls


def test_demo_succeeds_and_serves(client: httpx.Client) -> None:
    """The demonstration finds everything as it must be, and with --serve its proxy stays up until it is interrupted."""
    command = [sys.executable, "-W", "error", "-m", "example_app.demo", "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = list(takewhile(lambda line: "curl" not in line, process.stdout))
            address = next(line for line in lines if "listens at" in line).split()[4]
            assert {"status": "ok"} == client.get(f"{address}/healthz").json()
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (0, "") == (process.returncode, errors)
    assert "Every answer, cache status and counter is as it must be.\n" in lines


async def test_demo_fails_on_a_fault(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A cache status that is not as it must be ends the demonstration with status 1 and is named."""
    programme = demo.steps
    monkeypatch.setattr(demo, "steps", lambda clients: [replace(programme(clients)[0], cache="HIT")])
    assert 1 == await demo.demonstrate(keep_serving=False)
    assert "FAULT: chat: 200 MISS instead of 200 HIT" in capsys.readouterr().out


def test_demo_finds_faults() -> None:
    """The demonstration would notice a wrong status, cache status, answer or count."""

    async def create(**arguments: object) -> demo.Raw:
        raise NotImplementedError

    miss = demo.Step("first", "openai", create, QUESTION, "MISS")
    hit = demo.Step("second", "openai", create, QUESTION, "HIT")
    nothing = dict.fromkeys(demo.METRICS, 0.0)
    rows = [demo.Row(miss, 500, "MISS", 1, "a", nothing), demo.Row(hit, 200, "MISS", 1, "b", nothing)]
    expected = [
        "first: 500",
        "first: counted",
        "second: 200",
        "second: the answer",
        "second: counted",
        "openai",
        "the up",
    ]
    found = list(demo.faults(rows, {"openai": nothing}, 2))
    assert [True] * len(expected) == [line.startswith(start) for start, line in zip(expected, found, strict=True)]
