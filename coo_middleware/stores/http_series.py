"""Lists of counters and their buckets in the HTTP layout, for both of its ends."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, cast

from coo_middleware.stores import Points, Total, TotalsPage
from coo_middleware.stores.http_layout import (
    LayoutError,
    encode_name,
    read_count,
    read_list,
    read_number,
    read_objects,
    read_text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.core.document import Json
    from coo_middleware.stores import Counter
    from coo_middleware.stores.http_layout import Parts


def totals_path(cursor: str) -> str:
    """The path of a page of the counters."""
    return f"/totals/{encode_name(cursor)}"


def write_totals(page: TotalsPage | None) -> Parts:
    """A page of the counters; without any list where there is none."""
    if page is None:
        return {"cursor": ""}
    totals: list[Json] = [
        _write_counter((each.provider, each.key_id, each.metric)) | {"value": each.value} for each in page.totals
    ]
    return {"totals": totals, "cursor": page.cursor}


def read_totals(document: Parts) -> TotalsPage | None:
    """What `write_totals` wrote. Raises LayoutError."""
    cursor = read_text(document, "cursor")
    if "totals" not in document:
        return None
    parts = read_objects(document["totals"], "totals")
    return TotalsPage(tuple(Total(*_read_counter(each), read_number(each, "value")) for each in parts), cursor)


def write_question(counters: Sequence[Counter], window_seconds: int) -> Parts:
    """What is asked of `POST /points`."""
    return {"counters": [_write_counter(each) for each in counters], "seconds": window_seconds}


def read_question(document: Parts) -> tuple[list[Counter], int]:
    """What `write_question` wrote. Raises LayoutError."""
    parts = read_objects(document.get("counters"), "counters")
    return [_read_counter(each) for each in parts], read_count(document, "seconds")


def write_points(points: Points | None) -> Parts:
    """The buckets of some counters; nothing where this store cannot tell them."""
    if points is None:
        return {}
    values: list[Json] = [[*each] for each in points.values]
    return {"begins": points.begins, "step_seconds": points.step_seconds, "values": values}


def read_points(document: Parts, counters: int) -> Points | None:
    """What `write_points` wrote of so many counters. Raises LayoutError."""
    if "values" not in document:
        return None
    values = tuple(_read_values(each) for each in read_list(document["values"], "values"))
    if len(values) != counters or len({*map(len, values)}) > 1:
        raise LayoutError("values: must be one list for each counter, all as long")
    return Points(read_number(document, "begins"), read_count(document, "step_seconds"), values)


def _write_counter(counter: Counter) -> Parts:
    provider, key_id, metric = counter
    return {"provider": provider, "key_id": key_id, "metric": metric}


def _read_counter(part: Parts) -> Counter:
    return read_text(part, "provider"), read_text(part, "key_id"), read_text(part, "metric")


def _read_values(part: Json) -> tuple[float, ...]:
    values = read_list(part, "values")
    # By the types themselves, since there may be a million of them, and True is no number.
    if not {*map(type, values)} <= {int, float} or not all(map(isfinite, cast("list[float]", values))):
        raise LayoutError("values: must hold lists of finite numbers")
    return tuple(map(float, cast("list[float]", values)))
