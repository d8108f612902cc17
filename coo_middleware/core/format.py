"""What the house asks of a provider's wire format, as a value: a new dialect is data where the shape allows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from coo_middleware.core.document import Document, Json
from coo_middleware.core.framing import Event
from coo_middleware.core.normalize import Preset
from coo_middleware.core.outcome import Outcome, StreamReader, Usage
from coo_middleware.core.request import Headers

Ask: TypeAlias = Callable[[bytes, Document], bytes | None]
Strip: TypeAlias = Callable[[Event], bytes]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The end of the paths that speak a format, as whole segments; longer ends go first.

    `{model}` in it names the model, `*` is any one segment. `stream` says whether it streams, None where the document
    says. `provider` is the format's unless the path tells another. With a `bypass` the content is not even read.
    """

    tail: str
    stream: bool | None = None
    provider: str = ""
    bypass: str = ""


@dataclass(frozen=True, slots=True)
class Rendering:
    """Turns one shape of a whole answer into the other; None where it cannot be done without loss.

    `body` gives the JSON content that the events of a stream add up to. `stream` gives the content of a stream that
    adds up to a JSON answer; the flag says whether the client asked for usage in it.
    """

    body: Callable[[Sequence[Event]], bytes | None]
    stream: Callable[[Document, bool], bytes | None]


@dataclass(frozen=True, slots=True)
class Portions:
    """Takes a request with several inputs apart, where what is answered of one does not depend on the others.

    `split` gives the requests with one input each that a document stands for, in their order; None where it has only
    one or cannot be taken apart. `pick` gives the document with the inputs at those places alone, and asks for all
    that is to be said of them. `weigh` tells how long each input is. `divide` gives what an answer to the document
    says of each input, as the answers to those single requests, with a share of its counters by that length; None
    where the answer does not fit. `join` gives the answer to the document from the answers to its single requests,
    its counters theirs added up and all that is no input's own as in the one at that place; None where they do not
    belong together.
    """

    split: Callable[[Document], list[Document] | None]
    pick: Callable[[Document, Sequence[int]], Document]
    weigh: Callable[[Document], list[int]]
    divide: Callable[[Document, Json], list[Json] | None]
    join: Callable[[Document, Sequence[Json], int], Json]


@dataclass(frozen=True, slots=True)
class Format:
    """One wire format.

    `provider` and `operation` are OpenTelemetry's names (`gen_ai.provider.name`, `gen_ai.operation.name`).
    `left_out` names the top-level members that never reach the model and so are no part of a cache key; `ordered`
    those in which the order of members counts (schemas, tools).
    `bypass` gives the reason why a document must not be answered from the cache, or "".
    `normalize` gives the document with its prompts normalized; the document it is given stays as it is.
    `read_body` judges a whole JSON answer, `read_list` one that is a JSON array of objects (None: there are none),
    `read_stream` makes a fresh reader of a streamed one, `read_fields` finds usage in the response's header section.
    `error_body` is an error in the provider's own shape, from a status and a message.
    `ask` gives the content with usage asked for where a stream would come without (None: leave it as it is), and
    `strip` the bytes of an event without what only that brought. The providers `telling` tell it unasked; some refuse
    to be asked.
    `rendering` lets one stored answer serve both shapes, `portions` one for each input serve requests with several.
    `names_model`: the document must name a model unless the path did. `streams`: it streams unless told not to.
    `ndjson`: its streams are lines of JSON, whatever media type they claim. `untyped`: a request without a media type
    is JSON.
    """

    name: str
    provider: str
    operation: str
    endpoints: tuple[Endpoint, ...]
    left_out: frozenset[str]
    ordered: frozenset[str]
    bypass: Callable[[Document], str]
    normalize: Callable[[Document, Preset], Document]
    read_body: Callable[[Document], Outcome]
    read_stream: Callable[[], StreamReader]
    error_body: Callable[[int, str], bytes]
    read_list: Callable[[list[Document]], Outcome] | None = None
    read_fields: Callable[[Headers], Usage | None] | None = None
    ask: Ask | None = None
    strip: Strip | None = None
    telling: frozenset[str] = frozenset()
    rendering: Rendering | None = None
    portions: Portions | None = None
    names_model: bool = True
    streams: bool = False
    ndjson: bool = False
    untyped: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """What a path says: the format, the provider, the model ("" where the document names it), whether it streams (None
    where the document says), and why it is never cached ("" where it may be).
    """

    format: Format
    provider: str
    model: str = ""
    stream: bool | None = None
    bypass: str = ""
