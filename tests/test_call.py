"""Call: one request is settled once."""

import pytest

from coo_middleware.accounts import Accounts
from coo_middleware.call import Call
from coo_middleware.config import MetricsPolicy, Policy, make_config
from coo_middleware.context import CooContext
from coo_middleware.core.entry import Entry
from coo_middleware.core.format import Route
from coo_middleware.core.outcome import Usage
from coo_middleware.core.plan import Planner, Target
from coo_middleware.core.record import Record
from coo_middleware.formats.chat import CHAT
from coo_middleware.outbox import Outbox
from coo_middleware.prices import Prices
from coo_middleware.recorder import Recorder
from coo_middleware.stores.memory import MemoryStore
from tests.asgi import ANSWER, CHUNKS, JSON_FIELD, KEY, SSE_FIELD, ask

ROUTE = Route(CHAT, "openai")


class Register(Recorder):
    """A recorder that keeps its records."""

    def __init__(self) -> None:
        super().__init__(Outbox(MemoryStore()), MetricsPolicy())
        self.records: list[Record] = []

    def record(self, record: Record) -> None:
        self.records.append(record)


def make_call(body: bytes = b"", wish: bytes = b"", settings: dict[str, object] | None = None) -> tuple[Call, Register]:
    policy: Policy = make_config({"policy": settings or {}}).policy
    headers = (JSON_FIELD, KEY, (b"cache-control", wish), (b"content-length", b"1"))
    plan = Planner(policy.cache).plan(ROUTE, Target(b"/v1/chat/completions", b"", headers), body or ask())
    register = Register()
    return Call(
        Accounts(policy, register, Prices()), plan, headers, CooContext("miss", "openai", plan.caller)
    ), register


def answer_with(call: Call, content: bytes = ANSWER, status: int = 200) -> None:
    call.exchange.start(status, (JSON_FIELD, (b"x-request-id", b"r1")))
    call.exchange.add(content, more=False)


def make_entry(call: Call) -> Entry:
    answer_with(call)
    entry = call.finish(1000.0, raised=False, disconnected=False)
    assert entry is not None
    return entry


def test_a_whole_answer_is_recorded_and_given_for_storing() -> None:
    """The entry has the answer's bytes, its lasting fields, the configured lifetime and who did the work."""
    call, register = make_call(settings={"cache": {"ttl_seconds": 7}})
    call.context.provider, call.context.key_id = "azure", "key-7"
    entry = make_entry(call)
    (record,) = register.records

    assert (ANSWER, (JSON_FIELD,)) == (entry.content, entry.headers)
    assert (call.plan.digest, 1000.0, 7.0) == (entry.digest, entry.created, entry.ttl)
    assert ("azure", "key-7", "gpt-5-mini", "chat", False) == (
        entry.provider,
        entry.key_id,
        entry.model,
        entry.format,
        entry.shape.stream,
    )
    assert ("azure", "key-7", "chat", "gpt-5-mini", 200, "miss", Usage(9, 2), "", "") == (
        record.provider,
        record.key_id,
        record.operation,
        record.model,
        record.status,
        record.cache_status,
        record.usage,
        record.error_type,
        record.stored,
    )
    assert 0 < record.duration < 60
    assert {"misses": 1} == register.counts


def test_the_handlers_ttl_wins() -> None:
    """The lifetime that the handler set is the entry's."""
    call, _ = make_call()
    call.context.ttl = 3

    assert 3 == make_entry(call).ttl


@pytest.mark.parametrize(
    ("age", "created", "told"), [(b"4", 996.0, b"; stored"), (b"10", None, b""), (b"x", None, b"")]
)
def test_an_answer_is_as_old_as_it_says(age: bytes, created: float | None, told: bytes) -> None:
    """What lay in another cache before is as much older, and with its lifetime over there is nothing to store."""
    call, register = make_call()
    headers = (JSON_FIELD, (b"Age", age))
    status = call.announce(200, headers)[0]
    call.exchange.start(200, headers)
    call.exchange.add(ANSWER, more=False)
    entry = call.finish(1000.0, raised=False, disconnected=False)

    assert (b"cache-status", b"coo; fwd=miss" + told) == status
    assert created == (entry.created if entry else None)
    assert ("ttl" in register.records[0].stored) == (entry is None)


def test_a_handlers_bypass_is_a_refusal() -> None:
    """What the handler keeps out is not given for storing, and is counted so."""
    call, register = make_call()
    call.context.bypass()
    answer_with(call)

    assert None is call.finish(1000.0, raised=False, disconnected=False)
    assert {"misses": 1, "unstored.handler": 1} == register.counts


def test_no_store_is_a_refusal() -> None:
    """A request with no-store is a miss that is not stored."""
    call, register = make_call(wish=b"no-store")
    answer_with(call)

    assert None is call.finish(1000.0, raised=False, disconnected=False)
    assert {"misses": 1, "unstored.no-store": 1} == register.counts


