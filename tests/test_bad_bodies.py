"""Bad contents reach the app byte for byte, crash nothing and are never stored; odd but sound ones are cached.

The numbers are those of a catalogue of inputs that broke gateways, caches and JSON parsers.
"""

import asyncio
import gzip
import json
import time
import tracemalloc
from dataclasses import dataclass

import pytest
from starlette.types import Message, Receive, Scope, Send

from coo_middleware import COOMiddleware
from tests.asgi import ANSWER, JSON_FIELD, KEY, Client, Fields, Script, again, answer, ask, call, content, make_scope

SOUND = ask()
JSON_FIELDS = (JSON_FIELD, KEY)


@dataclass(frozen=True)
class Case:
    """`reason` is why the cache is bypassed, "" where the answer is stored."""

    name: str
    body: bytes
    reason: str
    headers: Fields = JSON_FIELDS


def with_member(text: str) -> bytes:
    """A sound request with one more member, as text."""
    return SOUND[:-1] + b"," + text.encode() + b"}"


def with_prompt(text: bytes) -> bytes:
    """A sound request whose prompt is `text` as JSON would have it between its quotes."""
    return SOUND.replace(b"Say hello", text)


def typed(*values: bytes) -> Fields:
    return (*((b"content-type", value) for value in values), KEY)


ZIP_BOMB = gzip.compress(b" " * 11_000_000)

