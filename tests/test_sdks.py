"""The openai and anthropic SDKs through the middleware: what they parse, and which of their errors they raise."""

import asyncio
import inspect
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Protocol

import anthropic
import httpx2
import openai
import pytest
from anyio.from_thread import BlockingPortal

from coo_middleware import COOMiddleware
from example_app.loopback import InFlight
from example_app.main import config_path, create_proxy
from example_app.upstream import Upstream

if TYPE_CHECKING:
    from tests.conftest import Serve

Arguments = dict[str, object]

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
FUNCTION = {"name": "weather", "parameters": SCHEMA}
CHAT_TOOL = {"type": "function", "function": FUNCTION}
RESPONSES_TOOL = {"type": "function", "strict": False, **FUNCTION}
MESSAGES_TOOL = {"name": "weather", "input_schema": SCHEMA}


class Raw(Protocol):
    @property
    def headers(self) -> Mapping[str, str]: ...

    def parse(self) -> object: ...


@dataclass(frozen=True, slots=True)
class Stage:
    """The proxy with the middleware, its upstream, and the clients of both SDKs."""

    url: str
    proxy: InFlight
    upstream: Upstream
    portal: BlockingPortal

    def settle(self) -> None:
        self.portal.call(self.proxy.settled)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one call gave: the parsed object, or the list of parsed events."""

    cache: str
    value: object


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method of an SDK's client, and how a prompt is put to it."""

    sdk: str
    method: str
    arguments: Callable[[str], Arguments]
    more: Arguments

    def call(self, prompt: str) -> Arguments:
        return {"model": "m", **self.arguments(prompt), **self.more}


def ask_in_messages(prompt: str) -> Arguments:
    return {"messages": [{"role": "user", "content": prompt}]}


def ask_with_limit(prompt: str) -> Arguments:
    return {**ask_in_messages(prompt), "max_tokens": 100}


def ask_in_input(prompt: str) -> Arguments:
    return {"input": prompt}


def ask_in_prompt(prompt: str) -> Arguments:
    return {"prompt": prompt}


STREAM: Arguments = {"stream": True}
ENDPOINTS = {
    "chat": Endpoint("openai", "chat.completions", ask_in_messages, {}),
    "chat-stream": Endpoint("openai", "chat.completions", ask_in_messages, STREAM),
    "chat-usage": Endpoint(
        "openai", "chat.completions", ask_in_messages, {**STREAM, "stream_options": {"include_usage": True}}
    ),
    "chat-tool": Endpoint("openai", "chat.completions", ask_in_messages, {"tools": [CHAT_TOOL]}),
    "chat-tool-stream": Endpoint("openai", "chat.completions", ask_in_messages, {**STREAM, "tools": [CHAT_TOOL]}),
    "completions": Endpoint("openai", "completions", ask_in_prompt, {}),
    "completions-stream": Endpoint("openai", "completions", ask_in_prompt, STREAM),
    "embeddings": Endpoint("openai", "embeddings", ask_in_input, {}),
    "embeddings-base64": Endpoint("openai", "embeddings", ask_in_input, {"encoding_format": "base64"}),
    "responses": Endpoint("openai", "responses", ask_in_input, {}),
    "responses-stream": Endpoint("openai", "responses", ask_in_input, STREAM),
    "responses-tool": Endpoint("openai", "responses", ask_in_input, {"tools": [RESPONSES_TOOL]}),
    "responses-tool-stream": Endpoint("openai", "responses", ask_in_input, {**STREAM, "tools": [RESPONSES_TOOL]}),
    "messages": Endpoint("anthropic", "messages", ask_with_limit, {}),
    "messages-stream": Endpoint("anthropic", "messages", ask_with_limit, STREAM),
    "messages-tool": Endpoint("anthropic", "messages", ask_with_limit, {"tools": [MESSAGES_TOOL]}),
    "messages-tool-stream": Endpoint("anthropic", "messages", ask_with_limit, {**STREAM, "tools": [MESSAGES_TOOL]}),
    "beta-messages": Endpoint("anthropic", "beta.messages", ask_with_limit, {}),
}
EVERY_ENDPOINT = pytest.mark.parametrize("name", ENDPOINTS)


@pytest.fixture(scope="module")
def stage(serve_module: "Serve", portal: BlockingPortal) -> Stage:
    upstream = Upstream()
    address = serve_module(upstream)
    environ = {"OPENAI_BASE_URL": f"{address}/v1", "ANTHROPIC_BASE_URL": address}
    proxy = InFlight(COOMiddleware(create_proxy(environ), config=config_path({})))
    return Stage(serve_module(proxy), proxy, upstream, portal)