def test_a_bypass_is_counted_by_its_reason_alone() -> None:
    """A request that has no cache key is recorded as a bypass and is no refusal."""
    call, register = make_call(b"[]")
    answer_with(call)

    assert None is call.finish(1000.0, raised=False, disconnected=False)
    assert {"bypass.not-an-object": 1} == register.counts
    assert [("bypass", "not-an-object")] == [(record.cache_status, record.stored) for record in register.records]


@pytest.mark.parametrize(
    ("raised", "disconnected", "error_type"),
    [(True, False, "exception"), (True, True, "client_disconnect"), (False, False, ""), (False, True, "")],
)
def test_an_end_is_named(raised: bool, disconnected: bool, error_type: str) -> None:
    """An exception is the provider's error unless the client had left; a whole answer is none either way."""
    call, register = make_call()
    answer_with(call)
    entry = call.finish(1000.0, raised=raised, disconnected=disconnected)

    assert raised is (entry is None)
    assert [error_type] == [record.error_type for record in register.records]


def test_a_failed_answer_is_refused_by_the_policy() -> None:
    """What the policy refuses has the policy's reason."""
    call, register = make_call()
    answer_with(call, b'{"error":{"message":"no"}}', 500)

    assert None is call.finish(1000.0, raised=False, disconnected=False)
    assert {"misses": 1, "unstored.status": 1} == register.counts
    assert [(500, "status")] == [(record.status, record.error_type) for record in register.records]


def test_a_content_too_long_to_store_is_still_counted() -> None:
    """A stream over `max_entry_bytes` gives its usage and no entry."""
    body = ask(stream=True, stream_options={"include_usage": True})
    call, register = make_call(body, settings={"cache": {"max_entry_bytes": 1024}})
    call.exchange.start(200, (SSE_FIELD,))
    for chunk in (*CHUNKS[:1] * 20, *CHUNKS):
        call.exchange.add(chunk, more=True)
    call.exchange.add(b"", more=False)

    assert None is call.finish(1000.0, raised=False, disconnected=False)
    assert [(Usage(9, 2), "too-large")] == [(record.usage, record.stored) for record in register.records]


def test_disabled_metrics_record_nothing() -> None:
    """With `metrics.enabled` off only this process's own counters move."""
    call, register = make_call(settings={"metrics": {"enabled": False}})
    make_entry(call)

    assert [] == register.records
    assert {"misses": 1} == register.counts


def test_an_aborted_request_is_no_work_of_a_provider() -> None:
    """Where the app never got the whole content, the provider's counters stay as they are."""
    policy = make_config(None).policy
    plan = Planner(policy.cache).plan(ROUTE, Target(b"/v1/chat/completions", b"", (JSON_FIELD,)), b"", "aborted")
    register = Register()
    call = Call(Accounts(policy, register, Prices()), plan, (), CooContext("bypass", "openai", plan.caller))

    assert None is call.finish(1000.0, raised=True, disconnected=True)
    assert ([], {"bypass.aborted": 1}) == (register.records, register.counts)


def test_an_entry_becomes_a_reply() -> None:
    """A stored response answers with its age; it is counted for whoever once did the work."""
    first, _ = make_call()
    first.context.key_id = "key-7"
    entry = make_entry(first)
    call, register = make_call()
    call.find_reply(entry, entry.content, 1002.0)
    assert call.reply is not None
    call.finish_reply(call.reply)

    assert (200, ANSWER, entry) == (call.reply.status, call.reply.content, call.reply.entry)
    assert (b"age", b"2") in call.reply.headers
    assert ("hit", "key-7") == (call.context.cache_status, call.context.key_id)
    assert {"hits": 1} == register.counts
    assert [("hit", Usage(9, 2), "")] == [
        (record.cache_status, record.usage, record.error_type) for record in register.records
    ]


def test_nothing_stored_gives_no_reply() -> None:
    """Without an entry the app answers."""
    call, _ = make_call()
    call.find_reply(None, None, 1000.0)

    assert None is call.reply


def test_only_if_cached_is_refused() -> None:
    """Without an entry a client that wants nothing else gets 504, which is nobody's work (RFC 9111 section 5.2.1.7)."""
    call, register = make_call(wish=b"only-if-cached")
    call.find_reply(None, None, 1000.0)
    assert call.reply is not None
    call.finish_reply(call.reply)

    assert (504, None) == (call.reply.status, call.reply.entry)
    assert (b"content-length", b"%d" % len(call.reply.content)) in call.reply.headers
    assert ([], {"only_if_cached": 1}) == (register.records, register.counts)


def test_asking_for_usage_changes_the_length() -> None:
    """A stream that did not ask for usage has a content that does, its length, and an exchange that takes it out."""
    call, _ = make_call(ask(stream=True))
    assert call.asking is not None
    content, headers = call.asking

    assert b'"include_usage":true' in content
    assert (b"content-length", b"%d" % len(content)) in headers
    call.exchange.start(200, (SSE_FIELD,))
    assert call.exchange.rewriter is not None
    assert b"" == call.exchange.rewriter.rewrite(CHUNKS[3], more=True)
    assert None is make_call()[0].asking
