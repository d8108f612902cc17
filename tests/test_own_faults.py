"""No fault of ours and none of the store costs a request: the client gets what the app alone would have sent."""

from collections.abc import Sequence

import pytest

from coo_middleware import COOMiddleware, StoreError
from coo_middleware.stores import Increment, RuntimeStore
from coo_middleware.stores.memory import MemoryStore
from tests.asgi import (
    ANSWER,
    CHUNKS,
    KEY,
    SSE_FIELD,
    Client,
    Script,
    again,
    answer,
    ask,
    call,
    content,
    make_scope,
    stream,
    total,
)

CANARY = "prompt-canary"
BARE_STREAM = (*CHUNKS[:3], CHUNKS[4])

CALLS = [
    "coo_middleware.middleware.recognise",
    "coo_middleware.middleware._is_marked",
    "coo_middleware.middleware.Target",
    "coo_middleware.middleware.CooContext",
    "coo_middleware.middleware.Call",
    "coo_middleware.middleware.unpack_entry",
    "coo_middleware.middleware.pack_entry",
    "coo_middleware.channels.Content.read",
    "coo_middleware.channels.add_fields",
    "coo_middleware.call.forward_fields",
    "coo_middleware.call.resize_field",
    "coo_middleware.call.hit_fields",
    "coo_middleware.call.refuse_storing",
    "coo_middleware.call.classify_error",
    "coo_middleware.call.reused_fields",
    "coo_middleware.call.Record",
    "coo_middleware.core.plan.Planner.plan",
    "coo_middleware.core.exchange.Exchange.start",
    "coo_middleware.core.exchange.Exchange.rewrite",
    "coo_middleware.core.exchange.Exchange.add",
    "coo_middleware.core.exchange.Exchange.answer",
    "coo_middleware.core.entry.Entry.is_fresh",
    "coo_middleware.recorder.Recorder.record",
    "coo_middleware.recorder.count_record",
]


def fail(*_: object, **__: object) -> None:
    raise LookupError(CANARY)


@pytest.mark.parametrize("name", CALLS)
async def test_a_fault_at_each_of_our_calls(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever of our own calls raises, the app gets its request and the client its bytes; the fault is counted and
    logged without what it says.
    """
    caplog.set_level("DEBUG")
    app = Script(*answer(ANSWER))
    middleware = COOMiddleware(app)
    await call(middleware)
    await middleware.drain()
    monkeypatch.setattr(name, fail)
    bodies = [(await again(middleware, body)).body for body in (ask(), ask("another"))]
    app.steps = stream(*BARE_STREAM)
    streamed = await again(middleware, ask(stream=True))
    await middleware.drain()

    assert [ANSWER, ANSWER] == bodies
    assert b"".join(BARE_STREAM) == streamed.body
    assert ask("another") in app.received
    assert 0 < middleware.counts.get("internal_errors", 0) + middleware.counts.get("store_errors", 0)
    assert "LookupError at " in caplog.text
    assert CANARY not in caplog.text


async def test_a_fault_in_a_refusal_lets_the_app_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that wants stored responses only is answered by the app where our own refusal cannot be made."""
    monkeypatch.setattr("coo_middleware.call.add_fields", fail)
    scope = make_scope(headers=(*make_scope()["headers"], (b"cache-control", b"only-if-cached")))

    assert ANSWER == (await call(COOMiddleware(Script(*answer(ANSWER))), scope=scope)).body


@pytest.mark.parametrize("place", range(1, 8))
async def test_a_fault_while_rewriting_loses_no_byte(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever chunk rewriting fails at, the client gets all that was held back, and nothing twice."""
    wire = b"".join(BARE_STREAM)
    chunks = [wire[at : at + 50] for at in range(0, len(wire), 50)]
    middleware = COOMiddleware(Script(*stream(*chunks)))
    seen: list[None] = []

    def fail_at_place(raw: object) -> object:
        seen.append(None)
        return decode(raw) if len(seen) != place else fail()

    from coo_middleware.core import exchange

    decode = exchange.SSEDecoder.feed
    del fail_at_place, decode
    assert wire == (await call(middleware, ask(stream=True))).body


class Broken(RuntimeStore):
    """A store of which nothing works, until it is `mended`; its errors repeat what it was given."""

    def __init__(self) -> None:
        self.mended = False
        self.batches: list[tuple[int, Sequence[Increment]]] = []
