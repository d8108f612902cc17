"""A store's content as lines of JSON, which prove that they are whole.

The first line is the head: `coo_export` (the version, 1), `id`, `created`, `what`. Then come blocks: lines that are a
counter (`provider`, `key`, `metric`, `value`, `samples`) or a stored response (`response`, `expires` in seconds since
1970, `value` in base64), and behind them one with `block`, the block's number, and `sha256`, the digest of every byte
of the file before it. The last line has `end`, the number of blocks, and the same digest.

The digest proves that a file is whole, not who made it.
"""

from __future__ import annotations

import json
import math
from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from coo_middleware.core.document import read_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from coo_middleware.core.document import Json

VERSION: Final = 1
# Few enough for one batch, and for a store's shortest way.
MOST_LINES: Final = 250
_BLOCK_BYTES: Final = 1_048_576
_BLOCK: Final = b'{"block":'
_END: Final = b'{"end":'

What: TypeAlias = Literal["cache", "usage"]
KINDS: Final[tuple[What, ...]] = get_args(What)


class TransferError(ValueError):
    """A file cannot be imported. The text names the line, and shows nothing of what stands in it."""


@dataclass(frozen=True, slots=True)
class Head:
    """Which export this is: `id` is its own, `created` in seconds since 1970."""

    id: str
    created: float
    what: tuple[What, ...]


@dataclass(frozen=True, slots=True)
class Counter:
    """A counter and its total; of a mean `value` is the sum of so many `samples`."""

    provider: str
    key_id: str
    metric: str
    value: float
    samples: int = 1


@dataclass(frozen=True, slots=True)
class Response:
    """A stored response as it lies in its store, under `key`, until `expires`, in seconds since 1970."""

    key: str
    expires: float
    value: bytes


@dataclass(frozen=True, slots=True)
class Block:
    """What is imported in one step; they are numbered from 1."""

    number: int
    counters: tuple[Counter, ...]
    responses: tuple[Response, ...]


def parse_kinds(text: str) -> tuple[What, ...]:
    """The kinds that are named, with commas between them. Raises ValueError."""
    named = {each.strip() for each in text.split(",")}
    if not named <= {*KINDS}:
        raise ValueError(f"what: must be some of {', '.join(KINDS)}, with commas between them")
    return tuple(each for each in KINDS if each in named)


class ExportWriter:
    """Makes the lines of one export, each with its end."""

    def __init__(self, head: Head) -> None:
        self._digest: Final = sha256()
        self._blocks = self._lines = self._bytes = 0
        about: dict[str, Json] = {"id": head.id, "created": head.created, "what": [*head.what]}
        self.head: Final = self._write({"coo_export": VERSION, **about})

    def add(self, record: Counter | Response) -> bytes:
        """The line of a record, and what ends its block."""
        line = self._write(_parts_of(record))
        self._lines += 1
        self._bytes += len(line)
        return line + self._close() if self._lines == MOST_LINES or self._bytes >= _BLOCK_BYTES else line

    def end(self) -> bytes:
        """The last lines."""
        closing = self._close() if self._lines else b""
        return closing + self._write({"end": self._blocks, "sha256": self._digest.hexdigest()})

    def _close(self) -> bytes:
        self._blocks += 1
        self._lines = self._bytes = 0
        return self._write({"block": self._blocks, "sha256": self._digest.hexdigest()})

    def _write(self, parts: Mapping[str, Json]) -> bytes:
        line = json.dumps(parts, separators=(",", ":")).encode() + b"\n"
        self._digest.update(line)
        return line


class ExportReader:
    """Reads the lines of one export in their order, and gives a block when all of it is proved."""

    def __init__(self) -> None:
        self._digest: Final = sha256()
        self._pending: list[bytes] = []
        self._line = self._blocks = 0
        self._is_over = False
        self.head: Head | None = None

    def read(self, lines: Iterable[bytes]) -> Iterator[Block]:
        """The blocks, as they come. Raises TransferError, behind the last good block, for what is torn or altered."""
        for line in lines:
            self._line += 1
            if not line.endswith(b"\n"):
                raise self._fault("the line is torn")
            yield from self._take(line)
            self._digest.update(line)
        if not self._is_over:
            raise TransferError(f"line {self._line + 1}: the file ends before its last line; export it again")

    def _take(self, line: bytes) -> Iterator[Block]:
        if self._is_over:
            raise self._fault("something stands behind the end")
        if self.head is None:
            self.head = self._read_head(line)
        elif line.startswith(_BLOCK):
            yield self._close(line)
        elif line.startswith(_END):
            if self._check(line) != {"end": self._blocks} or self._pending:
                raise self._fault("the end is not that of this file")
            self._is_over = True
        elif len(self._pending) == MOST_LINES:
            raise self._fault(f"a block has {MOST_LINES} lines at most")
        else:
            self._pending.append(line)

    def _read_head(self, line: bytes) -> Head:
        match read_json(line):
            case {"coo_export": int(version)} if version != VERSION:
                raise self._fault(f"the file is of version {version}, and this is for version {VERSION}")
            case {"coo_export": int(), "id": str(name), "created": int() | float() as created, "what": [*what]} if (
                len(name) == 32 and name.isalnum() and name.isascii() and set(what) <= {*KINDS}
            ):
                return Head(name, created, tuple(each for each in KINDS if each in what))
        raise self._fault("this is no file that `coo export` made")

    def _close(self, line: bytes) -> Block:
        if self._check(line) != {"block": self._blocks + 1}:
            raise self._fault("the block is not the next one")
        begin, self._blocks = self._line - len(self._pending), self._blocks + 1
        records = [_read_record(each, begin + place) for place, each in enumerate(self._pending)]
        self._pending = []
        counters = tuple(each for each in records if isinstance(each, Counter))
        return Block(self._blocks, counters, tuple(each for each in records if isinstance(each, Response)))

    def _check(self, line: bytes) -> dict[str, Json]:
        """What a closing line says beside the digest, which is that of all before."""
        parts = read_json(line)
        if not isinstance(parts, dict) or parts.pop("sha256", None) != self._digest.hexdigest():
            begin = self._line - len(self._pending)
            raise TransferError(f"lines {begin} to {self._line}: altered or torn since they were exported")
        return parts

    def _fault(self, text: str) -> TransferError:
        return TransferError(f"line {self._line}: {text}")


def _parts_of(record: Counter | Response) -> dict[str, Json]:
    if isinstance(record, Response):
        value = b64encode(record.value).decode()
        return {"response": record.key, "expires": record.expires, "value": value}
    names = {"provider": record.provider, "key": record.key_id, "metric": record.metric}
    return {**names, "value": record.value, "samples": record.samples}


def _read_record(line: bytes, number: int) -> Counter | Response:
    match read_json(line):
        case {"response": str(key), "expires": int() | float() as expires, "value": str(value)} if _is_time(expires):
            try:
                return Response(key, expires, b64decode(value, validate=True))
            except ValueError:
                pass
        case {
            "provider": str(provider),
            "key": str(key),
            "metric": str(metric),
            "value": int() | float() as value,
            "samples": int(samples),
        } if math.isfinite(value) and 0 < samples <= 2**53:
            return Counter(provider, key, metric, value, samples)
    raise TransferError(f"line {number}: it is neither a counter nor a response")


def _is_time(seconds: float) -> bool:
    return 0 <= seconds <= 2.0**40
