"""The calls that the contracts make: every operation, and every argument that no store may take."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from coo_middleware.core.limits import Settlement, Take
from coo_middleware.stores import LATENCY, MAX_KEY_BYTES, Increment, RuntimeStore

Call: TypeAlias = Callable[[RuntimeStore], Awaitable[object]]

SECRET: Final = "sk-contract-0123456789"  # noqa: S105 -- made up, so that a test can look for it
REQ: Final = ("openai", "key1", "req")
LATENCIES: Final = ("openai", "key1", LATENCY)
DAY: Final = 86_400

OPERATIONS: Final[dict[str, Call]] = {
    "get_usage": lambda store: store.get_usage(*REQ),
    "set_usage": lambda store: store.set_usage(*REQ, 1),
    "increment_usage": lambda store: store.increment_usage(*REQ, 1),
    "get_usage_in_window": lambda store: store.get_usage_in_window(*REQ, 60),
    "get_total": lambda store: store.get_total(*REQ),
    "set_cache": lambda store: store.set_cache("key", b"value", 10),
    "get_cache": lambda store: store.get_cache("key"),
    "delete_cache": lambda store: store.delete_cache("key"),
    "purge": lambda store: store.purge(["tag:a"]),
    "get_purges": lambda store: store.get_purges(0),
    "apply": lambda store: store.apply("writer", 1, [Increment(*REQ, 1)]),
    "ping": lambda store: store.ping(),
}
SERIES_OPERATIONS: Final[dict[str, Call]] = {
    "list_totals": lambda store: store.list_totals(),
    "read_points": lambda store: store.read_points([REQ], 60),
}
INVALID_SERIES: Final[dict[str, Call]] = {
    "window 0": lambda store: store.read_points([REQ], 0),
    "window too long": lambda store: store.read_points([REQ], 35 * DAY + 1),
    "too many counters": lambda store: store.read_points([REQ] * 1_001, 60),
    "names too long": lambda store: store.read_points([REQ, ("openai", "k" * MAX_KEY_BYTES, "req")], 60),
    "name not text": lambda store: store.read_points([("openai", "\ud800", "req")], 60),
}
INVALID: Final[dict[str, Call]] = {
    "delta NaN": lambda store: store.increment_usage(*REQ, float("nan")),
    "delta infinite": lambda store: store.increment_usage(*REQ, float("-inf")),
    "value NaN": lambda store: store.set_usage(*REQ, float("nan")),
    "value infinite": lambda store: store.set_usage(*REQ, float("inf")),
    "names too long": lambda store: store.increment_usage("openai", "k" * MAX_KEY_BYTES, "req", 1),
    "name not text": lambda store: store.increment_usage("openai", "\ud800", "req", 1),
    "window 0": lambda store: store.get_usage_in_window(*REQ, 0),
    "window too long": lambda store: store.get_usage_in_window(*REQ, 35 * DAY + 1),
    "ttl 0": lambda store: store.set_cache("key", b"value", 0),
    "ttl negative": lambda store: store.set_cache("key", b"value", -1),
    "ttl NaN": lambda store: store.set_cache("key", b"value", float("nan")),
    "ttl infinite": lambda store: store.set_cache("key", b"value", float("inf")),
    "key too long to store": lambda store: store.set_cache("é" * (MAX_KEY_BYTES // 2 + 1), b"value", 10),
    "key too long to read": lambda store: store.get_cache("k" * (MAX_KEY_BYTES + 1)),
    "key not text": lambda store: store.set_cache("\ud800", b"value", 10),
    "label of no kind": lambda store: store.purge(["tag:a", "answer:a"]),
    "label without a name": lambda store: store.purge(["tag:"]),
    "label not printable": lambda store: store.purge(["tag:a\n"]),
    "no label": lambda store: store.purge([]),
    "age negative": lambda store: store.apply("w", 1, [Increment(*REQ, 1, age=-1)]),
    "age too long": lambda store: store.apply("w", 1, [Increment(*REQ, 1, age=35 * DAY + 1)]),
    "samples 0": lambda store: store.apply("w", 1, [Increment(*REQ, 1, samples=0)]),
}
INVALID_CLAIMS: Final[dict[str, Call]] = {
    "lease 0": lambda store: store.claim("key", "a", 0),
    "lease negative": lambda store: store.claim("key", "a", -1),
    "lease NaN": lambda store: store.claim("key", "a", float("nan")),
    "lease infinite": lambda store: store.claim("key", "a", float("inf")),
    "key too long to claim": lambda store: store.claim("k" * MAX_KEY_BYTES, "a", 1),
    "owner not text": lambda store: store.claim("key", "\ud800", 1),
    "key too long to release": lambda store: store.release("k" * MAX_KEY_BYTES, "a"),
}
_TAKES: Final = (Take("tokens", 100, 60, 1),)


def _take(limit: float = 100, window_seconds: float = 60, amount: float = 1, name: str = "tokens") -> Call:
    choices = [_TAKES, (Take("requests", 1, 1, 1), Take(name, limit, window_seconds, amount))]
    return lambda store: store.reserve("ticket", choices, 10)


LIMIT_OPERATIONS: Final[dict[str, Call]] = {
    "reserve": lambda store: store.reserve("ticket", [_TAKES], 10),
    "settle": lambda store: store.settle([Settlement("ticket", _TAKES)]),
    "renew": lambda store: store.renew([Settlement("ticket", _TAKES)], 10),
}
INVALID_LIMITS: Final[dict[str, Call]] = {
    "no choice": lambda store: store.reserve("ticket", [], 10),
    "no ticket": lambda store: store.reserve("", [_TAKES], 10),
    "ticket too long": lambda store: store.reserve("t" * 1025, [_TAKES], 10),
    "lease 0": lambda store: store.reserve("ticket", [_TAKES], 0),
    "lease NaN": lambda store: store.reserve("ticket", [_TAKES], float("nan")),
    "lease infinite": lambda store: store.reserve("ticket", [_TAKES], float("inf")),
    "limit 0": _take(limit=0),
    "limit negative": _take(limit=-1),
    "limit NaN": _take(limit=float("nan")),
    "limit too large": _take(limit=2e15),
    "window negative": _take(window_seconds=-1),
    "window too short": _take(window_seconds=0.001),
    "window too long": _take(window_seconds=35 * DAY + 1),
    "window NaN": _take(window_seconds=float("nan")),
    "amount negative": _take(amount=-1),
    "amount too large": _take(amount=2e15),
    "amount NaN": _take(amount=float("nan")),
    "no name": _take(name=""),
    "name not ASCII": _take(name="ключ"),
    "name too long": _take(name="n" * 1025),
    "name twice": _take(name="requests"),
    "amount settled negative": lambda store: store.settle([Settlement("t", (Take("tokens", 100, 60, -1),))]),
    "amount settled NaN": lambda store: store.settle([Settlement("t", (Take("tokens", 100, 60, float("nan")),))]),
    "lease renewed 0": lambda store: store.renew([Settlement("t", _TAKES)], 0),
}


async def read(store: RuntimeStore, provider: str, key_id: str, metric: str) -> tuple[float, float, float]:
    """A counter's value, its last minute, and its total."""
    return (
        await store.get_usage(provider, key_id, metric),
        await store.get_usage_in_window(provider, key_id, metric, 60),
        await store.get_total(provider, key_id, metric),
    )
