"""Content gives the app what the client sent, and Watcher the client what the app sends."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from coo_middleware import channels
from coo_middleware.channels import Content, Watch, Watcher
from coo_middleware.config import MetricsPolicy
from coo_middleware.core.exchange import Exchange
from coo_middleware.core.rewriter import Rewriter
from coo_middleware.formats.chat import CHAT
from coo_middleware.outbox import Outbox
from coo_middleware.recorder import Recorder
from coo_middleware.stores.memory import MemoryStore
from coo_middleware.timing import Timing
from tests.asgi import ANSWER, CHUNKS, JSON_FIELD, SSE_FIELD, Client, answer, content, stream

FIELDS = ((b"x-coo-cache", b"MISS"),)
DISCONNECT: Message = {"type": "http.disconnect"}
SSE = [SSE_FIELD, (b"content-length", b"999")]


async def read(client: Client, limit: int = 100) -> Content:
    whole = Content(client.receive, limit)
    await whole.read()
    return whole


@given(st.lists(st.binary(max_size=9), min_size=1, max_size=9))
async def test_content_is_replayed_event_by_event(chunks: list[bytes]) -> None:
    """However a content is cut, empty events and an empty last one included, the app gets the same event objects, then
    the live channel.
    """
    events = content(*chunks)
    client = Client(*events)
    client.leave()
    whole = await read(client)
    replay = [await whole.receive() for _ in events]

    assert (b"".join(chunks), "") == (whole.body, whole.fault)
    assert [id(event) for event in events] == [id(event) for event in replay]
    assert not whole.is_disconnected
    assert DISCONNECT == await whole.receive()
    assert whole.is_disconnected


async def test_events_may_leave_everything_out() -> None:
    """An event with neither body nor more_body is an empty last one (ASGI HTTP specification)."""
    whole = await read(Client({"type": "http.request"}))

    assert (b"", "") == (whole.body, whole.fault)


async def test_a_disconnect_before_the_end_aborts() -> None:
    """What came before the client left is replayed, the disconnect too, and none of it counts as a content."""
    events = [*content(b"ab", b"")[:1], DISCONNECT]
    whole = await read(Client(*events))
    replay = [await whole.receive() for _ in events]

    assert (b"", "aborted") == (whole.body, whole.fault)
    assert events == replay
    assert whole.is_disconnected


async def test_too_much_is_streamed_through() -> None:
    """Past the limit reading stops: the replay holds what was read and no more, the rest stays with the server."""
    events = content(*[b"x" * 60] * 1000)
    client = Client(*events)
    whole = await read(client, limit=100)

    assert (b"", "too-large") == (whole.body, whole.fault)
    assert 2 == len(whole._messages)
    assert 998 == len(client._events)
    assert events == [await whole.receive() for _ in events]


@pytest.mark.parametrize(("size", "fault"), [(100, ""), (101, "too-large")])
async def test_the_limit_is_the_last_size_that_fits(size: int, fault: str) -> None:
    """A content of exactly the limit is read, one byte more is not."""
    assert fault == (await read(Client(*content(b"x" * size)), limit=100)).fault


async def test_an_error_in_receive_reaches_the_app_in_its_place() -> None:
    """A body limit above us raises in `receive`: the app meets the same error after the same events."""
    error = OverflowError("413")
    whole = await read(Client(*content(b"ab", b"")[:1], error))
    first = await whole.receive()
    with pytest.raises(OverflowError) as caught:
        await whole.receive()

    assert b"ab" == first["body"]
    assert error is caught.value
    assert "aborted" == whole.fault


async def test_a_replaced_content_is_one_event() -> None:
    """The app gets the other content once, then the live channel."""
    client = Client(*content(b"ab", b"cd"))
    client.leave()
    whole = await read(client)
    whole.replace(b"other")

    assert content(b"other") == [await whole.receive()]
    assert DISCONNECT == await whole.receive()


async def test_a_client_that_has_all_leaves_a_little_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The app hears of a client that hung up with everything in hand, but not before it had time to end."""
    monkeypatch.setattr(channels, "LINGER_SECONDS", 0.001)
    client = Client(*content(b"x"))
    client.leave()
    whole = await read(client)
    whole.is_delivered = lambda: True
    await whole.receive()

    assert DISCONNECT == await whole.receive()
    assert whole.is_disconnected


def make_watcher(client: Client, *, strips: bool = False) -> tuple[Watcher, Exchange, Recorder]:
    exchange = Exchange(CHAT, 100_000, strip=CHAT.strip if strips else None)
    recorder = Recorder(Outbox(MemoryStore()), MetricsPolicy())
    watch = Watch(exchange, recorder)
    watcher = Watcher(
        watch, lambda _status, _headers: FIELDS, client.send, strips=strips, note_chunk=Timing().note_chunk
    )
    return watcher, exchange, recorder


async def test_messages_go_as_they_came() -> None:
    """A start gains our fields, in a new message; every other message is the same object."""
    client = Client()
    watcher, exchange, _ = make_watcher(client)
    messages = answer(ANSWER[:5], ANSWER[5:])
    for message in messages:
        await watcher.send(message)
    told = exchange.answer()

    assert {**messages[0], "headers": [JSON_FIELD, *FIELDS]} == client.messages[0]
    assert [JSON_FIELD] == messages[0]["headers"]
    assert [id(message) for message in messages[1:]] == [id(message) for message in client.messages[1:]]
    assert (ANSWER, True, False) == (told.content, told.ended, told.strange)