@pytest.fixture(scope="module")
def clients(stage: Stage) -> Iterator[dict[str, openai.OpenAI | anthropic.Anthropic]]:
    with (
        openai.OpenAI(base_url=f"{stage.url}/v1", api_key="caller", max_retries=0, timeout=20) as mine,
        anthropic.Anthropic(base_url=stage.url, api_key="caller", max_retries=0, timeout=20) as claude,
    ):
        yield {"openai": mine, "anthropic": claude}


def ask(client: object, endpoint: Endpoint, arguments: Arguments) -> Answer:
    create: Callable[..., Raw] = attrgetter(f"{endpoint.method}.with_raw_response.create")(client)
    raw = create(**arguments)
    parsed = raw.parse()
    value = list(parsed) if "stream" in arguments and isinstance(parsed, Iterable) else parsed
    return Answer(raw.headers["x-coo-cache"], value)


async def ask_async(client: object, endpoint: Endpoint, arguments: Arguments) -> Answer:
    create: Callable[..., Awaitable[Raw]] = attrgetter(f"{endpoint.method}.with_raw_response.create")(client)
    raw = await create(**arguments)
    parsed = raw.parse()
    if inspect.isawaitable(parsed):
        parsed = await parsed
    value = [event async for event in parsed] if isinstance(parsed, AsyncIterable) else parsed
    return Answer(raw.headers["x-coo-cache"], value)


def check_replay(first: Answer, second: Answer, *, stream: bool) -> None:
    assert ("MISS", "HIT") == (first.cache, second.cache)
    assert first.value == second.value
    assert stream == isinstance(first.value, list)
    assert first.value


@EVERY_ENDPOINT
def test_sync_hit_equals_the_miss(stage: Stage, clients: Mapping[str, object], name: str) -> None:
    """The second answer is a hit and parses to an equal object, or to an equal list of events."""
    endpoint = ENDPOINTS[name]
    arguments = endpoint.call(f"sync {name}: use the tool")
    calls = stage.upstream.calls
    first = ask(clients[endpoint.sdk], endpoint, arguments)
    stage.settle()
    second = ask(clients[endpoint.sdk], endpoint, arguments)
    check_replay(first, second, stream="stream" in arguments)
    assert 1 == stage.upstream.calls - calls


@EVERY_ENDPOINT
async def test_async_hit_equals_the_miss(stage: Stage, name: str) -> None:
    """The same holds for the asynchronous clients."""
    endpoint = ENDPOINTS[name]
    arguments = endpoint.call(f"async {name}: use the tool")
    async with (
        openai.AsyncOpenAI(base_url=f"{stage.url}/v1", api_key="caller", max_retries=0, timeout=20) as mine,
        anthropic.AsyncAnthropic(base_url=stage.url, api_key="caller", max_retries=0, timeout=20) as claude,
    ):
        client = {"openai": mine, "anthropic": claude}[endpoint.sdk]
        first = await ask_async(client, endpoint, arguments)
        stage.settle()
        second = await ask_async(client, endpoint, arguments)
    check_replay(first, second, stream="stream" in arguments)


@EVERY_ENDPOINT
def test_new_call_differs(clients: Mapping[str, object], name: str) -> None:
    """Two answers of the upstream are never equal, embeddings apart, so equality above means a replay."""
    endpoint = ENDPOINTS[name]
    arguments = {**endpoint.call(f"bypass {name}"), "extra_headers": {"Cache-Control": "no-store"}}
    first, second = (ask(clients[endpoint.sdk], endpoint, arguments) for _ in range(2))
    assert ("BYPASS", "BYPASS") == (first.cache, second.cache)
    assert (endpoint.method == "embeddings") == (first.value == second.value)


@pytest.mark.parametrize("name", ["chat-tool", "responses-tool", "messages-tool"])
def test_tool_call_is_parsed(clients: Mapping[str, object], name: str) -> None:
    """A tool call carries its name and its arguments, in JSON and put together from a stream alike."""
    endpoint = ENDPOINTS[name]
    whole = ask(clients[endpoint.sdk], endpoint, endpoint.call(f"parse {name}: use the tool"))
    assert "weather" in repr(whole.value)
    assert "example" in repr(whole.value)


def test_streaming_helpers_accumulate_the_same(stage: Stage, clients: Mapping[str, object]) -> None:
    """The SDKs' own accumulators end at the same final message for a streamed hit as for the miss."""
    mine, claude = clients["openai"], clients["anthropic"]
    assert isinstance(mine, openai.OpenAI)
    assert isinstance(claude, anthropic.Anthropic)
    finals = []
    for _ in range(2):
        with claude.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "sum"}]) as events:
            message = events.get_final_message()
        with mine.responses.stream(model="m", input="sum") as steps:
            response = steps.get_final_response()
        with mine.chat.completions.stream(model="m", messages=[{"role": "user", "content": "sum"}]) as chunks:
            completion = chunks.get_final_completion()
        finals.append((message, response, completion))
        stage.settle()
    assert finals[0] == finals[1]
    assert finals[0][1].output_text == finals[0][2].choices[0].message.content


