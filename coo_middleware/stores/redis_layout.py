"""How RedisStore names its keys, and how a batch is handed to its script.

| key | holds |
|---|---|
| `usage:{provider}:{key_id}:{metric}` | the current period's value as text; lives `usage_ttl_seconds` |
| `samples:…` | of a mean: the period's `sum` and `count` |
| `window:…:{1, 60 or 3600}` | a hash of buckets of that many seconds: number to sum, and number# to count of a mean |
| `total:…` | every increment as text; of a mean a hash of `sum` and `count` |
| `counters` | a sorted set of the names of all counters, each `provider:key_id:metric`, also on a cluster |
| `cache:{key}` | a stored response |
| `purges` | a sorted set of labels by the generation in which each was purged last |
| `claim:{key}` | who leads the work on that response; lives as long as the lease |
| `log:{name}` | a stream of what a leader has of an answer, or of who follows one; lives a minute from its last frame |
| `limit:{name}` | how a limit stands, and what was taken in each part of its window: floats of 8 bytes |
| `holds:{name}` | a hash: what was taken under each ticket, and in which part |
| `leases:{name}` | a sorted set: the tickets by the moment at which their lease ends |
| `clock:limits` | the latest moment that the limits have seen; lives 100 days from its last use |
| `writer:{id}` | the number of the last batch of that writer; lives 35 days from its last use |
| `writer:{id}:{n}` | the same for the increments from the 500th, the 1,000th, … on of larger batches |

`:` and `%` inside a name are percent-encoded. On a cluster the provider and the key stand in braces, which are encoded
inside a name, so that all keys of one provider's key lie in one slot: `usage:{openai:key1}:req`; and a writer has a
mark for each of them, `writer:{openai:key1}:id`. One reservation may take of any limits, so that all of them lie in one
slot: `limit:{limits}:name`, `holds:{limits}:name`, `leases:{limits}:name` and `clock:{limits}`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import unquote

from coo_middleware.core.window import LEVELS, LONGEST_WINDOW
from coo_middleware.stores import LATENCY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from coo_middleware.stores import Counter, Increment
    from coo_middleware.stores.redis_connect import Argument

MARK_MILLISECONDS: Final = LONGEST_WINDOW * 1000

# What a script does at once nobody else may do in between: 500 increments take some milliseconds.
_PART: Final = 500
_LEVELS: Final = json.dumps([(level.size, level.longest) for level in LEVELS])
_NAMES: Final = str.maketrans({":": "%3A", "%": "%25"})
_LIMIT: Final = ("limit", "holds", "leases")
_TAGGED: Final = str.maketrans({":": "%3A", "%": "%25", "{": "%7B", "}": "%7D"})


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script of the package, and the name under which a server keeps it."""

    text: str
    sha: str


def load_script(*names: str) -> Script:
    """The script in `names`.lua, one after the other."""
    text = "".join(files(__package__).joinpath(f"{name}.lua").read_text("utf-8") for name in names)
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


def read_number(reply: object) -> float:
    """The number in a reply, 0 where there is none."""
    return float(cast("bytes", reply)) if reply is not None else 0.0


def read_answer(metric: str, reply: list[bytes]) -> float:
    """A metric's value by its sum and how many samples it has."""
    total, samples = (read_number(each) for each in reply)
    if metric != LATENCY:
        return total
    return total / samples if samples else 0.0


def write_counter(counter: Counter) -> str:
    """A counter's name among those of all counters."""
    return ":".join(name.translate(_NAMES) for name in counter)


def read_counter(text: str) -> Counter:
    """The counter that `write_counter` wrote. Raises ValueError for any other text."""
    names = tuple(map(unquote, text.split(":")))
    if len(names) != 3 or text != write_counter(names):
        raise ValueError("cursor: must be empty, or the one of the page before")
    return names


@dataclass(frozen=True, slots=True)
class Layout:
    """The names of the keys that begin with `prefix`; `is_cluster` puts those of one provider's key into one slot."""

    prefix: str
    is_cluster: bool

    def slot(self, provider: str, key_id: str) -> str:
        """What the keys have in common that one script may touch: nothing but on a cluster."""
        return f"{{{provider.translate(_TAGGED)}:{key_id.translate(_TAGGED)}}}:" if self.is_cluster else ""

    def counter(self, kind: str, provider: str, key_id: str, metric: str) -> str:
        """The key of one counter's usage, samples or total."""
        return f"{self.prefix}{kind}:{self._names(provider, key_id, metric)}"

    def window(self, provider: str, key_id: str, metric: str, size: int) -> str:
        """The key of the buckets of `size` seconds."""
        return f"{self.counter('window', provider, key_id, metric)}:{size}"

    def cache(self, key: str) -> str:
        """The key of a stored response."""
        return f"{self.prefix}cache:{key}"

    @property
    def counters(self) -> str:
        """The key of the names of all counters."""
        return f"{self.prefix}counters"

    @property
    def purges(self) -> str:
        """The key of what was purged."""
        return f"{self.prefix}purges"

    def claim(self, key: str) -> str:
        """The key of a lease."""
        return f"{self.prefix}claim:{key}"

    def log(self, name: str) -> str:
        """The key of a log."""
        return f"{self.prefix}log:{name}"

    def limits(self, names: Iterable[str]) -> list[str]:
        """The keys of a script of limits: the clock, then of each limit how it stands, its holds and its leases."""
        clock, slot = ("{limits}", "{limits}:") if self.is_cluster else ("limits", "")
        own = (f"{self.prefix}{kind}:{slot}{name.translate(_NAMES)}" for name in names for kind in _LIMIT)
        return [f"{self.prefix}clock:{clock}", *own]

    def parts(self, writer: str, increments: Sequence[Increment]) -> Iterator[tuple[list[str], list[Argument]]]:
        """What redis_apply.lua takes, its KEYS and the end of its ARGV, once for each call that the batch needs: one
        for each slot and 500 increments. The same batch has the same parts, and each has a mark of its own.
        """
        slots: defaultdict[str, list[Increment]] = defaultdict(list)
        for each in increments:
            slots[self.slot(each.provider, each.key_id)].append(each)
        for slot, own in slots.items():
            mark = f"{self.prefix}writer:{slot}{writer.translate(_NAMES)}"
            for start in range(0, len(own), _PART):
                yield self._part(f"{mark}:{start // _PART}" if start else mark, own[start : start + _PART])

    def _part(self, mark: str, increments: Sequence[Increment]) -> tuple[list[str], list[Argument]]:
        keys = [mark]
        arguments: list[Argument] = [_LEVELS]
        for each in increments:
            names = self._names(each.provider, each.key_id, each.metric)
            keys += [f"{self.prefix}{kind}:{names}" for kind in ("usage", "samples", "total")]
            keys += [f"{self.prefix}window:{names}:{level.size}" for level in LEVELS]
            kind = "mean" if each.metric == LATENCY else "sum"
            arguments += [kind, float(each.delta), each.samples, each.age]
        return keys, arguments

    def _names(self, provider: str, key_id: str, metric: str) -> str:
        owner = self.slot(provider, key_id) or f"{provider.translate(_NAMES)}:{key_id.translate(_NAMES)}:"
        return owner + metric.translate(_NAMES)
