"""What the house asks of a provider's wire format, as a value: a new dialect is data where the shape allows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from coo_middleware.core.document import Document
from coo_middleware.core.normalize import Preset
from coo_middleware.core.outcome import Outcome, StreamReader
from coo_middleware.core.sse import Event

Ask: TypeAlias = Callable[[bytes, Document], bytes | None]
Strip: TypeAlias = Callable[[Event], bytes]


@dataclass(frozen=True, slots=True)
class Format:
    """One wire format.

    `provider` and `operation` are OpenTelemetry's names (`gen_ai.provider.name`, `gen_ai.operation.name`).
    `tails` are the ends of the paths that speak it. `left_out` names the top-level members that never reach the model
    and so are no part of a cache key; `ordered` those in which the order of members counts (schemas, tools).
    `bypass` gives the reason why a document must not be answered from the cache, or "".
    `normalize` gives the document with its prompts normalized; the document it is given stays as it is.
    `read_body` judges a whole JSON answer, `read_stream` makes a fresh reader of a streamed one.
    `error_body` is an error in the provider's own shape, from a status and a message.
    `ask` gives the content with usage asked for where a stream would come without (None: leave it as it is), and
    `strip` the bytes of an event without what only that brought.
    """

    name: str
    provider: str
    operation: str
    tails: tuple[str, ...]
    left_out: frozenset[str]
    ordered: frozenset[str]
    bypass: Callable[[Document], str]
    normalize: Callable[[Document, Preset], Document]
    read_body: Callable[[Document], Outcome]
    read_stream: Callable[[], StreamReader]
    error_body: Callable[[int, str], bytes]
    ask: Ask | None = None
    strip: Strip | None = None
