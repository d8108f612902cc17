"""An admin API to look into: a store with known traffic, and one request at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coo_middleware.core.outcome import Usage
from coo_middleware.core.record import Record, count_record
from coo_middleware.core.series import count_series
from coo_middleware.stores import Increment
from tests.storage_server import ask

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from coo_middleware.stores import RuntimeStore
    from tests.storage_server import Answer

READ = "read-token-0123456789"
WRITE = "write-token-0123456789"
HOSTILE = "../\"'&<b>:%"

RECORDS = (
    Record("openai", "one", "chat", "gpt-5-mini", 200, "miss", Usage(9, 2), 0.7, "", "", cost=0.5, first_chunk=0.3),
    Record("openai", "one", "chat", "gpt-5-mini", 200, "hit", Usage(9, 2), 0.002, "", "hit", cost=0.5),
    Record("openai", "two", "chat", "gpt-5", 200, "bypass", Usage(100, 20, reasoning_tokens=7), 0.3, "", "", cost=2.0),
    Record("evil", "<script>", "chat", HOSTILE, 500, "miss", None, 1.8, "status", "status"),
)


def bearer(token: str) -> tuple[bytes, bytes]:
    """The field that presents a token."""
    return (b"authorization", b"Bearer " + token.encode())


async def look(app: ASGIApp, path: str, token: str = READ) -> Answer:
    """What a GET with a token is answered."""
    return await ask(app, "GET", path, headers=(bearer(token),))


async def see(app: ASGIApp, path: str) -> Any:
    """The document at a path that answers."""
    answer = await look(app, path)
    assert 200 == answer.status, answer.document
    return answer.document


async def fill(store: RuntimeStore, *records: Record) -> None:
    """Counts records as the recorder does."""
    counts = [(each, count) for each in records for count in (*count_record(each), *count_series(each))]
    increments = [Increment(each.provider, each.key_id, metric, amount) for each, (metric, amount) in counts]
    await store.apply("tests", 1, increments)
