"""The SDKs of Google, Mistral, Cohere and Ollama through the middleware: what they parse, and what they raise."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Final

import cohere
import cohere.core
import httpx
import httpx2
import ollama
import pytest
from anyio.from_thread import BlockingPortal
from google import genai
from google.genai import errors as google_errors
from mistralai.client import Mistral
from mistralai.client import errors as mistral_errors

from tests.scripted import Call, Stage, parsed, parsed_async
from tests.vendor_calls import CALLS, STATEFUL

if TYPE_CHECKING:
    from tests.conftest import Serve

Fields = dict[str, str]


def google_options(url: str, fields: Fields) -> genai.types.HttpOptions:
    return genai.types.HttpOptions(base_url=url, headers=fields)


def google(url: str, key: str, fields: Fields) -> genai.Client:
    return genai.Client(api_key=key, http_options=google_options(url, fields))


def vertex(url: str, key: str, fields: Fields) -> genai.Client:
    return genai.Client(vertexai=True, api_key=key, http_options=google_options(url, fields))


@contextmanager
def mistral(url: str, key: str, fields: Fields) -> Iterator[Mistral]:
    with httpx2.Client(headers=fields) as http:
        yield Mistral(api_key=key, server_url=url, client=http)


@contextmanager
def cohere_v1(url: str, key: str, fields: Fields) -> Iterator[cohere.Client]:
    with httpx.Client(headers=fields) as http:
        yield cohere.Client(key, base_url=url, max_retries=0, httpx_client=http)


@contextmanager
def cohere_v2(url: str, key: str, fields: Fields) -> Iterator[cohere.ClientV2]:
    with httpx.Client(headers=fields) as http:
        yield cohere.ClientV2(key, base_url=url, max_retries=0, httpx_client=http)


def local_ollama(url: str, key: str, fields: Fields) -> ollama.Client:
    return ollama.Client(url, headers={"Authorization": f"Bearer {key}", **fields})


def google_async(url: str, key: str) -> AbstractAsyncContextManager[object]:
    return google(url, key, {}).aio


def vertex_async(url: str, key: str) -> AbstractAsyncContextManager[object]:
    return vertex(url, key, {}).aio


@asynccontextmanager
async def mistral_async(url: str, key: str) -> AsyncIterator[Mistral]:
    async with httpx2.AsyncClient() as http:
        yield Mistral(api_key=key, server_url=url, async_client=http)


@asynccontextmanager
async def cohere_v1_async(url: str, key: str) -> AsyncIterator[cohere.AsyncClient]:
    async with httpx.AsyncClient() as http:
        yield cohere.AsyncClient(key, base_url=url, max_retries=0, httpx_client=http)


@asynccontextmanager
async def cohere_v2_async(url: str, key: str) -> AsyncIterator[cohere.AsyncClientV2]:
    async with httpx.AsyncClient() as http:
        yield cohere.AsyncClientV2(key, base_url=url, max_retries=0, httpx_client=http)


def ollama_async(url: str, key: str) -> ollama.AsyncClient:
    return ollama.AsyncClient(url, headers={"Authorization": f"Bearer {key}"})


@dataclass(frozen=True, slots=True)
class SDK:
    """How clients of an SDK are made, and the error that they raise for a status, found under `status`."""

    connect: Callable[[str, str, Fields], AbstractContextManager[object]]
    connect_async: Callable[[str, str], AbstractAsyncContextManager[object]]
    error: type[Exception]
    status: str
    suffix: str = ""


SDKS: Final = {
    "google": SDK(google, google_async, google_errors.ServerError, "code"),
    "vertex": SDK(vertex, vertex_async, google_errors.ServerError, "code"),
    "mistral": SDK(mistral, mistral_async, mistral_errors.SDKError, "status_code", "_async"),
    "cohere": SDK(cohere_v2, cohere_v2_async, cohere.GatewayTimeoutError, "status_code"),
    "cohere-v1": SDK(cohere_v1, cohere_v1_async, cohere.GatewayTimeoutError, "status_code"),
    "ollama": SDK(local_ollama, ollama_async, ollama.ResponseError, "status_code"),
}
EVERY_CALL: Final = pytest.mark.parametrize("name", CALLS)
STREAMS: Final = [name for name, call in CALLS.items() if len(call.answer.pieces) > 1]
TORN: Final = httpx.RemoteProtocolError, httpx2.RemoteProtocolError
ONLY_CACHED: Final = {"Cache-Control": "only-if-cached"}


@pytest.fixture(scope="module")
def stage(serve_module: "Serve", portal: BlockingPortal) -> Stage:
    return Stage(serve_module, portal)


def ask(stage: Stage, call: Call, key: str = "caller", fields: Fields | None = None) -> object:
    """What a client of its own makes of a call's answer."""
    with SDKS[call.sdk].connect(stage.url, key, fields or {}) as client:
        method: Callable[..., object] = attrgetter(call.method)(client)
        return parsed(method(**call.arguments))


