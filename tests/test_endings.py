"""However a request ends, it is recorded once for what it was, and only a whole answer is stored."""

import asyncio
from collections.abc import AsyncIterator
from contextvars import ContextVar

import anyio
import httpx
import pytest
from anyio.from_thread import BlockingPortal
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coo_middleware import COOMiddleware
from coo_middleware.core.record import Record
from coo_middleware.recorder import Recorder
from example_app.loopback import InFlight
from tests.asgi import (
    ANSWER,
    ASK_STREAM,
    CHAT,
    CHUNKS,
    JSON_FIELD,
    Client,
    Script,
    again,
    answer,
    ask,
    call,
    content,
    make_scope,
    read_all,
    stream,
    total,
)
from tests.conftest import Serve

# What these tests are about: test_disconnect.py has what becomes of calls that go on without a client.
CANCELLING = {"policy": {"on_disconnect": "cancel"}}
INLINE = {"policy": {"on_disconnect": "cancel", "cache": {"collapse": False}}}


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    """All records that are made, in their order."""
    made: list[Record] = []
    record = Recorder.record

    def keep(recorder: Recorder, each: Record) -> None:
        made.append(each)
        record(recorder, each)

    monkeypatch.setattr(Recorder, "record", keep)
    return made


async def test_the_apps_exception_and_its_context_reach_the_layer_above() -> None:
    """The same exception object comes out, without one of ours behind it, and so do context variables."""
    mark: ContextVar[str] = ContextVar("mark")
    error = RuntimeError("the app's own")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        mark.set("set by the app")
        raise error

    with pytest.raises(RuntimeError) as caught:
        await call(COOMiddleware(app))

    assert error is caught.value
    assert None is error.__context__
    assert "set by the app" == mark.get()


RAISING = [0, 1, 2, 3]


@pytest.mark.parametrize("sent", RAISING, ids=["before start", "after start", "mid-stream", "after the final message"])
async def test_a_raising_app_is_an_error_and_is_not_stored(sent: int, records: list[Record]) -> None:
    """Wherever the app raises, what it sent reaches the client, one error is recorded and nothing is stored."""
    messages = answer(ANSWER[:9], ANSWER[9:])[:sent]
    app = Script(*messages, ValueError("odd"))
    middleware = COOMiddleware(app)
    client = Client(*content(ask()))
    with pytest.raises(ValueError, match="odd"):
        await middleware(make_scope(), client.receive, client.send)
    app.steps = answer(ANSWER)

    assert [message.get("body") for message in messages] == [message.get("body") for message in client.messages]
    assert ["exception"] == [record.error_type for record in records]
    assert (1, 1) == (await total(middleware, "req"), await total(middleware, "errors"))
    assert b"MISS" == (await again(middleware)).fields[b"x-coo-cache"]


def hold() -> tuple[COOMiddleware, Client]:
    """A middleware over an app that stops for ever in mid-stream."""
    app = Script(*stream(*CHUNKS)[:3], asyncio.Event())
    return COOMiddleware(app, CANCELLING), Client(*content(ASK_STREAM))


async def check_left(middleware: COOMiddleware, records: list[Record]) -> None:
    await middleware.drain()
    assert ["client_disconnect"] == [record.error_type for record in records]
    assert (1, 0) == (await total(middleware, "req"), await total(middleware, "errors"))
    assert {"misses": 1, "unstored.exception": 1} == middleware.counts


async def test_a_request_cancelled_by_an_outer_scope_is_recorded(records: list[Record]) -> None:
    """Under a cancelled task group every await fails at once; the record is made all the same."""
    middleware, client = hold()
    async with anyio.create_task_group() as group:
        group.start_soon(middleware, make_scope(), client.receive, client.send)
        await client.wait_for(3)
        group.cancel_scope.cancel()

    await check_left(middleware, records)


async def test_a_cancelled_task_is_recorded(records: list[Record]) -> None:
    """A server that cancels the request's task gets its cancellation back, and one record is made."""
    middleware, client = hold()
    request = asyncio.create_task(middleware(make_scope(), client.receive, client.send))
    await client.wait_for(3)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request

    await check_left(middleware, records)


async def leave_mid_stream(app: ASGIApp) -> COOMiddleware:
    middleware = COOMiddleware(app, CANCELLING)
    client = Client(*content(ASK_STREAM))
    client.leave()
    await middleware(make_scope(), client.receive, client.send)
    await middleware.drain()
    return middleware


