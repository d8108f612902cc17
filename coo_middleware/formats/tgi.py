"""Hugging Face's Text Generation Inference
(https://huggingface.github.io/text-generation-inference and its router/src/server.rs).

Its paths `/` and `/invocations` say too little to be recognised by their ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.format import Endpoint, Format
from coo_middleware.core.normalize import normalize_prompts
from coo_middleware.core.outcome import UNREADABLE, Outcome, Usage, tokens
from coo_middleware.formats.answer import Frames, items_of, reports_error, text_of, usage_of
from coo_middleware.formats.errors import tgi_error

if TYPE_CHECKING:
    from coo_middleware.core.document import Document
    from coo_middleware.core.framing import Event
    from coo_middleware.core.normalize import Preset
    from coo_middleware.core.request import Headers


def read_generation(document: Document) -> Outcome:
    """Judges a whole JSON answer."""
    reader = GenerationReader()
    reader.take(document)
    return reader.outcome()


def read_generations(documents: list[Document]) -> Outcome:
    """Judges an answer that is a list, which has one object: `inputs` is one text."""
    return read_generation(documents[0]) if len(documents) == 1 else UNREADABLE


def read_generation_fields(headers: Headers) -> Usage | None:
    """Usage of a JSON answer: its header section tells it also where no details were asked for."""
    fields = {name.lower(): value.decode("latin-1") for name, value in headers}
    return usage_of(tokens(fields.get(b"x-prompt-tokens")), tokens(fields.get(b"x-generated-tokens")))


class GenerationReader:
    """Folds a stream of tokens. It is whole when the last event brought the generated text; the details beside it,
    which tell the finish reason, come only where the request asked for them.
    """

    __slots__ = ("_details", "_ended", "_error", "_frames", "_given", "_late")

    def __init__(self) -> None:
        self._frames = Frames()
        self._details: Document = {}
        self._ended = self._error = self._given = self._late = False

    def feed(self, event: Event) -> None:
        """Takes the next event."""
        document = self._frames.read(event)
        if document is not None:
            self.take(document)

    def take(self, document: Document) -> None:
        """Takes an event's object, or a whole answer."""
        details = document.get("details")
        self._late = self._late or self._ended
        self._ended = self._ended or isinstance(document.get("generated_text"), str)
        self._given = self._given or bool(text_of(document, "generated_text"))
        self._error = self._error or reports_error(document)
        self._details = details if isinstance(details, dict) else self._details

    def outcome(self) -> Outcome:
        """What is known so far."""
        sequences = [self._details, *items_of(self._details.get("best_of_sequences"))]
        reasons = (text_of(sequence, "finish_reason") for sequence in sequences)
        return Outcome(
            whole=self._ended and not self._late and not self._frames.broken,
            usage=_usage(self._details, sequences),
            finish_reasons=tuple(filter(None, reasons)),
            error=self._error or self._frames.error,
            sound=self._given,
            model="",
        )


def _usage(details: Document, sequences: list[Document]) -> Usage | None:
    """The prompt's tokens come one by one and only where they were asked for: an empty list counts nothing."""
    prefill = details.get("prefill")
    listed = len(prefill) if isinstance(prefill, list) and prefill else None
    counts = [tokens(sequence.get("generated_tokens")) for sequence in sequences]
    known = [count for count in counts if count is not None]
    return usage_of(tokens(details.get("input_length", listed)), sum(known) if known else None)


def normalize_generation(document: Document, preset: Preset) -> Document:
    """The document with its prompt normalized; its outer white space counts."""
    if preset == "strict" or "inputs" not in document:
        return document
    return {**document, "inputs": normalize_prompts(document["inputs"], preset)}


def bypass_generation(_: Document) -> str:
    """Always "": a generation depends on nothing but its request."""
    return ""


TGI: Final = Format(
    name="tgi",
    provider="huggingface",
    operation="text_completion",
    endpoints=(Endpoint("/generate", stream=False), Endpoint("/generate_stream", stream=True)),
    left_out=frozenset(),
    # The schema of a grammar is among them.
    ordered=frozenset({"parameters"}),
    bypass=bypass_generation,
    normalize=normalize_generation,
    read_body=read_generation,
    read_stream=GenerationReader,
    error_body=tgi_error,
    read_list=read_generations,
    read_fields=read_generation_fields,
    names_model=False,
)