async def ask_async(stage: Stage, call: Call, key: str) -> object:
    sdk = SDKS[call.sdk]
    async with sdk.connect_async(stage.url, key) as client:
        method: Callable[..., object] = attrgetter(call.method + sdk.suffix)(client)
        return await parsed_async(method(**call.arguments))


@EVERY_CALL
def test_sync_hit_equals_the_miss(stage: Stage, name: str) -> None:
    """The second answer is a hit and parses to an equal object, or to an equal list of events."""
    call = CALLS[name]
    stage.begin(call.answer)
    first, second = ask(stage, call, name), ask(stage, call, name)

    assert (1, ["MISS", "HIT"]) == stage.seen()
    assert first == second
    assert call.answer.streams == isinstance(first, list)
    assert first


@EVERY_CALL
async def test_async_hit_equals_the_miss(stage: Stage, name: str) -> None:
    """The same holds for the asynchronous clients."""
    call = CALLS[name]
    stage.begin(call.answer)
    first, second = await ask_async(stage, call, "a" + name), await ask_async(stage, call, "a" + name)

    assert (1, ["MISS", "HIT"]) == stage.seen()
    assert first == second
    assert call.answer.streams == isinstance(first, list)
    assert first


@pytest.mark.parametrize("breaks", [False, True], ids=["ends early", "breaks off"])
@pytest.mark.parametrize("name", STREAMS)
def test_cut_stream_is_never_a_hit(stage: Stage, name: str, breaks: bool) -> None:
    """A stream without its last event is not replayed, whether the client can tell or not; the next whole one is."""
    call, key = CALLS[name], f"cut {breaks} {name}"
    stage.begin(call.answer.cut(breaks=breaks), call.answer)
    with pytest.raises(TORN) if breaks else nullcontext():
        ask(stage, call, key)
    whole, replayed = ask(stage, call, key), ask(stage, call, key)

    assert (2, ["MISS", "MISS", "HIT"]) == stage.seen()
    assert whole == replayed


@EVERY_CALL
def test_another_credential_is_a_miss(stage: Stage, name: str) -> None:
    """What one caller was answered is never given to another."""
    call = CALLS[name]
    stage.begin(call.answer, call.answer)
    mine, yours = ask(stage, call, "mine " + name), ask(stage, call, "yours " + name)

    assert (2, ["MISS", "MISS"]) == stage.seen()
    assert mine == yours


@EVERY_CALL
def test_our_errors_are_the_sdks_own(stage: Stage, name: str) -> None:
    """What we answer ourselves raises the class that the SDK has for the status, and says why."""
    call = CALLS[name]
    sdk = SDKS[call.sdk]
    stage.begin()
    with pytest.raises(sdk.error, match="only-if-cached was asked for") as raised:
        ask(stage, call, "nobody", ONLY_CACHED)

    assert 504 == getattr(raised.value, sdk.status)
    assert (0, ["MISS"]) == stage.seen()


def test_kept_interactions_are_never_a_hit(stage: Stage) -> None:
    """Interactions go on from what the provider keeps, so each goes to it."""
    stage.begin(STATEFUL.answer, STATEFUL.answer)
    first, second = ask(stage, STATEFUL), ask(stage, STATEFUL)

    assert (2, ["BYPASS", "BYPASS"]) == stage.seen()
    assert first == second