CASES = [
    Case("1 empty", b"", "not-json"),
    Case("2 white space", b" \n\t ", "not-json"),
    *(Case(f"3 {text}", text.encode(), "not-an-object") for text in ("null", "true", "123", '"x"', "[]")),
    Case("4 truncated", b'{"model":', "not-json"),
    Case("5 duplicate name", b'{"model":"a",' + SOUND[1:], "duplicate-name"),
    Case("6 nested duplicate", with_member('"a":[{},{},{},{"b":1,"b":2}]'), "duplicate-name"),
    Case("7 duplicate by escape", with_member('"a":1,"\\u0061":2'), "duplicate-name"),
    *(Case(f"8 {text}", with_member(f'"a":{text}'), "not-a-number") for text in ("NaN", "Infinity", "-Infinity")),
    Case("9 beyond any float", with_member('"a":1E400'), "number-range"),
    Case("10 below any float", with_member('"a":1e-999'), "number-range"),
    Case("11 2^53+1", with_member('"a":9007199254740993'), "number-range"),
    Case("12 2^64", with_member('"a":18446744073709551616'), "number-range"),
    Case("13 4301 digits", with_member('"a":' + "9" * 4301), "number-range"),
    *(Case(f"14 {text}", with_member(f'"a":{text}'), "") for text in ("1", "1.0", "1e0")),
    *(Case(f"15 {text}", with_member(f'"a":{text}'), "") for text in ("-0", "0", "-0.0")),
    Case("16 depth 1,000", with_member('"a":' + "[" * 1000 + "]" * 1000), "depth"),
    Case("17 depth 100,000, unclosed", b"[" * 100_000, "depth"),
    Case("18 depth 65", with_member('"a":' + "[" * 64 + "]" * 64), "depth"),
    Case("18 depth 64", with_member('"a":' + "[" * 63 + "]" * 63), ""),
    Case("19 objects in objects", with_member('"a":' + '{"":' * 100_000 + "0" + "}" * 100_000), "depth"),
    Case("20 lone surrogate", with_prompt(b"\\ud800"), "surrogate"),
    Case("20 lone surrogate in a name", with_member('"\\udc00":1'), "surrogate"),
    Case("21 inverted pair", with_prompt(b"\\ude00\\ud83d"), "surrogate"),
    Case("22 0xFF", with_prompt(b"\xff"), "not-utf-8"),
    Case("23 overlong", with_prompt(b"\xc0\xaf"), "not-utf-8"),
    Case("24 byte order mark", b"\xef\xbb\xbf" + SOUND, "byte-order-mark"),
    *(
        Case(f"25 {name}", mark + SOUND.decode().encode(name), reason)
        for name, mark, reason in (
            ("utf-16-le", b"", "not-json"),
            ("utf-16-be", b"", "not-json"),
            ("utf-16-le", b"\xff\xfe", "not-utf-8"),
            ("utf-16-be", b"\xfe\xff", "not-utf-8"),
        )
    ),
    Case("26 latin-1", with_prompt(b"\xe9"), "content-type", typed(b"application/json; charset=iso-8859-1")),
    Case("27 NUL", with_prompt(b"\\u0000"), ""),
    Case("28 raw control character", with_prompt(b"\x01"), "not-json"),
    Case("34 trailing comma", SOUND[:-1] + b",}", "not-json"),
    Case("34 comment", SOUND + b"// no", "not-json"),
    Case("34 single quotes", b"{'model':'a'}", "not-json"),
    Case("34 JSON5", b"{model:'a'}", "not-json"),
    Case("35 two documents", SOUND + SOUND, "not-json"),
    Case("35 lines", SOUND + b"\n" + SOUND, "not-json"),
    Case("36 prefix", b")]}'\n" + SOUND, "not-json"),
    Case("37 prototype names", with_member('"__proto__":{"a":1},"constructor":{}'), ""),
    Case("38 one byte too much", SOUND.ljust(10_485_761), "too-large"),
    Case("38 just within", SOUND.ljust(10_485_760), ""),
    *(
        Case(f"40 content-length {length}", SOUND, "", (*JSON_FIELDS, (b"content-length", length.encode())))
        for length in ("1", "99999", "x")
    ),
    *(Case(f"45 stream {value}", with_member(f'"stream":{value}'), "stream") for value in ('"true"', "1", "null")),
    Case("46 no model", b'{"messages":[]}', "model"),
    *(
        Case(f"46 model {value[:5]}", SOUND.replace(b'"gpt-5-mini"', value.encode()), "model")
        for value in ("null", "5", '"' + "x" * 10_000 + '"', '"a\\nb"')
    ),
    Case("47 messages as an object", b'{"model":"m","messages":{}}', "messages"),
    Case("47 a million messages", ask(messages=[{"role": "user", "content": "a"}] * 1_000_000), "too-large"),
    *(
        Case(f"48 {text}", with_member(text), "")
        for text in ('"n":2', '"seed":1', '"logit_bias":{"1":-100}', '"response_format":{"type":"json_object"}')
    ),
    Case("48 store", with_member('"store":true'), "stored-completion"),
    Case("49 temperature", with_member('"temperature":1.5'), ""),
    Case("50 image of 20 MB", with_prompt(b"data:image/png;base64," + b"A" * 20_000_000), "too-large"),
    Case("51 multipart/form-data", SOUND, "multipart", typed(b"multipart/form-data; boundary=x")),
    *(
        Case(f"51 {kind}", SOUND, "content-type", typed(kind.encode()))
        for kind in ("audio/wav", "application/octet-stream")
    ),
    *(
        Case(f"52 {coding}", SOUND, "content-encoding", (*JSON_FIELDS, (b"Content-Encoding", coding.encode())))
        for coding in ("gzip", "br", "zstd", "identity, gzip")
    ),
    Case("53 zip bomb", ZIP_BOMB, "too-large", (*JSON_FIELDS, (b"content-encoding", b"gzip"))),
    Case("54 no type", SOUND, "content-type", typed()),
    *(
        Case(f"54 {kind}", SOUND, "content-type", typed(kind.encode()))
        for kind in ("text/plain", "application/vnd.x+json", "", "application/json, text/plain")
    ),
    Case("54 two types", SOUND, "content-type", typed(b"application/json", b"application/json")),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_bad_content_is_the_apps_to_judge(case: Case) -> None:
    """The app gets each byte; a content outside the agreed subset is never stored, any other is, and is then a hit."""
    app = Script(*answer(ANSWER))
    middleware = COOMiddleware(app)
    for _ in range(2):
        client = Client(*content(case.body))
        await middleware(make_scope(headers=case.headers), client.receive, client.send)
        await middleware.drain()
        assert ANSWER == client.body

    assert all(case.body == received for received in app.received)
    assert ({f"bypass.{case.reason}": 2} if case.reason else {"misses": 1, "hits": 1}) == middleware.counts


async def is_reused(one: bytes, other: bytes, preset: str) -> bool:
    middleware = COOMiddleware(Script(*answer(ANSWER)), {"policy": {"cache": {"normalize": preset}}})
    await call(middleware, one)
    return b"HIT" == (await again(middleware, other)).fields[b"x-coo-cache"]


DISTINCT = [
    ("29 NFC and NFD", with_prompt("\u00e9".encode()), with_prompt("e\u0301".encode())),
    ("30 NFC and NFD in a name", with_member('"\u00e9":1'), with_member('"e\u0301":1')),
    ("31 homoglyph", with_prompt(b"a"), with_prompt("\u0430".encode())),
    ("31 zero width", with_prompt(b"a"), with_prompt("a\u200b".encode())),
    ("31 right-to-left override", with_prompt(b"a"), with_prompt("\u202ea".encode())),
    ("32 trailing space", with_prompt(b"a"), with_prompt(b"a ")),
    ("48 n", with_member('"n":2'), with_member('"n":3')),
    ("48 seed", with_member('"seed":1'), with_member('"seed":2')),
    ("48 an unknown member", with_member('"a":1'), SOUND),
]


@pytest.mark.parametrize(("name", "one", "other"), DISTINCT, ids=[name for name, _, _ in DISTINCT])
async def test_prompts_that_differ_are_not_taken_for_one(name: str, one: bytes, other: bytes) -> None:
    """By the preset `strict`, no answer to one is reused for the other."""
    assert not await is_reused(one, other, "strict")


SAME = [
    ("33 order and white space", SOUND, json.dumps(dict(reversed(json.loads(SOUND).items())), indent=3).encode()),
    ("14 one number, two spellings", with_member('"a":1'), with_member('"a":1e0')),
    ("escapes", with_prompt(b"a"), with_prompt(b"\\u0061")),
]


@pytest.mark.parametrize(("name", "one", "other"), SAME, ids=[name for name, _, _ in SAME])
async def test_documents_that_are_equal_share_an_answer(name: str, one: bytes, other: bytes) -> None:
    """Also by the strictest preset, two spellings of one document are one request."""
    assert await is_reused(one, other, "strict")


EVENTS: list[tuple[str, list[Message]]] = [
    ("41 a hundred thousand events", content(*(SOUND.ljust(100_000)[at : at + 1] for at in range(100_000)))),
    ("42 empty events", content(b"", SOUND[:5], b"", b"", SOUND[5:], b"")),
]


@pytest.mark.parametrize(("name", "events"), EVENTS, ids=[name for name, _ in EVENTS])
async def test_however_a_content_is_cut_it_is_one(name: str, events: list[Message]) -> None:
    """A content in any number of events is cached like one in a single event."""
    middleware = COOMiddleware(Script(*answer(ANSWER)))
    client = Client(*events)
    await middleware(make_scope(), client.receive, client.send)

    assert b"HIT" == (await again(middleware)).fields[b"x-coo-cache"]


async def test_39_a_gigabyte_flows_through() -> None:
    """A content of 1 GiB without a length reaches the app, and no more of it is held than `max_request_bytes`."""
    size = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal size
        more = True
        while more:
            message = await receive()
            size += len(message["body"])
            more = message["more_body"]

    left = 1024

    async def receive() -> Message:
        nonlocal left
        left -= 1
        return {"type": "http.request", "body": bytes(1_048_576), "more_body": left > 0}

    tracemalloc.start()
    await COOMiddleware(app)(make_scope(), receive, Client().send)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert 1_073_741_824 == size
    assert 16_000_000 > peak


async def test_43_a_disconnect_before_the_end() -> None:
    """The app hears of it where it would have; the request is counted as aborted and is nobody's work."""
    app = Script(*answer(ANSWER))
    middleware = COOMiddleware(app)
    client = Client(*content(SOUND[:9], SOUND[9:])[:1])
    client.leave()
    await middleware(make_scope(), client.receive, client.send)
    await middleware.drain()

    assert [SOUND[:9]] == app.received
    assert {"bypass.aborted": 1} == middleware.counts
    assert set() == middleware._recorder._keys


async def test_44_a_content_that_never_ends_holds_nothing_up() -> None:
    """While one client does not end its content another is served, and the first can be cancelled."""
    middleware = COOMiddleware(Script(*answer(ANSWER)))
    client = Client(*content(SOUND, b"")[:1])
    request = asyncio.create_task(middleware(make_scope(), client.receive, client.send))
    await asyncio.sleep(0)

    assert ANSWER == (await call(middleware)).body
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert [] == client.messages


async def test_17_a_hundred_thousand_brackets_cost_little() -> None:
    """A content that is all depth is refused at once; the bound is wide, a quadratic reader would miss it."""
    began = time.perf_counter()
    await call(COOMiddleware(Script(*answer(ANSWER))), b"[" * 100_000)

    assert 0.5 > time.perf_counter() - began


STATEFUL = [
    ('"previous_response_id":"r1"', "stateful"),
    ('"background":true', "background"),
]


@pytest.mark.parametrize(("member", "reason"), STATEFUL)
async def test_48_what_has_side_effects_is_not_cached(member: str, reason: str) -> None:
    """Responses that build on stored state or run in the background reach the provider each time."""
    middleware = COOMiddleware(Script(*answer(ANSWER)))
    await call(middleware, b'{"model":"m","input":"hi",' + member.encode() + b"}", make_scope("/v1/responses"))

    assert [f"bypass.{reason}"] == list(middleware.counts)
