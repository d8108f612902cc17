"""Equal requests at once: one upstream call, equal answers, and no client's fate is another's."""

from __future__ import annotations

import asyncio
import random

import pytest

from coo_middleware.follower import FollowError
from tests.asgi import ANSWER, ASK_STREAM, CHUNKS, JSON_FIELD, KEY, Script, answer, ask, content, stream, total
from tests.crowd import EVENTS, Crowd, Faulty, Slow, flight_of, gated, mount
from tests.proof import choose, report

COUNT = 1_000
SEEDS = choose(3, 100)
SILENT = b"".join((*CHUNKS[:3], CHUNKS[4]))


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_thousand_equal_requests_are_one_call(streamed: bool) -> None:
    """All get equal answers from one upstream call, which is counted once; the others save what it cost."""
    app, gate = gated(ANSWER, streamed=streamed, after=0)
    crowd = Crowd(mount(app))
    for _ in range(COUNT):
        crowd.send(ASK_STREAM if streamed else ask())
    await crowd.gather(COUNT)
    gate.set()

    assert [None] * COUNT == await crowd.end()
    assert {b"".join(EVENTS) if streamed else ANSWER} == {client.body for client in crowd.clients}
    assert ([b"COLLAPSED"] * (COUNT - 1) + [b"MISS"], 1) == (crowd.marks(), len(app.received))
    assert [1, 11, COUNT - 1, 11 * (COUNT - 1), 0] == [
        await total(crowd.middleware, metric) for metric in ("req", "tokens", "collapsed", "tokens_saved", "cache_hits")
    ]
    assert {"misses": 1, "collapsed": COUNT - 1} == crowd.middleware.counts


async def test_without_collapsing_each_is_a_call() -> None:
    """The count of calls can be another: switched off, every request has its own."""
    app, gate = gated(ANSWER, streamed=False, after=0)
    crowd = Crowd(mount(app, cache={"collapse": False}))
    for _ in range(20):
        crowd.send()
    gate.set()
    await crowd.end()

    assert 20 == len(app.received)


async def test_a_late_follower_gets_all_from_the_first_event() -> None:
    """Who joins when 50 of 200 events are out gets all 200, one message each, in their order."""
    app, gate = gated(b"", streamed=True, after=51)
    crowd = Crowd(mount(app))
    first = crowd.send(ASK_STREAM)
    await first.wait_for(51)
    late = crowd.send(ASK_STREAM)
    await late.wait_for(51)
    gate.set()
    await crowd.end()

    assert [*EVENTS, b""] == [message["body"] for message in late.messages[1:]]
    assert first.body == late.body
    assert (b"coo; fwd=miss; stored", b"coo; fwd=miss; collapsed") == (
        first.fields[b"cache-status"],
        late.fields[b"cache-status"],
    )


class Killed(Exception):  # noqa: N818 -- what becomes of the leader
    """The leader's own request is cancelled from outside."""


PHASES = [(how, place) for how in (LookupError, asyncio.CancelledError, Killed) for place in range(8)]


