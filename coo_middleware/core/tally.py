"""Records that add to the same counters, summed up so that they are counted as one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from coo_middleware.core.outcome import Usage
from coo_middleware.core.record import Record
from coo_middleware.core.series import find_bound

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence


_names: Final[Callable[[Record], tuple[Hashable, ...]]] = attrgetter(
    *("provider", "key_id", "model", "status", "cache_status", "error_type", "asked", "trial")
)
_tokens: Final[Callable[[Usage], tuple[int | None, ...]]] = attrgetter(
    *("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"),
    *("reasoning_tokens", "input_audio_tokens", "output_audio_tokens"),
)


@dataclass(frozen=True, slots=True)
class Alike:
    """So many records that add to the same counters in the same second, the last of them made at `time`, in seconds
    since 1970. `first` stands for what they have in common; `total` has the sums of their durations, of the times to
    their first chunks, of their usage and of what they cost.
    """

    first: Record
    total: Record
    number: int
    time: float


def sum_up(records: Iterable[tuple[float, Record]]) -> list[Alike]:
    """What adds to the same counters as one, in the order in which the first of each came; each with its time. Raises
    TypeError for a record whose amounts are no numbers.
    """
    kinds: dict[Hashable, list[Record]] = {}
    times: dict[Hashable, float] = {}
    for time, record in records:
        kind = _kind_of(time, record)
        kinds.setdefault(kind, []).append(record)
        times[kind] = time
    return [Alike(alike[0], _add_up(alike), len(alike), times[kind]) for kind, alike in kinds.items()]


def _kind_of(time: float, record: Record) -> Hashable:
    usage, first = record.usage, record.first_chunk
    return (
        _names(record),
        find_bound(record.duration),
        None if first is None else find_bound(first),
        usage is not None and usage.estimated,
        int(time),
    )


def _add_up(records: Sequence[Record]) -> Record:
    first = records[0]
    if len(records) == 1:
        return first
    usages = [each.usage for each in records if each.usage is not None]
    return replace(
        first,
        usage=_add_usages(usages) if usages else None,
        cost=sum([each.cost or 0.0 for each in records]),
        duration=sum([each.duration for each in records]),
        first_chunk=None if first.first_chunk is None else sum([each.first_chunk or 0.0 for each in records]),
    )


def _add_usages(usages: Sequence[Usage]) -> Usage:
    sums = [sum(filter(None, counts)) for counts in zip(*map(_tokens, usages), strict=True)]
    return Usage(*sums, estimated=usages[0].estimated)
