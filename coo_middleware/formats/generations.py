"""Answers that are generated text and little else, as vendors spell them: each spelling is a `Dialect`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from coo_middleware.core.outcome import Outcome, Usage, tokens
from coo_middleware.formats.answer import Frames, items_of, reports_error, text_of, usage_of

if TYPE_CHECKING:
    from coo_middleware.core.document import Document, Json
    from coo_middleware.core.framing import Event


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where a vendor puts things.

    `text` and `reason` are the paths of a generation's text and finish reason, members joined by dots. `items` lists
    the generations; without it, as in most streams, the object itself is the one. `inputs` and `outputs` name the
    counters, of the whole answer and of one generation; a stream's are cumulative.
    """

    text: str
    reason: str
    items: str = ""
    inputs: str = ""
    outputs: tuple[str, ...] = ()


# https://docs.claude.com/en/api/complete
COMPLETION: Final = Dialect(text="completion", reason="stop_reason")
# https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html
TITAN: Final = Dialect(
    text="outputText",
    reason="completionReason",
    items="results",
    inputs="inputTextTokenCount",
    outputs=("tokenCount", "totalOutputTextTokenCount"),
)
LLAMA: Final = Dialect(
    text="generation", reason="stop_reason", inputs="prompt_token_count", outputs=("generation_token_count",)
)
MISTRAL: Final = Dialect(text="text", reason="stop_reason", items="outputs")
COHERE: Final = Dialect(text="text", reason="finish_reason", items="generations")
JURASSIC: Final = Dialect(text="data.text", reason="finishReason.reason", items="completions")


def read_generations(dialect: Dialect, document: Document) -> Outcome:
    """Judges a whole JSON answer."""
    reader = GenerationsReader(dialect)
    reader.take(document)
    return reader.outcome()


class GenerationsReader:
    """Folds a stream of pieces. It is whole when every generation has a finish reason and no text came after it."""

    __slots__ = ("_dialect", "_error", "_frames", "_generations", "_input", "_model")

    def __init__(self, dialect: Dialect) -> None:
        self._dialect: Final = dialect
        self._frames = Frames()
        self._generations: dict[int, _Generation] = {}
        self._input: int | None = None
        self._error = False
        self._model = ""

    def feed(self, event: Event) -> None:
        """Takes the next event."""
        document = self._frames.read(event)
        if document is not None:
            self.take(document)

    def take(self, document: Document) -> None:
        """Takes a piece, or a whole answer."""
        counted = tokens(document.get(self._dialect.inputs))
        self._input = self._input if counted is None else counted
        self._error = self._error or reports_error(document)
        self._model = text_of(document, "model") or self._model
        for place, item in enumerate(items_of(document.get(self._dialect.items)) or [document]):
            index = tokens(item.get("index"))
            self._take_item(place if index is None else index, item)

    def outcome(self) -> Outcome:
        """What is known so far."""
        generations = [generation for _, generation in sorted(self._generations.items())]
        return Outcome(
            whole=bool(generations) and not self._frames.broken and all(each.whole for each in generations),
            usage=self._usage(generations),
            finish_reasons=tuple(each.reason for each in generations if each.reason),
            error=self._error or self._frames.error,
            sound=bool(generations) and all(each.sound for each in generations),
            model=self._model,
        )

    def _take_item(self, index: int, item: Document) -> None:
        dialect = self._dialect
        text, calls = _reach(item, dialect.text), item.get("tool_calls")
        reason = _reach(item, dialect.reason)
        if text is None and reason is None and calls is None:
            return
        generation = self._generations.setdefault(index, _Generation())
        generation.take(text, calls, reason)
        generation.count([tokens(item.get(name)) for name in dialect.outputs])

    def _usage(self, generations: list[_Generation]) -> Usage | None:
        known = [each.output for each in generations if each.output is not None]
        # One that is not known makes the sum unknown.
        return usage_of(self._input, sum(known) if known and len(known) == len(generations) else None)


class _Generation:
    """One generation, folded from its pieces."""

    __slots__ = ("_given", "_late", "_odd", "output", "reason")

    def __init__(self) -> None:
        self._given = False
        self._late = False
        self._odd = False
        self.output: int | None = None
        self.reason = ""

    @property
    def whole(self) -> bool:
        return bool(self.reason) and not self._late

    @property
    def sound(self) -> bool:
        return self._given and not self._odd

    def take(self, text: Json, calls: Json, reason: Json) -> None:
        gives = bool(text) or bool(calls)
        self._late = self._late or (gives and bool(self.reason))
        self._given = self._given or gives
        self._odd = self._odd or not (text is None or isinstance(text, str)) or not _are_calls(calls)
        self.reason = reason if isinstance(reason, str) and reason else self.reason

    def count(self, counts: list[int | None]) -> None:
        known = [count for count in counts if count is not None]
        self.output = known[-1] if known else self.output


def _are_calls(calls: Json) -> bool:
    """Cohere's calls carry their arguments parsed."""
    if calls is None:
        return True
    return isinstance(calls, list) and all(
        isinstance(call, dict) and isinstance(call.get("parameters"), dict) for call in calls
    )


def _reach(item: Json, path: str) -> Json:
    """What lies at a path of members, None where it ends early."""
    for name in path.split("."):
        item = item.get(name) if isinstance(item, dict) else None
    return item
