"""How RedisStore names its keys, and how a batch is handed to its script.

| key | holds |
|---|---|
| `usage:{provider}:{key_id}:{metric}` | the current period's value as text; lives `usage_ttl_seconds` |
| `samples:…` | of a mean: the period's `sum` and `count` |
| `window:…:{1, 60 or 3600}` | a hash of buckets of that many seconds: number to sum, and number# to count of a mean |
| `total:…` | every increment as text; of a mean a hash of `sum` and `count` |
| `cache:{key}` | a stored response |
| `writer:{id}` | the number of the last batch of that writer; lives 35 days from its last use |

`:` and `%` inside a name are percent-encoded. On a cluster the provider and the key stand in braces, which are encoded
inside a name, so that all keys of one provider's key lie in one slot: `usage:{openai:key1}:req`; and a writer has a
mark for each of them, `writer:{openai:key1}:id`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from coo_middleware.core.window import LEVELS, LONGEST_WINDOW
from coo_middleware.stores import LATENCY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from coo_middleware.stores import Increment

MARK_MILLISECONDS: Final = LONGEST_WINDOW * 1000

_LEVELS: Final = json.dumps([(level.size, level.longest) for level in LEVELS])
_NAMES: Final = str.maketrans({":": "%3A", "%": "%25"})
_TAGGED: Final = str.maketrans({":": "%3A", "%": "%25", "{": "%7B", "}": "%7D"})


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script of the package, and the name under which a server keeps it."""

    text: str
    sha: str


def load_script(name: str) -> Script:
    """The script in `name`.lua."""
    text = files(__package__).joinpath(f"{name}.lua").read_text("utf-8")
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


@dataclass(frozen=True, slots=True)
class Layout:
    """The names of the keys that begin with `prefix`; `is_cluster` puts those of one provider's key into one slot."""

    prefix: str
    is_cluster: bool

    def slot(self, provider: str, key_id: str) -> str:
        """What the keys have in common that one script may touch: nothing but on a cluster."""
        return f"{{{provider.translate(_TAGGED)}:{key_id.translate(_TAGGED)}}}:" if self.is_cluster else ""

    def counter(self, kind: str, provider: str, key_id: str, metric: str) -> str:
        """The key of one counter's usage, samples, window or total."""
        owner = self.slot(provider, key_id) or f"{provider.translate(_NAMES)}:{key_id.translate(_NAMES)}:"
        return f"{self.prefix}{kind}:{owner}{metric.translate(_NAMES)}"

    def window(self, provider: str, key_id: str, metric: str, size: int) -> str:
        """The key of the buckets of `size` seconds."""
        return f"{self.counter('window', provider, key_id, metric)}:{size}"

    def cache(self, key: str) -> str:
        """The key of a stored response."""
        return f"{self.prefix}cache:{key}"

    def batch(
        self, slot: str, writer: str, increments: Sequence[Increment]
    ) -> tuple[list[str], list[str | float | int]]:
        """What redis_apply.lua takes, its KEYS and the end of its ARGV, for increments of one slot."""
        keys = [f"{self.prefix}writer:{slot}{writer}"]
        arguments: list[str | float | int] = [_LEVELS]
        for each in increments:
            keys += self._keys(each.provider, each.key_id, each.metric)
            kind = "mean" if each.metric == LATENCY else "sum"
            arguments += [kind, float(each.delta), each.samples, each.age]
        return keys, arguments

    def _keys(self, *counter: str) -> Iterator[str]:
        provider, key_id, metric = counter
        for kind in ("usage", "samples", "total"):
            yield self.counter(kind, provider, key_id, metric)
        for level in LEVELS:
            yield self.window(provider, key_id, metric, level.size)
