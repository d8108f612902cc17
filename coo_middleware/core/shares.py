"""What a provider told of several inputs together, shared out among them and added up again.

A share is an estimate; the sum is not. The shares of a whole number are whole, in proportion to the weights, the
largest remainders rounded up (Hamilton's method), so they add up to what was told.
"""

from __future__ import annotations

from dataclasses import astuple
from math import fsum
from typing import TYPE_CHECKING

from coo_middleware.core.outcome import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.core.document import Json


def share_out(total: int, weights: Sequence[int]) -> list[int]:
    """Whole shares of `total`, one for each weight; all alike where no weight is above 0."""
    whole = sum(weights)
    if not whole:
        return share_out(total, [1] * len(weights)) if weights else []
    shares = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda place: -(total * weights[place] % whole))
    for place in by_remainder[: total - sum(shares)]:
        shares[place] += 1
    return shares


def share_counts(told: Json, weights: Sequence[int]) -> list[Json]:
    """The counters in `told`, however deep, shared out; what is no number is everyone's."""
    if isinstance(told, dict):
        members = [(name, share_counts(value, weights)) for name, value in told.items()]
        return [{name: shares[place] for name, shares in members} for place in range(len(weights))]
    if isinstance(told, list):
        items = [share_counts(value, weights) for value in told]
        return [[shares[place] for shares in items] for place in range(len(weights))]
    if isinstance(told, float):
        whole = sum(weights)
        return [told * weight / whole if whole else told / len(weights) for weight in weights]
    return [*share_out(told, weights)] if type(told) is int else [told] * len(weights)


def add_counts(told: Sequence[Json]) -> Json:
    """The counters of several answers, each added up over those that tell it; what is no number is the last one's."""
    if all(isinstance(value, dict) for value in told):
        documents = [value for value in told if isinstance(value, dict)]
        names = dict.fromkeys(name for document in documents for name in document)
        return {name: add_counts([each[name] for each in documents if name in each]) for name in names}
    lists = [value for value in told if isinstance(value, list)]
    if len(lists) == len(told) and len({len(value) for value in lists}) == 1:
        return [add_counts(items) for items in zip(*lists, strict=True)]
    numbers = [value for value in told if isinstance(value, int | float) and not isinstance(value, bool)]
    if not numbers or any(value is not None and not _is_number(value) for value in told):
        return told[-1]
    return sum(numbers) if all(isinstance(number, int) for number in numbers) else fsum(numbers)


def share_usage(usage: Usage | None, weights: Sequence[int]) -> list[Usage | None]:
    """Usage shared out; a share is flagged as estimated, for the provider told none."""
    if usage is None:
        return [None] * len(weights)
    counts = [_share_count(count, weights) for count in _counts(usage)]
    estimated = usage.estimated or len(weights) > 1
    return [Usage(*(shares[place] for shares in counts), estimated=estimated) for place in range(len(weights))]


def add_usage(usages: Sequence[Usage | None]) -> Usage | None:
    """Usage of all together, None where it is unknown of one of them; so is each of its counts."""
    known = [usage for usage in usages if usage is not None]
    if not known or len(known) < len(usages):
        return None
    counts = zip(*map(_counts, known), strict=True)
    return Usage(*map(_add_count, counts), estimated=any(usage.estimated for usage in known))


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _counts(usage: Usage) -> tuple[int | None, ...]:
    return astuple(usage)[:-1]


def _share_count(count: int | None, weights: Sequence[int]) -> Sequence[int | None]:
    return [None] * len(weights) if count is None else share_out(count, weights)


def _add_count(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
