"""Every recorded answer, replayed through the mounted middleware, is counted exactly and reused when it may be."""

import json

import pytest

from coo_middleware import COOMiddleware
from coo_middleware.core.policy import CachePolicy
from tests.asgi import KEY, Client, Script, answer, call, make_scope, total
from tests.test_corpus_formats import CORPUS, ROWS, Row, content_of, events_of, format_of, name_of

TOKENS = ("input_tokens", "output_tokens", "tokens")
TYPES = {"json": b"application/json", "sse": b"text/event-stream"}
# One gives nothing back, the other calls a tool with arguments that do not parse.
UNSOUND = {"anthropic/messages/refusal-response.sse", "anthropic/messages/tool-use-invalid-json-response.sse"}


def request_of(row: Row) -> bytes:
    if "request" in row:
        return (CORPUS / row["request"]).read_bytes()
    return b'{"model":"m","stream":true}' if row["framing"] == "sse" else b'{"model":"m"}'


def make_app(row: Row) -> Script:
    """The provider: its status, its type, and its content in pieces that end anywhere."""
    content = content_of(row)
    told = str(dict(row)["content_type"]).encode()
    field = (b"content-type", TYPES[row["framing"]] if told == b"**REDACTED**" else told)
    pieces = [content[at : at + 100] for at in range(0, len(content), 100)]
    return Script(*answer(*pieces, b"", status=row["status"], headers=(field,)))


def asks_for_usage(row: Row) -> bool:
    options = json.loads(request_of(row)).get("stream_options") or {}
    return options.get("include_usage") is True


def may_be_reused(row: Row) -> bool:
    """Whether the index says that the answer is whole, has no error, and ended as the policy asks."""
    finish = row.get("finish")
    reasons = finish if isinstance(finish, list) else [finish] if finish else []
    good = row["status"] == 200 and row["complete"] == "yes" and not row["error_in_body"]
    asked = not format_of(row).bypass(json.loads(request_of(row)))
    return good and asked and name_of(row) not in UNSOUND and {*reasons} <= {*CachePolicy().store_finish_reasons}


def has_failed(row: Row) -> bool:
    cut = row["complete"] == "no" and row.get("finish") != "incomplete"
    return row["status"] >= 400 or row["error_in_body"] or cut


async def replay(middleware: COOMiddleware, row: Row) -> Client:
    await middleware.drain()
    headers = ((b"content-type", b"application/json"), (b"anthropic-version", b"2023-06-01"), KEY)
    return await call(middleware, request_of(row), make_scope(row["path"], headers))


@pytest.mark.parametrize("row", ROWS, ids=name_of)
async def test_the_store_holds_the_providers_tokens(row: Row) -> None:
    """After one request the store's counters are the index's, in the inclusive sense, and errors are counted."""
    middleware = COOMiddleware(make_app(row))
    await replay(middleware, row)
    counted = {metric: await total(middleware, metric) for metric in TOKENS}
    expected = row["expected"] or dict.fromkeys(TOKENS, 0)

    assert counted in row.get("accept", [expected])
    assert (1, int(has_failed(row))) == (await total(middleware, "req"), await total(middleware, "errors"))


@pytest.mark.parametrize("row", ROWS, ids=name_of)
async def test_a_second_request_is_a_hit_exactly_when_it_may_be(row: Row) -> None:
    """An answer is reused when it is whole, free of errors and ended well, and then byte for byte."""
    app = make_app(row)
    middleware = COOMiddleware(app)
    first = await replay(middleware, row)
    second = await replay(middleware, row)

    assert (b"HIT" == second.fields[b"x-coo-cache"]) == may_be_reused(row)
    assert (1 if may_be_reused(row) else 2) == len(app.received)
    assert (first.status, first.body) == (second.status, second.body)


def parsed(content: bytes) -> list[object]:
    """The events of a stream, those that only `include_usage` brings taken out, by the index's own reading of them."""
    events: list[object] = []
    for event in events_of([content]):
        data = event.data or ""
        document = json.loads(data) if data.startswith("{") else {"text": data}
        if "usage" in document and document["usage"] is None:
            del document["usage"]
        if not (document.get("choices") == [] and isinstance(document.get("usage"), dict)):
            events.append((event.name, document))
    return events


@pytest.mark.parametrize("row", ROWS, ids=name_of)
async def test_the_client_gets_what_the_provider_sent(row: Row) -> None:
    """Byte for byte; where usage was asked for in its name, the same events without that usage."""
    app = make_app(row)
    client = await replay(COOMiddleware(app), row)
    asked = app.received != [request_of(row)]

    assert asked == (row["framing"] == "sse" and format_of(row).ask is not None and not asks_for_usage(row))
    assert row["status"] == client.status
    if asked:
        assert parsed(content_of(row)) == parsed(client.body)
        assert b'"usage":null' not in client.body
    else:
        assert content_of(row) == client.body
