"""What lies in a store with encryption on, seen by somebody who has all of it and not the key; and at_rest.py."""

from __future__ import annotations

import base64
import json
import logging
import secrets
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import pytest

from coo_middleware import COOMiddleware
from coo_middleware.at_rest import open_sealer
from coo_middleware.config import ConfigError, make_config
from coo_middleware.core import coding
from coo_middleware.core.progress import End, Start
from coo_middleware.following import Following
from coo_middleware.lead import Lead
from coo_middleware.replicas import Replicas
from coo_middleware.stores import RuntimeStore, open_store
from coo_middleware.stores.memory import MemoryStore
from tests.asgi import JSON_FIELD, SSE_FIELD, Client, answer, call, make_scope, read_all
from tests.canaries import ANSWER, CREDENTIAL, PROMPT, SECRETS, SYSTEM, find_secrets, text_forms
from tests.redis_server import Server, start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

SCOPE_FIELDS = (JSON_FIELD, (b"authorization", f"Bearer {CREDENTIAL}".encode()))
OLD, NEW, FOREIGN = (base64.b64encode(bytes(range(first, first + 32))).decode() for first in (0, 32, 64))
MODES = [{"encryption_keys": [NEW, OLD]}, {"encryption_keys": [NEW], "compress": "zstd"}]


def question(*, stream: bool) -> bytes:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": PROMPT}]
    usage = {"stream_options": {"include_usage": True}} if stream else {}
    return json.dumps({"model": "m", "messages": messages, "stream": stream, **usage, "seed": int(stream)}).encode()


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """A model that repeats all that it was told, its caller's credential too."""
    stream = json.loads(await read_all(receive))["stream"]
    text = " ".join(SECRETS.values()) + " and some more words, so that there is something to compress" * 9
    usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
    part = {"role": "assistant", "content": text}
    choice = {"index": 0, "delta" if stream else "message": part, "finish_reason": "stop"}
    kind = "chat.completion.chunk" if stream else "chat.completion"
    # As a provider writes it: UTF-8 as it is.
    body = json.dumps(
        {"id": "c", "object": kind, "model": "m", "choices": [choice], "usage": usage}, ensure_ascii=False
    ).encode()
    steps = answer(b"data: %b\n\n" % body, b"data: [DONE]\n\n", headers=(SSE_FIELD,)) if stream else answer(body)
    for step in steps:
        await send(step)


async def ask_both(middleware: COOMiddleware) -> list[Client]:
    """One question for a body and one for a stream, settled."""
    clients = [
        await call(middleware, question(stream=stream), make_scope(headers=SCOPE_FIELDS)) for stream in (False, True)
    ]
    await middleware.drain()
    return clients


def marks(clients: list[Client]) -> list[bytes]:
    return [client.fields[b"x-coo-cache"] for client in clients]


@dataclass(frozen=True, slots=True)
class Place:
    """A store's settings, and `dump`: all that somebody finds who takes what it keeps."""

    runtime: dict[str, object]
    dump: Callable[[RuntimeStore], bytes]


def dump_memory(store: RuntimeStore) -> bytes:
    counters, responses = cast("MemoryStore", store).snapshot()
    return repr(counters).encode() + b"".join(key.encode() + b"\n" + value for key, value in responses.items())


def dump_files(folder: Path) -> bytes:
    return b"\n".join(each.name.encode() + each.read_bytes() for each in folder.rglob("*") if each.is_file())


def dump_redis(server: Server, folder: Path) -> bytes:
    """Every key's name and value as the server gives them, and the file that it writes."""
    keys = cast("list[bytes]", server.ask("KEYS", "*"))
    server.ask("SAVE")
    return b"\n".join([*keys, *(cast("bytes", server.ask("DUMP", key.decode())) for key in keys), dump_files(folder)])


