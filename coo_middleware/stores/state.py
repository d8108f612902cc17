"""The state of a FileStore as a JSON document that people can read, and back."""

from __future__ import annotations

import json
from array import array
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from itertools import repeat
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from coo_middleware.core.labels import Purges, read_purges
from coo_middleware.core.window import LEVELS
from coo_middleware.stores import LATENCY, Counter, new_purges
from coo_middleware.stores.sums import Sums

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coo_middleware.core.document import Json

    Rings: TypeAlias = dict[int, tuple[int, array[float]]]

VERSION: Final = 1

# Objects down to this depth have one member on a line; what lies deeper, such as a window's buckets, shares one.
_DEPTH: Final = 5
_LEVELS: Final = dict(zip(("seconds", "minutes", "hours"), LEVELS, strict=True))


class VersionError(ValueError):
    """A document of another version, which is no reason to set it aside."""


@dataclass(frozen=True, slots=True)
class State:
    """Counters by provider, key and metric; responses with the time of their expiry; for each writer the number of its
    last batch, with the time of it; and what was purged. Times are seconds since the epoch.
    """

    counters: dict[Counter, tuple[Sums, ...]] = field(default_factory=dict)
    responses: dict[str, tuple[float, bytes]] = field(default_factory=dict)
    writers: dict[str, tuple[int, float]] = field(default_factory=dict)
    purges: Purges = field(default_factory=new_purges)


def encode(state: State) -> bytes:
    """The document: indented, sorted by name; a response is text where it is UTF-8 and base64 otherwise."""
    counters: dict[str, dict[str, dict[str, object]]] = {}
    for (provider, key_id, metric), sums in state.counters.items():
        counters.setdefault(provider, {}).setdefault(key_id, {})[metric] = _write_counter(sums)
    document = {
        "version": VERSION,
        "counters": counters,
        "responses": {key: _write_response(*each) for key, each in state.responses.items()},
        "writers": {name: {"sequence": last, "used": used} for name, (last, used) in state.writers.items()},
        "purges": state.purges.document(),
    }
    return f"{_lay_out(document, _DEPTH)}\n".encode()


def decode(content: bytes) -> State:
    """The state that `encode` wrote. Raises VersionError for another version, and ValueError for what is no such
    document.
    """
    try:
        document = json.loads(content)
        version = document["version"]
        if version == VERSION:
            return _read(document)
    except (AttributeError, LookupError, OverflowError, RecursionError, TypeError, ValueError) as error:
        # Not the error's own text, which may quote what was stored.
        where = f" in line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ValueError(f"not a store's document, {type(error).__name__}{where}") from error
    raise VersionError(f"version {version!r:.20}, where this program writes {VERSION}")


def _read(document: Mapping[str, dict[str, dict[str, dict[str, dict[str, object]]]]]) -> State:
    return State(
        {
            (provider, key_id, metric): _read_counter(metric, counter)
            for provider, keys in document["counters"].items()
            for key_id, metrics in keys.items()
            for metric, counter in metrics.items()
        },
        {key: _read_response(each) for key, each in document["responses"].items()},
        {
            name: (int(cast("int", each["sequence"])), float(cast("float", each["used"])))
            for name, each in document["writers"].items()
        },
        # A document from before there were purges begins them now.
        read_purges(cast("Json", document["purges"])) if "purges" in document else new_purges(),
    )


def _write_counter(sums: tuple[Sums, ...]) -> dict[str, object]:
    if len(sums) == 1:
        return _write_sums(sums[0])
    return dict(zip(("amounts", "samples"), map(_write_sums, sums), strict=True))


def _read_counter(metric: str, counter: Mapping[str, object]) -> tuple[Sums, ...]:
    parts = (counter["amounts"], counter["samples"]) if metric == LATENCY else (counter,)
    return tuple(_read_sums(cast("Mapping[str, object]", each)) for each in parts)


def _write_sums(sums: Sums) -> dict[str, object]:
    windows = {name: _write_ring(level.size, *sums.windows[level.size]) for name, level in _LEVELS.items()}
    return {"value": float(sums.value), "expires": sums.expires, "total": sums.total, **windows}


def _read_sums(sums: Mapping[str, object]) -> Sums:
    windows: Rings = {}
    for name, level in _LEVELS.items():
        buckets = {int(time) // level.size: float(each) for time, each in cast("dict[str, float]", sums[name]).items()}
        if buckets:
            windows[level.size] = _read_ring(buckets, level.kept)
    value, expires, total = (float(cast("float", sums[name])) for name in ("value", "expires", "total"))
    return Sums(value, expires, total, windows)


def _write_ring(size: int, newest: int, amounts: array[float]) -> dict[str, float]:
    # A bucket is named by the time of its begin.
    oldest = newest + 1 - len(amounts)
    return {str(number * size): amount for number, amount in enumerate(amounts, oldest) if amount}


def _read_ring(buckets: Mapping[int, float], kept: int) -> tuple[int, array[float]]:
    newest = max(buckets)
    oldest = max(min(buckets), newest + 1 - kept)
    amounts = array("d", repeat(0.0, newest + 1 - oldest))
    for number, amount in buckets.items():
        if number >= oldest:
            amounts[number - oldest] = amount
    return newest, amounts


def _write_response(expires: float, value: bytes) -> dict[str, object]:
    try:
        return {"expires": expires, "text": value.decode()}
    except UnicodeDecodeError:
        return {"expires": expires, "base64": b64encode(value).decode()}


def _read_response(response: Mapping[str, object]) -> tuple[float, bytes]:
    text = response.get("text")
    value = b64decode(cast("str", response["base64"])) if text is None else cast("str", text).encode()
    return float(cast("float", response["expires"])), value


def _lay_out(value: object, depth: int, margin: str = "") -> str:
    if not depth or not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    inner = f"{margin}  "
    members = (f"{inner}{json.dumps(name, ensure_ascii=False)}: " for name in sorted(value))
    values = (_lay_out(value[name], depth - 1, inner) for name in sorted(value))
    return "{\n" + ",\n".join(map("".join, zip(members, values, strict=True))) + f"\n{margin}}}"
