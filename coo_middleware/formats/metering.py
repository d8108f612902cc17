"""What Amazon Bedrock meters. Its input leaves out what went through the provider's prompt cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from coo_middleware.formats.answer import merge_counts, usage_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coo_middleware.core.outcome import Usage
    from coo_middleware.core.request import Headers

# The spellings of the counters of input, output, cache reads and cache writes, the preferred one first.
Counters: TypeAlias = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]]

_PREFIX: Final = b"x-amzn-bedrock-"
_FIELDS: Final[Counters] = (
    ("input-token-count",),
    ("output-token-count",),
    ("cache-read-input-token-count",),
    ("cache-write-input-token-count",),
)


def read_token_fields(headers: Headers) -> Usage | None:
    """Usage from a response's `x-amzn-bedrock-*-token-count` fields."""
    counts: dict[str, int] = {}
    for raw, value in headers:
        name = raw.lower()
        if name.startswith(_PREFIX):
            merge_counts(counts, {name.removeprefix(_PREFIX).decode("latin-1"): value.strip().decode("latin-1")})
    return inclusive_usage(counts, _FIELDS)


def inclusive_usage(counts: Mapping[str, int], names: Counters) -> Usage | None:
    """Usage whose input counts all that the model read."""
    uncached, output, read, write = (
        next((counts[name] for name in spellings if name in counts), None) for spellings in names
    )
    inputs = [count for count in (uncached, read, write) if count is not None]
    return usage_of(sum(inputs) if inputs else None, output, cache_read=read, cache_write=write)
