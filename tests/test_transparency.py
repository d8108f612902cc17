"""Whatever a client, a server and an app say to each other, with the cache out of the way they say it as without us."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coo_middleware import COOMiddleware
from tests.asgi import ANSWER, CHUNKS, JSON_FIELD, KEY, SSE_FIELD, Client, Fields, ask, content, make_scope

OURS = {b"cache-status", b"x-coo-cache"}
SETTINGS: dict[str, dict[str, object]] = {
    "disabled": {
        "policy": {"cache": {"enabled": False}, "metrics": {"include_usage": False}, "on_disconnect": "cancel"}
    },
    "bypassed": {"policy": {"metrics": {"include_usage": False}, "max_request_bytes": 1024, "on_disconnect": "cancel"}},
}
NO_STORE = (b"cache-control", b"no-store")

HEADS: st.SearchStrategy[list[tuple[bytes, bytes]]] = st.lists(
    st.sampled_from(
        [JSON_FIELD, SSE_FIELD, (b"Content-Length", b"7"), (b"set-cookie", b"a=1"), (b"content-encoding", b"gzip")]
    ),
    max_size=3,
)
STARTS = st.fixed_dictionaries(
    {"type": st.just("http.response.start"), "status": st.sampled_from([200, 204, 404, 500])},
    optional={"headers": HEADS, "trailers": st.booleans()},
)
PIECES = st.sampled_from([b"", ANSWER, *CHUNKS, CHUNKS[0][:9], b"data: \xff\n\n", b"\r"]) | st.binary(max_size=9)
BODIES = st.fixed_dictionaries(
    {"type": st.just("http.response.body")}, optional={"body": PIECES, "more_body": st.booleans()}
)
ODD = st.sampled_from(
    [
        {"type": "http.response.trailers", "headers": [], "more_trailers": False},
        {"type": "http.response.pathsend", "path": "answer.json"},
        {"type": "http.response.new.tomorrow"},
    ]
)


class OwnError(Exception):
    """What an app or a server of these tests raises."""


@dataclass(frozen=True)
class Conversation:
    """What the client's side gives in turn, and what the app does: sends a message, receives (None) or raises."""

    events: list[Message | Exception]
    steps: list[Message | OwnError | None]
    headers: Fields


@dataclass
class Heard:
    """What the app received, what the client got, and what came out of the app."""

    received: list[object] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    raised: list[BaseException] = field(default_factory=list)


REQUESTS = st.one_of(
    st.lists(st.binary(max_size=9), min_size=1, max_size=4).map(lambda chunks: content(*chunks)),
    st.integers(0, 60).map(lambda at: content(ask()[:at], b"", ask()[at:])),
    st.just(content(b"x" * 600, b"x" * 600, b"x" * 600)),
    st.just(content(ask(stream=True))),
)
CUTS: st.SearchStrategy[list[Message | Exception]] = st.sampled_from([[], [OwnError("server")]])
CONVERSATIONS = st.builds(
    lambda events, kept, cut, steps, fields: Conversation([*events[:kept], *cut], steps, fields),
    REQUESTS,
    st.integers(0, 4),
    CUTS,
    st.lists(st.one_of(STARTS, BODIES, BODIES, st.none(), ODD, st.just(OwnError("app"))), max_size=8),
    st.sampled_from([(JSON_FIELD, KEY), (JSON_FIELD, NO_STORE), ()]),
)


async def converse(talk: Conversation, settings: dict[str, object] | None) -> Heard:
    """The conversation through a middleware with `settings`, or with the bare app."""
    heard = Heard()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for step in talk.steps:
            if isinstance(step, OwnError):
                raise step
            if step is None:
                heard.received.append(await receive())
            else:
                await send(step)

    client = Client(*talk.events)
    client.leave()
    mounted: ASGIApp = app if settings is None else COOMiddleware(app, settings)
    try:
        await mounted(make_scope(headers=talk.headers), client.receive, client.send)
    except OwnError as error:
        heard.raised.append(error)
    heard.messages = client.messages
    return heard


def without_ours(message: Message) -> Message:
    if message["type"] != "http.response.start":
        return message
    kept = [(name, value) for name, value in message.get("headers", ()) if name not in OURS]
    return {**message, "headers": kept}


@pytest.mark.parametrize("name", SETTINGS)
@given(talk=CONVERSATIONS)
async def test_a_conversation_is_what_it_is_without_us(name: str, talk: Conversation) -> None:
    """The app receives equal events, the client gets equal messages but for two fields in the header section, and the
    same exception comes out.
    """
    if name == "bypassed":
        talk = Conversation(talk.events, talk.steps, (*talk.headers, NO_STORE))
    bare = await converse(talk, None)
    ours = await converse(talk, SETTINGS[name])

    assert bare.received == ours.received
    assert [without_ours(message) for message in bare.messages] == [without_ours(message) for message in ours.messages]
    assert [id(error) for error in bare.raised] == [id(error) for error in ours.raised]


async def test_a_difference_would_be_seen() -> None:
    """The comparison can fail: a client that asks for no usage has its stream rewritten when that is on."""
    talk = Conversation(
        list(content(ask(stream=True))),
        [None, {"type": "http.response.start", "status": 200, "headers": [SSE_FIELD]}],
        (JSON_FIELD,),
    )

    assert (await converse(talk, None)).received != (await converse(talk, {})).received