@pytest.mark.proof
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("how", "place"), PHASES)
async def test_a_leader_that_fails(how: type[BaseException], place: int) -> None:
    """Wherever the leader's call fails, is cancelled or loses its client: before the first byte one follower takes its
    place, after it all get the same and the same end; nobody hangs, and there are two upstream calls at most.
    """
    for seed in range(SEEDS):
        dice = random.Random(seed)  # noqa: S311 -- no secret
        streamed = dice.random() < 0.5
        chunks = EVENTS if streamed else (ANSWER[:9], ANSWER[9:])
        messages = stream(*chunks) if streamed else answer(*chunks)
        length = len(messages)
        some, last = dice.randrange(2, length), length - 1
        at = [0, 1, 2, max(2, length // 4), max(2, length // 2), some, last, length][place]
        app = Faulty(messages, at, None if how is Killed else how())
        crowd = Crowd(mount(app))
        for _ in range(dice.randrange(2, 9)):
            crowd.send(ASK_STREAM if streamed else ask())
        if at < length:
            await crowd.gather(len(crowd.clients))
        await crowd.clients[0].wait_for(at)
        if how is Killed:
            crowd.tasks[0].cancel()
            await asyncio.sleep(0)
        app.gate.set()
        ends = await crowd.end()
        whole, cut = b"".join(chunks), b"".join(message.get("body", b"") for message in messages[:at])
        followers = {(client.body, type(end)) for client, end in zip(crowd.clients[1:], ends[1:], strict=True)}
        shared = LookupError if how is LookupError else FollowError

        assert followers == {(cut, shared) if 0 < at < length and how is not Killed else (whole, type(None))}
        assert (asyncio.CancelledError if how is Killed else how) is type(ends[0])
        assert (2 if place == 0 and how is not Killed else 1) == app.calls
    report(f"leader {how.__name__} at phase {place}: {SEEDS} seeds, no hang, no wrong end")


async def test_an_upstream_that_fails_twice_fails_all() -> None:
    """After the second failure before the first byte nobody asks a third time; all get the error."""
    app, gate = gated(ANSWER, streamed=False, after=0)
    app.steps = [gate, LookupError("down")]
    crowd = Crowd(mount(app))
    for _ in range(10):
        crowd.send()
    await crowd.gather(10)
    gate.set()

    assert [LookupError] * 10 == [type(end) for end in await crowd.end()]
    assert 2 == len(app.received)
    assert (2, 2) == (await total(crowd.middleware, "req"), await total(crowd.middleware, "errors"))


async def test_an_error_with_a_status_is_shared_and_not_stored() -> None:
    """An answer is an answer: all get the 429 and when to come back, from one call; the next request is a new one."""
    headers = (JSON_FIELD, (b"retry-after", b"7"), (b"x-request-id", b"r1"))
    app = Script(*answer(b'{"error":{}}', status=429, headers=headers))
    crowd = Crowd(mount(app))
    for _ in range(5):
        crowd.send()
    await crowd.end()
    fields = [client.fields for client in crowd.clients]

    assert ([429] * 5, 1) == ([client.status for client in crowd.clients], len(app.received))
    assert [b"7"] * 5 == [each[b"retry-after"] for each in fields]
    assert 1 == sum(b"x-request-id" in each for each in fields)
    crowd.send()
    await crowd.end()
    assert 2 == len(app.received)


async def test_an_error_that_is_over_is_not_joined() -> None:
    """Who asks again after an error asks the upstream, though the app that sent it is still at work."""
    app = Script(*answer(b"{}", status=500), asyncio.Event())
    crowd = Crowd(mount(app))
    first = crowd.send()
    await first.wait_for(2)
    app.steps = answer(ANSWER)
    again = crowd.send()
    await crowd.tasks[1]
    crowd.tasks[0].cancel()

    assert (500, ANSWER, b"MISS") == (first.status, again.body, again.fields[b"x-coo-cache"])


UNSHARED = [(b"set-cookie", b"session=1"), (b"cache-control", b"no-store"), (b"vary", b"*")]


@pytest.mark.parametrize("field", UNSHARED, ids=["set-cookie", "no-store", "vary"])
async def test_an_answer_for_one_goes_to_one(field: tuple[bytes, bytes]) -> None:
    """Where the header section says that an answer is not for others, each of them is forwarded by itself."""
    app = Script(*answer(ANSWER, headers=(JSON_FIELD, field)))
    crowd = Crowd(mount(app))
    for _ in range(5):
        crowd.send()
    await crowd.end()

    assert ([b"MISS"] * 5, 5) == (crowd.marks(), len(app.received))
    assert [ANSWER] * 5 == [client.body for client in crowd.clients]


APART = [
    ((b"idempotency-key", b"a"), (b"idempotency-key", b"b")),
    ((b"x-api-key", b"a"), (b"x-api-key", b"b")),
    ((b"cache-control", b"no-store"), (b"cache-control", b"no-store")),
    ((b"cache-control", b"no-cache"), (b"cache-control", b"no-cache")),
]


@pytest.mark.parametrize("fields", APART, ids=["operation", "caller", "no-store", "no-cache"])
async def test_what_is_not_equal_is_not_shared(fields: tuple[tuple[bytes, bytes], ...]) -> None:
    """Two operations, two callers, and requests that want no shared answer have a call each."""
    app, gate = gated(ANSWER, streamed=False, after=0)
    crowd = Crowd(mount(app))
    for field in fields:
        crowd.send(fields=(JSON_FIELD, KEY, field))
    gate.set()
    await crowd.end()

    assert ([ANSWER] * 2, 2) == ([client.body for client in crowd.clients], len(app.received))


async def test_a_renewed_answer_is_joined_by_those_that_come_later() -> None:
    """A request with no-cache leads a new call; who comes after it shares that one, and the older call goes on."""
    app, gate = gated(ANSWER, streamed=False, after=0)
    crowd = Crowd(mount(app))
    crowd.send()
    await crowd.gather(1)
    older = flight_of(crowd.middleware)
    crowd.send(fields=(JSON_FIELD, KEY, (b"cache-control", b"no-cache")))
    await crowd.until(lambda: flight_of(crowd.middleware) is not older)
    crowd.send()
    await crowd.gather(2)
    gate.set()
    await crowd.end()

    assert ([b"COLLAPSED", b"MISS", b"MISS"], 2) == (crowd.marks(), len(app.received))


async def test_a_slow_follower_holds_up_nobody_and_is_cut() -> None:
    """The others get all at once; who lags further behind than an entry may be long loses its connection."""
    app, gate = gated(b"", streamed=True, after=1)
    crowd = Crowd(mount(app, cache={"max_entry_bytes": 4096}))
    fast = crowd.send(ASK_STREAM)
    slow = Slow(*content(ASK_STREAM))
    crowd.send(client=slow)
    await crowd.gather(2)
    gate.set()
    await fast.wait_for(len(EVENTS) + 2)
    slow.gate.set()
    ends = await crowd.end()

    assert [type(None), FollowError] == [type(end) for end in ends]
    assert b"".join(EVENTS) == fast.body


async def test_a_slow_follower_within_the_bound_gets_all() -> None:
    """Nobody waits for it, and it reads what it missed."""
    app, gate = gated(b"", streamed=True, after=1)
    crowd = Crowd(mount(app))
    fast = crowd.send(ASK_STREAM)
    slow = Slow(*content(ASK_STREAM))
    crowd.send(client=slow)
    await crowd.gather(2)
    gate.set()
    await fast.wait_for(len(EVENTS) + 2)
    assert [] == slow.messages
    slow.gate.set()
    await crowd.end()

    assert b"".join(EVENTS) == slow.body


async def test_each_gets_the_shape_that_it_asked_for() -> None:
    """One call serves a stream with usage, streams without, and a body; what was not asked for is not there."""
    gate = asyncio.Event()
    messages = stream(*CHUNKS)
    app = Script(messages[0], gate, *messages[1:])
    crowd = Crowd(mount(app))
    for body in (ASK_STREAM, ask(stream=True), ask(stream=True), ask()):
        crowd.send(body)
        await asyncio.sleep(0)
    await crowd.clients[0].wait_for(1)
    gate.set()
    await crowd.end()
    full, bare, other, crossed = crowd.clients

    assert 1 == len(app.received)
    assert [b"".join(CHUNKS), SILENT, SILENT] == [full.body, bare.body, other.body]
    assert (b"application/json", b"COLLAPSED") == (crossed.fields[b"content-type"], crossed.fields[b"x-coo-cache"])
    assert b'"total_tokens":11' in crossed.body.replace(b" ", b"")
    assert (1, 3, 33) == (
        await total(crowd.middleware, "req"),
        await total(crowd.middleware, "collapsed"),
        await total(crowd.middleware, "tokens_saved"),
    )


async def test_a_coded_answer_goes_to_those_who_can_read_it() -> None:
    """Who takes other content codings than the leader waits for the decoded answer."""
    import gzip

    coded = gzip.compress(ANSWER)
    app = Script(*answer(coded, headers=(JSON_FIELD, (b"content-encoding", b"gzip"))))
    crowd = Crowd(mount(app))
    gzips = (JSON_FIELD, KEY, (b"accept-encoding", b"gzip"))
    for fields in (gzips, gzips, (JSON_FIELD, KEY)):
        crowd.send(fields=fields)
    await crowd.end()

    assert 1 == len(app.received)
    assert [coded] * 2 + [ANSWER] == [client.body for client in crowd.clients]


async def test_patience_has_an_end() -> None:
    """A follower that got nothing for the configured time is forwarded after all, and the others join that call."""
    app = Faulty(answer(ANSWER), 0, None)
    crowd = Crowd(mount(app, cache={"collapse_wait_seconds": 0.02}))
    for _ in range(4):
        crowd.send()
    await asyncio.gather(*crowd.tasks[1:])
    app.gate.set()
    await crowd.end()

    assert ([ANSWER] * 4, 2) == ([client.body for client in crowd.clients], app.calls)


async def test_followers_have_a_number() -> None:
    """More than the configured number do not share the call."""
    app, gate = gated(ANSWER, streamed=False, after=0)
    crowd = Crowd(mount(app, cache={"collapse_max_followers": 2}))
    for _ in range(6):
        crowd.send()
    await crowd.until(lambda: len(app.received) == 2)
    gate.set()
    await crowd.end()

    assert 2 == len(app.received)


async def test_a_follower_that_leaves_is_counted_for_nothing() -> None:
    """A client that left in mid-stream is recorded and saved nothing; the others go on."""
    app, gate = gated(b"", streamed=True, after=3)
    crowd = Crowd(mount(app))
    first, second = crowd.send(ASK_STREAM), crowd.send(ASK_STREAM)
    await first.wait_for(3)
    await second.wait_for(3)
    second.leave()
    await crowd.tasks[1]
    gate.set()
    await crowd.end()

    assert b"".join(EVENTS) == first.body
    assert [1, 0] == [await total(crowd.middleware, metric) for metric in ("collapsed", "tokens_saved")]


async def test_an_unknown_message_is_for_the_leader_alone() -> None:
    """What we do not understand is not given to others: who has nothing yet is forwarded by itself."""
    path = {"type": "http.response.pathsend", "path": "answer.json"}
    app = Script(path)
    crowd = Crowd(mount(app))
    crowd.send()
    crowd.send()
    await crowd.end()

    assert ([[path], [path]], 2) == ([client.messages for client in crowd.clients], len(app.received))