@pytest.fixture(params=["memory", "file", "sqlite", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """One store after the other, with a journal where there can be one."""
    kind, journal = request.param, {"journal": str(tmp_path / "journal")}
    if kind == "memory":
        yield Place({"type": kind}, dump_memory)
    elif kind == "redis":
        # Compressed, the control could not find what is there either.
        with start(tmp_path, "--rdbcompression", "no") as server:
            yield Place({"type": kind, "addr": server.addr, **journal}, lambda _: dump_redis(server, tmp_path))
    else:
        yield Place({"type": kind, "path": str(tmp_path / "store"), **journal}, lambda _: dump_files(tmp_path))


@dataclass(frozen=True, slots=True)
class Findings:
    """`dump` is what the store kept, `told` what was logged and counted."""

    marks: list[bytes]
    bodies: set[bytes]
    dump: bytes
    told: bytes


async def run(place: Place, caplog: pytest.LogCaptureFixture, **settings: object) -> Findings:
    """Two processes, the second of which finds what the first one stored."""
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    config = {"storage": {"runtime": {**place.runtime, **settings}}, "policy": {"cache": {"ttl_seconds": 600}}}
    records: list[object] = []
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(make_config(config).storage.runtime))
        apps = [COOMiddleware(echo, config, store=store, on_record=records.append) for _ in range(2)]
        clients = [client for app in apps for client in await ask_both(app)]
        dump, counts = place.dump(store), [app.counts for app in apps]
        for app in apps:
            await app.close()
    told = "\n".join([caplog.text, *(repr(each.__dict__) for each in caplog.records), repr(records), repr(counts)])
    # Once more with the files closed, where there are any: a database writes some of it only then.
    after = b"" if isinstance(store, MemoryStore) else place.dump(store)
    return Findings(marks(clients), {client.body for client in clients}, dump + after, told.encode())


async def find_digests() -> frozenset[bytes]:
    """The cache keys of both questions, as the store sees them without encryption."""
    store = MemoryStore()
    await ask_both(COOMiddleware(echo, store=store))
    return frozenset(bytes.fromhex(name[-64:]) for name in store.snapshot()[1])


@pytest.mark.parametrize("settings", MODES)
async def test_a_dump_of_an_encrypted_store_tells_nothing(
    place: Place, caplog: pytest.LogCaptureFixture, settings: dict[str, object]
) -> None:
    """No prompt, answer, system prompt or credential, and no cache key's digest, is in the store, in the logs at DEBUG
    or in the metrics, in no encoding; and the second process is answered from it.
    """
    digests = await find_digests()
    findings = await run(place, caplog, **settings)

    assert [b"MISS", b"MISS", b"HIT", b"HIT"] == findings.marks
    assert 2 == len(findings.bodies)
    assert 2 == len(digests)
    assert set() == find_secrets(findings.dump, findings.told, digests=digests)


async def test_the_search_finds_what_is_there(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """The control: without encryption the same search finds each of them in the dump, and still nothing in logs and
    metrics.
    """
    digests = await find_digests()
    findings = await run(place, caplog)

    assert {*SECRETS, "digest"} == find_secrets(findings.dump, digests=digests)
    assert set() == find_secrets(findings.told, digests=digests)


@pytest.mark.parametrize("name", text_forms(PROMPT))
def test_the_search_finds_every_form(name: str) -> None:
    """Each of the encodings is seen, wherever it stands."""
    assert {"prompt"} == find_secrets(b"ab" + text_forms(PROMPT)[name] + b"cd")


@pytest.mark.parametrize("before", range(4))
def test_the_search_finds_base64_at_any_place(before: int) -> None:
    """Base64 has no fixed place for a byte."""
    assert {"answer"} == find_secrets(base64.b64encode(b"x" * before + ANSWER.encode() + b"y"))


@pytest.mark.parametrize(("keys", "expected"), [([NEW], set()), ([], {*SECRETS, "digest"})])
async def test_an_answer_that_replicas_share_in_flight_is_sealed_too(
    keys: list[str], expected: set[str], tmp_path: Path
) -> None:
    """What a leader has of an answer so far lies in the store for its followers: seen while both are at it, with the
    control beside it.
    """
    digest = secrets.token_bytes(32)
    with start(tmp_path, "--rdbcompression", "no") as server:
        config = make_config({"storage": {"runtime": {"type": "redis", "addr": server.addr, "encryption_keys": keys}}})
        async with open_store(config.storage.runtime) as store:
            leader, follower = (Replicas(store, sealer=open_sealer(config)) for _ in range(2))
            lead = await leader.join(f"1{digest.hex()}", nothing, 20)
            assert isinstance(lead, Lead)
            lead.send(Start(200, ()))
            lead.send(" ".join(SECRETS.values()).encode())
            following = await follower.join(f"1{digest.hex()}", nothing, 20)
            assert isinstance(following, Following)
            dump = dump_redis(server, tmp_path)
            lead.send(End())
            parts = [part async for part in following.parts()]
            await leader.close()
            await follower.close()

    assert [Start(200, ()), " ".join(SECRETS.values()).encode(), End()] == parts
    assert expected == find_secrets(dump, digests=frozenset({digest}))


async def nothing() -> None:
    """No entry is stored yet."""


async def ask_with(store: RuntimeStore, *keys: str, **settings: object) -> tuple[list[bytes], dict[str, int]]:
    """What a process with these keys says to both questions, and what it counts."""
    config = {"storage": {"runtime": {"encryption_keys": list(keys), **settings}}}
    middleware = COOMiddleware(echo, config, store=store)
    return marks(await ask_both(middleware)), dict(middleware.counts)


async def test_a_key_can_be_replaced_without_a_miss() -> None:
    """What the old key sealed answers as long as that key is listed, and what the new one sealed when it is gone."""
    store = MemoryStore()
    hits, misses = [b"HIT"] * 2, [b"MISS"] * 2

    assert misses == (await ask_with(store, OLD))[0]
    assert hits == (await ask_with(store, NEW, OLD))[0]
    assert misses == (await ask_with(store, NEW))[0]
    assert hits == (await ask_with(store, NEW, OLD))[0]
    assert hits == (await ask_with(store, NEW, compress="zstd"))[0]


async def test_turning_it_on_or_off_starts_an_empty_cache() -> None:
    """Neither form is found under the other's name, so that nobody without a key can answer for us."""
    store = MemoryStore()
    await ask_with(store)

    assert [b"MISS"] * 2 == (await ask_with(store, NEW))[0]
    assert [b"MISS"] * 2 == (await ask_with(store, FOREIGN))[0]
    assert [b"HIT"] * 2 == (await ask_with(store))[0]


@pytest.mark.parametrize("keys", [(NEW,), ()])
async def test_a_response_that_does_not_open_is_a_miss(keys: tuple[str, ...], caplog: pytest.LogCaptureFixture) -> None:
    """Changed, cut, moved to another key or compressed without end: counted, logged without its content, answered by
    the app, and replaced.
    """
    caplog.set_level(logging.DEBUG)
    store = MemoryStore()
    await ask_with(store, *keys, compress="zstd")
    names = list(store.snapshot()[1])
    whole = store.snapshot()[1]
    bomb = b"COS\x01\x01" + cast("Callable[[bytes], bytes]", coding.find_zstd_compressor())(bytes(6_000_000))
    for bad in (secrets.token_bytes(500), whole[names[0]][:-9], whole[names[0]], whole[names[1]], bomb, b"COE\x01"):
        for name in names:
            await store.set_cache(name, bad, 60)
        found, counts = await ask_with(store, *keys, compress="zstd")
        expected = sum(bad != whole[name] for name in names)
        assert expected == counts["bad_entries"] == found.count(b"MISS")
        assert ([b"HIT"] * 2) == (await ask_with(store, *keys))[0]
    assert set() == find_secrets(caplog.text.encode())


@pytest.mark.parametrize(
    ("settings", "module", "message"),
    [
        (
            {"encryption_keys": [NEW]},
            "cryptography.hazmat.primitives.cmac",
            "encryption_keys: a library that it needs is missing: pip install 'coo-middleware[encryption]'",
        ),
        (
            {"compress": "zstd"},
            "backports.zstd",
            "compress: a library that it needs is missing: pip install 'coo-middleware[codings]'",
        ),
    ],
)
def test_a_library_that_is_missing_is_named_at_the_start(
    settings: dict[str, object], module: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is stored in the clear because something was not installed."""
    for name in (module, "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError) as caught:
        open_sealer(make_config({"storage": {"runtime": settings}}))
    assert f"storage.runtime.{message}" == str(caught.value)
