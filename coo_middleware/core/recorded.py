"""A line of a record of requests: a request as core/dump.py reads it, and what else is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from coo_middleware.core.document import Document, Json, read_json
from coo_middleware.core.dump import AnswerDump, AskedDump, DumpError, make_answer, make_asked
from coo_middleware.core.outcome import Usage, tokens

if TYPE_CHECKING:
    from collections.abc import Iterable

_LATEST: Final = 2.0**40
# What providers call them, beside our own names.
_NAMES: Final = (
    ("input_tokens", "prompt_tokens"),
    ("output_tokens", "completion_tokens"),
    ("cache_read_tokens",),
    ("cache_write_tokens",),
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request, and in seconds when it came, since 1970, and how long its answer took; None where that is not known.
    `status` is 200 where nothing else is said.
    """

    asked: AskedDump
    answer: AnswerDump | None
    time: float | None
    duration: float
    status: int
    usage: Usage | None


def read_recorded(line: bytes) -> Recorded:
    """The request in a line: an object with `body` (or HAR's `postData`) and any of `method`, `path` or `url`,
    `headers`, `time` (seconds since 1970, or ISO 8601), `duration` (seconds), `status`, `usage` (`input_tokens` and
    `output_tokens`, or `prompt_tokens` and `completion_tokens`) and `answer` (`status`, `headers` and `body`). Raises
    DumpError, whose text shows no value.
    """
    told = read_json(line)
    if not isinstance(told, dict) or {"body", "postData"}.isdisjoint(told):
        raise DumpError("the line must be an object with body")
    answer = told.get("answer")
    came = make_answer(answer) if isinstance(answer, dict) else None
    status = told.get("status", came.status if came else 200)
    if type(status) is not int:
        raise DumpError("status: must be a number such as 200")
    return Recorded(
        asked=make_asked(told),
        answer=came,
        time=_read_time(told.get("time")),
        duration=_read_seconds("duration", told.get("duration", 0)),
        status=status,
        usage=_read_usage(told.get("usage")),
    )


def _read_time(value: Json) -> float | None:
    if value is None:
        return None
    if not isinstance(value, str):
        return _read_seconds("time", value)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise DumpError("time: must be seconds since 1970, or ISO 8601 such as 2026-11-23T08:00:00Z") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _read_seconds(name: str, value: Json) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
        raise DumpError(f"{name}: must be a number of seconds that is not negative")
    return float(value)


def _read_usage(value: Json) -> Usage | None:
    if not isinstance(value, dict):
        return None
    known = [_first(value, names) for names in _NAMES]
    return None if known[:2] == [None, None] else Usage(*known)


def _first(told: Document, names: Iterable[str]) -> int | None:
    return next((count for name in names if (count := tokens(told.get(name))) is not None), None)