async def test_an_answer_may_leave_everything_out() -> None:
    """A start without headers and a body message without anything are an empty answer (ASGI HTTP specification)."""
    client = Client()
    watcher, exchange, recorder = make_watcher(client)
    for message in ({"type": "http.response.start", "status": 204}, {"type": "http.response.body"}):
        await watcher.send(message)

    assert [{"type": "http.response.start", "status": 204, "headers": [*FIELDS]}] == client.messages[:1]
    assert (True, {}) == (exchange.answer().ended, recorder.counts)


STRANGE: list[Message] = [
    {"type": "http.response.pathsend", "path": "answer.json"},
    {"type": "http.response.trailers", "headers": [], "more_trailers": False},
    {"type": "http.response.zerocopysend", "file": 3},
    {"type": "http.response.new.tomorrow"},
]


@pytest.mark.parametrize("message", STRANGE, ids=lambda message: message["type"])
async def test_unknown_messages_go_through_and_are_noticed(message: Message) -> None:
    """What we do not understand reaches the client as it is, and what the client got is not what we saw."""
    client = Client()
    watcher, exchange, _ = make_watcher(client)
    await watcher.send(message)

    assert message is client.messages[0]
    assert exchange.answer().strange


async def test_announced_trailers_are_noticed() -> None:
    """A start that announces trailers keeps doing so, and the answer is strange."""
    client = Client()
    watcher, exchange, _ = make_watcher(client)
    await watcher.send({**answer(b"")[0], "trailers": True})

    assert client.messages[0]["trailers"]
    assert exchange.answer().strange


@given(st.lists(st.integers(1, 300), max_size=5))
async def test_a_rewritten_stream_loses_the_usage_chunk_only(cuts: list[int]) -> None:
    """However the stream is cut, the client gets every event but the one that nobody asked for, and no false length."""
    client = Client()
    watcher, exchange, _ = make_watcher(client, strips=True)
    wire = b"".join(CHUNKS)
    edges = [0, *sorted(cuts), len(wire)]
    pieces = [wire[start:end] for start, end in pairwise(edges)]
    for message in answer(*pieces, headers=SSE):
        await watcher.send(message)
    told = exchange.answer()

    assert (b"".join((*CHUNKS[:3], CHUNKS[4])), wire) == (client.body, told.content)
    assert [SSE_FIELD, *FIELDS] == client.messages[0]["headers"]
    assert len(pieces) + 1 == len(client.messages)
    assert told.outcome.usage is not None


async def test_an_answer_that_is_no_stream_is_not_rewritten() -> None:
    """Asked for a stream, an app may answer with an error as JSON: its bytes and its length stay."""
    client = Client()
    watcher, _, _ = make_watcher(client, strips=True)
    for message in answer(ANSWER, headers=(JSON_FIELD, (b"content-length", b"5"))):
        await watcher.send(message)

    assert (ANSWER, b"5") == (client.body, client.fields[b"content-length"])


FAULTY: list[list[Message]] = [
    [{"type": "http.response.start", "headers": []}],
    [{"type": "http.response.start", "status": 200, "headers": 7}],
    [{"type": "http.response.start", "status": 200, "headers": [()]}],
    [*answer(b"")[:1], {"type": "http.response.body", "body": "text"}],
]


@pytest.mark.parametrize("messages", FAULTY)
async def test_a_message_that_we_stumble_over_goes_through(messages: list[Message]) -> None:
    """An app's mistake is the server's to judge: the message goes on as it is, the fault is counted."""
    client = Client()
    watcher, exchange, recorder = make_watcher(client)
    for message in messages:
        await watcher.send(message)

    assert messages[-1] is client.messages[-1]
    assert exchange.answer().strange
    assert {"internal_errors": 1} == recorder.counts


async def test_a_fault_in_rewriting_gives_back_what_was_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rewriting fails within an event, the client gets the whole event, and the rest as it comes."""
    client = Client()
    watcher, exchange, recorder = make_watcher(client, strips=True)
    start, *bodies = stream(CHUNKS[0][:20], CHUNKS[0][20:], CHUNKS[3])
    await watcher.send(start)
    await watcher.send(bodies[0])
    monkeypatch.setattr(Rewriter, "rewrite", None)
    for message in bodies[1:]:
        await watcher.send(message)

    assert [b"", CHUNKS[0], CHUNKS[3], b""] == [message["body"] for message in client.messages[1:]]
    assert (True, {"internal_errors": 1}) == (exchange.answer().strange, recorder.counts)


async def test_a_fault_in_rewriting_leaves_a_whole_chunk_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing was held back, the failing message goes on as the object it is."""
    client = Client()
    watcher, _, _ = make_watcher(client, strips=True)
    start, first, *_ = stream(CHUNKS[0])
    await watcher.send(start)
    monkeypatch.setattr(Rewriter, "rewrite", None)
    await watcher.send(first)

    assert first is client.messages[1]


async def test_a_send_that_fails_tells_of_the_client() -> None:
    """An OSError from the server means that the client has left; another error says nothing about it."""
    client = Client()
    told = []
    for error in (ValueError(), BrokenPipeError()):
        client.refusing = error
        watcher, _, _ = make_watcher(client)
        with pytest.raises(type(error)):
            await watcher.send(answer(b"")[0])
        told.append(watcher.is_disconnected)

    assert [False, True] == told
