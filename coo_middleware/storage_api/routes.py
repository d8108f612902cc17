"""What the storage API does at each path and method."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Final, TypeAlias

from coo_middleware.storage_api.openapi import DESCRIPTION
from coo_middleware.stores import Increment, RuntimeStore, StoreError
from coo_middleware.stores.checks import (
    check_amount,
    check_claim,
    check_counter,
    check_increments,
    check_key,
    check_points,
    check_ttl,
    check_window,
)
from coo_middleware.stores.http_layout import (
    LayoutError,
    Parts,
    decode_json,
    decode_name,
    read_increments,
    read_labels,
    read_number,
    read_value,
    read_writer,
    write_page,
    write_value,
)
from coo_middleware.stores.http_limits import read_reservation, read_settlements, write_admission
from coo_middleware.stores.http_series import read_question, write_points, write_totals
from coo_middleware.stores.limit_checks import check_lease

_SINCE: Final = re.compile(r"since=([0-9]{1,20})")
_SECONDS: Final = re.compile(r"seconds=([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Call:
    """One request: the names in its path, its query as it came, and its content."""

    names: tuple[str, ...]
    query: str
    content: bytes


Handler: TypeAlias = Callable[[RuntimeStore, Call], Awaitable[Parts]]


class AnswerError(Exception):
    """Ends a request with another status than 200."""

    def __init__(self, status: int, parts: Parts, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status: Final = status
        self.parts: Final = parts
        self.headers: Final = headers


def find_route(method: str, path: str) -> tuple[Handler, list[str]]:
    """What answers, and the segments of `path`, still encoded, that are names. Raises AnswerError: 404 for a path that
    is none of ours, 405 for a method that it does not take.
    """
    segments = path.split("/")
    for template, methods in ROUTES.items():
        parts = template.split("/")
        pairs = [*zip(parts, segments, strict=False)]
        if len(parts) == len(segments) and all(part == each or part.startswith("{") for part, each in pairs):
            if method not in methods:
                raise AnswerError(405, {"error": "no such method here"}, {"allow": ", ".join(methods)})
            return methods[method], [each for part, each in pairs if part.startswith("{")]
    raise AnswerError(404, {"error": "no such path"})


async def _health(store: RuntimeStore, _call: Call) -> Parts:
    await store.ping()
    return {"status": "ok"}


async def _describe(_store: RuntimeStore, _call: Call) -> Parts:
    return DESCRIPTION


async def _get_usage(store: RuntimeStore, call: Call) -> Parts:
    return _number(await store.get_usage(*_counter(call)))


async def _set_usage(store: RuntimeStore, call: Call) -> Parts:
    value = read_number(decode_json(call.content), "value")
    check_amount(value)
    await store.set_usage(*_counter(call), value)
    return {}


async def _increment_usage(store: RuntimeStore, call: Call) -> Parts:
    document = decode_json(call.content)
    delta = read_number(document, "delta")
    if "writer" in document or "sequence" in document:
        await store.apply(*read_writer(document), [Increment(*_counter(call), delta)])
    else:
        await store.increment_usage(*_counter(call), delta)
    return {}


async def _get_window(store: RuntimeStore, call: Call) -> Parts:
    match = _SECONDS.fullmatch(call.query)
    if match is None:
        raise LayoutError("seconds: must be given, once and alone, as a whole number")
    seconds = int(match[1])
    check_window(seconds)
    return _number(await store.get_usage_in_window(*_counter(call), seconds))


async def _get_total(store: RuntimeStore, call: Call) -> Parts:
    return _number(await store.get_total(*_counter(call)))


async def _get_cache(store: RuntimeStore, call: Call) -> Parts:
    found = await store.get_cache_with_ttl(_key(call))
    if found is None:
        raise AnswerError(404, {"value": None})
    value, ttl = found
    return write_value(value) | {"ttl_seconds": ttl}


async def _set_cache(store: RuntimeStore, call: Call) -> Parts:
    document = decode_json(call.content)
    value, ttl = read_value(document), read_number(document, "ttl_seconds")
    check_ttl(ttl)
    await store.set_cache(_key(call), value, ttl)
    return {}


async def _delete_cache(store: RuntimeStore, call: Call) -> Parts:
    await store.delete_cache(_key(call))
    return {}


async def _purge(store: RuntimeStore, call: Call) -> Parts:
    return {"generation": await store.purge(read_labels(decode_json(call.content)))}


async def _get_purges(store: RuntimeStore, call: Call) -> Parts:
    match = _SINCE.fullmatch(call.query or "since=0")
    if match is None:
        raise LayoutError("since: must be a whole number, or left out")
    return (await store.get_purges(int(match[1]))).document()


async def _list_cache(store: RuntimeStore, call: Call) -> Parts:
    return write_page(await store.list_cache(decode_name(call.names[0])))


async def _list_totals(store: RuntimeStore, call: Call) -> Parts:
    page = await store.list_totals(decode_name(call.names[0]))
    _check_range(each.value for each in (page.totals if page else ()))
    return write_totals(page)


async def _read_points(store: RuntimeStore, call: Call) -> Parts:
    counters, seconds = read_question(decode_json(call.content))
    check_points(counters, seconds)
    points = await store.read_points(counters, seconds)
    _check_range(value for values in (points.values if points else ()) for value in values)
    return write_points(points)


async def _claim(store: RuntimeStore, call: Call) -> Parts:
    key, owner = map(decode_name, call.names)
    lease = read_number(decode_json(call.content), "lease_seconds")
    check_claim(key, owner, lease)
    return {"owner": await store.claim(key, owner, lease)}


async def _release(store: RuntimeStore, call: Call) -> Parts:
    key, owner = map(decode_name, call.names)
    check_claim(key, owner)
    await store.release(key, owner)
    return {}


async def _apply(store: RuntimeStore, call: Call) -> Parts:
    document = decode_json(call.content)
    writer, sequence = read_writer(document)
    increments = read_increments(document)
    check_increments(increments)
    await store.apply(writer, sequence, increments)
    return {}


async def _reserve(store: RuntimeStore, call: Call) -> Parts:
    return write_admission(await store.reserve(*read_reservation(decode_json(call.content))))


async def _settle(store: RuntimeStore, call: Call) -> Parts:
    await store.settle(read_settlements(decode_json(call.content)))
    return {}


async def _renew(store: RuntimeStore, call: Call) -> Parts:
    document = decode_json(call.content)
    lease = read_number(document, "lease_seconds")
    check_lease(lease)
    await store.renew(read_settlements(document), lease)
    return {}


def _counter(call: Call) -> tuple[str, str, str]:
    provider, key_id, metric = map(decode_name, call.names)
    check_counter(provider, key_id, metric)
    return provider, key_id, metric


def _key(call: Call) -> str:
    key = decode_name(call.names[0])
    check_key(key)
    return key


def _number(value: float) -> Parts:
    _check_range([value])
    return {"value": value}


def _check_range(values: Iterable[float]) -> None:
    # JSON has no infinity, which is what a counter is after 1e308 was added twice.
    if not all(map(isfinite, values)):
        raise StoreError("a counter left the range of numbers; set it anew")


_USAGE: Final = "/usage/{provider}/{key_id}/{metric}"
ROUTES: Final[Mapping[str, Mapping[str, Handler]]] = {
    _USAGE: {"GET": _get_usage, "PUT": _set_usage},
    f"{_USAGE}/increment": {"POST": _increment_usage},
    f"{_USAGE}/window": {"GET": _get_window},
    f"{_USAGE}/total": {"GET": _get_total},
    "/cache/{key}": {"GET": _get_cache, "PUT": _set_cache, "DELETE": _delete_cache},
    "/purges": {"GET": _get_purges, "POST": _purge},
    "/responses/{cursor}": {"GET": _list_cache},
    "/totals/{cursor}": {"GET": _list_totals},
    "/points": {"POST": _read_points},
    "/claim/{key}/{owner}": {"PUT": _claim, "DELETE": _release},
    "/limits/reserve": {"POST": _reserve},
    "/limits/settle": {"POST": _settle},
    "/limits/renew": {"POST": _renew},
    "/batch": {"POST": _apply},
    "/health": {"GET": _health},
    "/openapi.json": {"GET": _describe},
}
