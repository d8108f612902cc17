"""The cases of http-cache-tests as data, its origin, and what its client checks, in our own words."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from pydantic import TypeAdapter

from coo_middleware.core.policy import STRICT, StrictSettings
from tests.asgi import Client, answer, content, make_scope, read_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

_FOLDER: Final = Path(__file__).parent / "cache_tests"
_COUNT: Final = b"server-request-count"
_DATES: Final = frozenset({b"date", b"expires", b"last-modified"})
# What the suite's client sends where a case says nothing.
_IDLE: Final = ("Pragma: foo", "Cache-Control: nothing-to-see-here")


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request of a case: what is sent, what the origin answers and what is expected of the cache between them."""

    __pydantic_config__: ClassVar[StrictSettings] = STRICT

    query: str = ""
    sends: tuple[str, ...] = _IDLE
    status: int = 200
    answer: tuple[str, ...] = ()
    text: str | None = None
    breaks: bool = False
    wait: float = 0.0
    expects: Literal["", "reuse", "forward"] = ""
    expects_status: int = 0
    expects_fields: tuple[str, ...] = ()
    expects_none_of: tuple[str, ...] = ()
    expects_any_text: bool = False
    forwards: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """A case of the suite; `kind` is the suite's word for how much it matters."""

    id: str
    kind: Literal["required", "optimal", "check"]
    requests: tuple[Exchange, ...]


@dataclass(slots=True)
class Clock:
    """A time that only the test moves, in seconds since 1970."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass(slots=True)
class Origin:
    """The suite's server for one case: answers the request that its client has sent now, and keeps what came."""

    case: Case
    clock: Clock
    place: int = 0
    seen: list[int] = field(default_factory=list)
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI app; raises ConnectionError where the case breaks the connection."""
        if scope["type"] != "http":
            return
        await read_all(receive)
        self.seen.append(self.place)
        self.fields = list(scope["headers"])
        asked = self.case.requests[self.place]
        if asked.breaks:
            raise ConnectionError
        headers = [*self.make_fields(asked), (_COUNT, b"%d" % len(self.seen)), (b"content-type", b"text/plain")]
        text = self.case.id if asked.text is None else asked.text
        for message in answer(text.encode(), status=asked.status, headers=headers):
            await send(message)

    def make_fields(self, asked: Exchange) -> list[tuple[bytes, bytes]]:
        """The fields of the origin's answer; a signed number in a date field is so many seconds from now."""
        return [_date(_split(line), self.clock.now) for line in asked.answer]


def read_cases() -> tuple[Case, ...]:
    """The cases that apply to our cache."""
    rows = tomllib.loads((_FOLDER / "applicable.toml").read_text())
    return TypeAdapter(tuple[Case, ...]).validate_python([{"id": name, **row} for name, row in rows.items()])


def read_exclusions() -> dict[str, str]:
    """The reason for each case that does not."""
    reasons = tomllib.loads((_FOLDER / "excluded.toml").read_text())["reasons"]
    return {name: reason["why"] for reason in reasons for name in reason["cases"]}


async def find_fault(case: Case, build: Callable[[Origin, Clock], ASGIApp]) -> str:
    """Why the cache that `build` puts in front of the case's origin fails it, "" when it passes."""
    clock = Clock()
    origin = Origin(case, clock)
    app = build(origin, clock)
    for origin.place, asked in enumerate(case.requests):
        got = await _ask(app, case, asked)
        fault = _judge(origin, asked, got)
        if fault:
            return f"request {origin.place + 1}: {fault}"
        clock.now += asked.wait
    return ""


async def _ask(app: ASGIApp, case: Case, asked: Exchange) -> Client | None:
    """The client that has its answer, None where the connection broke."""
    client = Client(*content(b""))
    fields = [_split(line) for line in asked.sends]
    try:
        await app(make_scope(f"/test/{case.id}?{asked.query}", fields, method="GET"), client.receive, client.send)
    except ConnectionError:
        return None
    return client


def _judge(origin: Origin, asked: Exchange, got: Client | None) -> str:
    reused = got is not None and int(got.fields.get(_COUNT, b"999")) <= origin.place
    forwarded = origin.place in origin.seen and not reused
    if asked.expects and (reused, forwarded) != (asked.expects == "reuse", asked.expects == "forward"):
        return "comes from the cache" if reused else "reaches the origin" if forwarded else "is refused"
    if forwarded and not _has(origin.fields, asked.forwards):
        return "a field of the request is lost"
    if got is None:
        return "" if asked.breaks and forwarded else "no answer"
    if got.status != (asked.expects_status or asked.status):
        return f"the status is {got.status}"
    return _judge_fields(origin, asked, got, forwarded=forwarded) or _judge_text(origin.case, asked, got)


def _judge_fields(origin: Origin, asked: Exchange, got: Client, *, forwarded: bool) -> str:
    headers = got.messages[0]["headers"]
    told = origin.make_fields(asked) if forwarded else []
    lost = [name.decode() for name, value in told if (name, value) not in headers]
    missing = [line for line in asked.expects_fields if not _meets(line, got.fields)]
    kept = [line for line in asked.expects_none_of if _has(headers, (line,))]
    return ", ".join(lost + missing + kept)


def _judge_text(case: Case, asked: Exchange, got: Client) -> str:
    text = case.id if asked.text is None else asked.text
    return "" if asked.expects_any_text or got.status == 204 or got.body.decode() == text else "the content differs"


def _meets(line: str, fields: dict[bytes, bytes]) -> bool:
    """Whether the fields have what `Age > 2` or `Name: value` says."""
    name, least, number = line.partition(" > ")
    if least:
        return int(fields.get(name.lower().encode(), b"0")) > int(number)
    return _has(list(fields.items()), (line,))


def _has(headers: list[tuple[bytes, bytes]], lines: tuple[str, ...]) -> bool:
    return all(_split(line) in headers for line in lines)


def _split(line: str) -> tuple[bytes, bytes]:
    name, _, value = line.partition(": ")
    return name.lower().encode(), value.encode("latin-1")


def _date(told: tuple[bytes, bytes], now: float) -> tuple[bytes, bytes]:
    name, value = told
    if name in _DATES and value[:1] in {b"+", b"-"}:
        return name, formatdate(now + int(value), usegmt=True).encode()
    return told