async def test_a_client_that_leaves_is_no_error_of_the_provider(records: list[Record]) -> None:
    """An app that hears of it and returns has sent no final message: incomplete, never stored, recorded once."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_all(receive)
        for message in stream(*CHUNKS)[:3]:
            await send(message)
        assert "http.disconnect" == (await receive())["type"]

    middleware = await leave_mid_stream(app)

    assert ["client_disconnect"] == [record.error_type for record in records]
    assert (1, 0) == (await total(middleware, "req"), await total(middleware, "errors"))
    assert {"misses": 1, "unstored.incomplete": 1} == middleware.counts


async def test_a_client_that_hangs_up_at_the_end_it_knows_loses_nothing(records: list[Record]) -> None:
    """The openai SDK hangs up at `[DONE]`: the app may still end, and the whole answer is stored."""
    ending = asyncio.Event()

    async def talk() -> AsyncIterator[bytes]:
        for chunk in CHUNKS:
            yield chunk
        await ending.wait()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_all(receive)
        await StreamingResponse(talk(), media_type="text/event-stream")(scope, receive, send)

    middleware = COOMiddleware(app)
    client = Client(*content(ASK_STREAM))
    task = asyncio.create_task(middleware(make_scope(), client.receive, client.send))
    await client.wait_for(1 + len(CHUNKS))
    client.leave()
    await asyncio.sleep(0)
    ending.set()
    await task

    assert b"HIT" == (await again(middleware, ASK_STREAM)).fields[b"x-coo-cache"]
    assert ["", ""] == [record.error_type for record in records]


async def test_a_server_that_raises_in_send_says_that_the_client_left(records: list[Record]) -> None:
    """From ASGI 2.4 on send() may raise OSError: it reaches the app, and the provider is not blamed."""
    middleware = COOMiddleware(Script(*stream(*CHUNKS)), INLINE)
    client = Client(*content(ASK_STREAM))
    client.refusing = BrokenPipeError()
    with pytest.raises(BrokenPipeError):
        await middleware(make_scope(), client.receive, client.send)

    assert ["client_disconnect"] == [record.error_type for record in records]


async def test_a_stream_cut_by_the_upstream_is_an_error_and_is_not_stored(records: list[Record]) -> None:
    """An upstream that stops early looks like a normal end of the body; the format's own end is missing."""
    middleware = COOMiddleware(Script(*stream(*CHUNKS[:2])))
    await call(middleware, ASK_STREAM)

    assert ["cut"] == [record.error_type for record in records]
    assert b"MISS" == (await again(middleware, ASK_STREAM)).fields[b"x-coo-cache"]


async def test_a_hit_that_nobody_takes_is_a_hit() -> None:
    """A stored response is counted once whether or not its client waits for it, and the error goes up."""
    middleware = COOMiddleware(Script(*answer(ANSWER)))
    await call(middleware)
    await middleware.drain()
    client = Client(*content(ask()))
    client.refusing = BrokenPipeError()
    with pytest.raises(BrokenPipeError):
        await middleware(make_scope(), client.receive, client.send)

    assert {"misses": 1, "hits": 1} == middleware.counts


REFUSED = [
    ("set-cookie", answer(ANSWER, headers=(JSON_FIELD, (b"Set-Cookie", b"session=1")))),
    ("no-store", answer(ANSWER, headers=(JSON_FIELD, (b"cache-control", b"no-store")))),
    ("status", answer(ANSWER, status=201)),
    ("strange", [*answer(ANSWER, b"")[:-1], {"type": "http.response.pathsend", "path": "answer.json"}]),
    ("incomplete", answer(ANSWER, b"")[:-1]),
]


@pytest.mark.parametrize(("reason", "messages"), REFUSED, ids=[reason for reason, _ in REFUSED])
async def test_what_is_not_storable_is_forwarded_and_not_stored(reason: str, messages: list[Message]) -> None:
    """Each refusal is counted by its reason and the client gets every message."""
    middleware = COOMiddleware(Script(*messages))
    client = await call(middleware)

    assert len(messages) == len(client.messages)
    assert {"misses": 1, f"unstored.{reason}": 1} == middleware.counts
    assert b"MISS" == (await again(middleware)).fields[b"x-coo-cache"]


def test_uvicorn_and_starlette_tell_of_a_client_that_leaves(
    serve: Serve, portal: BlockingPortal, records: list[Record]
) -> None:
    """On a real server the app returns without an error and without a final message: recorded as what it was."""

    async def chunks() -> AsyncIterator[bytes]:
        yield CHUNKS[0]
        await asyncio.Event().wait()

    middleware = COOMiddleware(StreamingResponse(chunks(), media_type="text/event-stream"), CANCELLING)
    flight = InFlight(middleware)
    url = serve(flight) + CHAT
    with httpx.stream("POST", url, content=ASK_STREAM, headers={"content-type": "application/json"}) as response:
        first = next(response.iter_raw())
    portal.call(flight.settled)
    portal.call(middleware.drain)

    assert CHUNKS[0] == first
    assert [("client_disconnect", "incomplete")] == [(record.error_type, record.stored) for record in records]