def test_streaming_response_shows_the_cache_status(stage: Stage, clients: Mapping[str, object]) -> None:
    """`with_streaming_response` sees the header before the body is read."""
    client = clients["openai"]
    assert isinstance(client, openai.OpenAI)
    seen = []
    for _ in range(2):
        create = client.responses.with_streaming_response.create
        with create(model="m", input="look at the header", stream=True) as answer:
            seen.append((answer.headers["x-coo-cache"], list(answer.parse())))
        stage.settle()
    assert ["MISS", "HIT"] == [status for status, _ in seen]
    assert seen[0][1] == seen[1][1]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, "BadRequestError"),
        (401, "AuthenticationError"),
        (403, "PermissionDeniedError"),
        (404, "NotFoundError"),
        (409, "ConflictError"),
        (422, "UnprocessableEntityError"),
        (429, "RateLimitError"),
        (500, "InternalServerError"),
        (503, "InternalServerError"),
    ],
)
@pytest.mark.parametrize("name", ["chat", "chat-stream", "responses-stream", "messages", "messages-stream"])
def test_errors_are_the_sdks_own(clients: Mapping[str, object], name: str, status: int, error: str) -> None:
    """An upstream's error raises the class that the SDK has for its status, twice: it is never stored."""
    endpoint = ENDPOINTS[name]
    arguments = {**endpoint.call("fail"), "model": f"fail-{status}"}
    module = {"openai": openai, "anthropic": anthropic}[endpoint.sdk]
    for _ in range(2):
        with pytest.raises(getattr(module, error), match=str(status)) as raised:
            ask(clients[endpoint.sdk], endpoint, arguments)
        assert "MISS" == raised.value.response.headers["x-coo-cache"]
        assert ("1" if status == 429 else None) == raised.value.response.headers.get("retry-after")


@pytest.mark.parametrize(
    ("name", "model", "error"),
    [
        ("chat-stream", "error-in-stream", openai.APIError),
        ("chat-stream", "cut-stream", openai.APIConnectionError),
        ("completions-stream", "error-in-stream", openai.APIError),
        ("responses-stream", "cut-stream", openai.APIConnectionError),
        ("messages-stream", "error-in-stream", anthropic.APIStatusError),
        ("messages-stream", "cut-stream", httpx2.RemoteProtocolError),
    ],
)
def test_failed_stream_raises_and_is_not_stored(
    stage: Stage, clients: Mapping[str, object], name: str, model: str, error: type[Exception]
) -> None:
    """A stream that fails on its way raises what the SDK raises without us, each time: no broken answer is replayed."""
    endpoint = ENDPOINTS[name]
    arguments = {**endpoint.call("break"), "model": model}
    calls = stage.upstream.calls
    for _ in range(2):
        with pytest.raises(error):
            ask(clients[endpoint.sdk], endpoint, arguments)
        stage.settle()
    assert 2 == stage.upstream.calls - calls


@pytest.mark.parametrize("name", ["chat-stream", "responses-stream", "messages-stream"])
def test_first_event_comes_before_the_second_is_made(serve: "Serve", portal: BlockingPortal, name: str) -> None:
    """The client has the first event of a streamed miss while the upstream still waits to make the second."""
    received = asyncio.Event()
    made: list[str] = []

    async def wait_for_client() -> None:
        if made:
            await received.wait()
        made.append("event")

    address = serve(Upstream(wait_for_client))
    environ = {"OPENAI_BASE_URL": f"{address}/v1", "ANTHROPIC_BASE_URL": address}
    url = serve(COOMiddleware(create_proxy(environ), config=config_path({})))
    endpoint = ENDPOINTS[name]
    with (
        openai.OpenAI(base_url=f"{url}/v1", api_key="caller", max_retries=0, timeout=20) as mine,
        anthropic.Anthropic(base_url=url, api_key="caller", max_retries=0, timeout=20) as claude,
    ):
        client = {"openai": mine, "anthropic": claude}[endpoint.sdk]
        create: Callable[..., Iterator[object]] = attrgetter(f"{endpoint.method}.create")(client)
        events = create(**endpoint.call("one by one"))
        next(events)
        assert ["event"] == made
        portal.call(received.set)
        assert len(list(events)) > 5
