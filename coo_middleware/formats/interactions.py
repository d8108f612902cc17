"""Gemini's interactions (https://ai.google.dev/api/interactions-api): kept and continued by the provider, so they are
counted and never cached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.format import Endpoint, Format
from coo_middleware.core.outcome import Outcome
from coo_middleware.formats.answer import Frames, merge_counts, reports_error, text_of, usage_of
from coo_middleware.formats.candidates import merge_audio, sum_known
from coo_middleware.formats.errors import google_error
from coo_middleware.formats.gemini import VERTEX

if TYPE_CHECKING:
    from coo_middleware.core.document import Document, Json
    from coo_middleware.core.framing import Event
    from coo_middleware.core.normalize import Preset

# The last two end an answer, though not what it began.
_FINAL: Final = (
    "completed",
    "incomplete",
    "failed",
    "cancelled",
    "budget_exceeded",
    "requires_action",
    "requires_continuation",
)


def read_interaction(document: Document) -> Outcome:
    """Judges a whole JSON answer."""
    reader = InteractionsReader()
    reader.take(document)
    return reader.outcome()


class InteractionsReader:
    """Folds a stream of events. It is whole when `interaction.completed` came last, with a status that is final.

    The status is the finish reason. Nothing is ever given back from the cache, so nothing is sound.
    """

    __slots__ = ("_counts", "_ended", "_error", "_frames", "_late", "_model", "_status")

    def __init__(self) -> None:
        self._frames = Frames()
        self._counts: dict[str, int] = {}
        self._status = self._model = ""
        self._error = self._ended = self._late = False

    def feed(self, event: Event) -> None:
        """Takes the next event."""
        document = self._frames.read(event)
        if document is None:
            return
        self._late = self._late or self._ended
        self._ended = text_of(document, "event_type") == "interaction.completed"
        # A change of the status alone comes without the interaction.
        self._take(document.get("interaction", document))

    def take(self, document: Document) -> None:
        """Takes a whole answer."""
        self._ended = True
        self._take(document)

    def outcome(self) -> Outcome:
        """What is known so far."""
        return Outcome(
            whole=self._ended and not self._late and not self._frames.broken and self._status in _FINAL,
            usage=usage_of(
                sum_known(self._counts, "total_input_tokens", "total_tool_use_tokens"),
                sum_known(self._counts, "total_output_tokens", "total_thought_tokens"),
                cache_read=self._counts.get("total_cached_tokens"),
                reasoning=self._counts.get("total_thought_tokens"),
                input_audio=sum_known(
                    self._counts, "input_tokens_by_modality.audio", "tool_use_tokens_by_modality.audio"
                ),
                output_audio=self._counts.get("output_tokens_by_modality.audio"),
            ),
            finish_reasons=(self._status,) if self._status else (),
            error=self._error or self._frames.error,
            sound=False,
            model=self._model,
        )

    def _take(self, interaction: Json) -> None:
        if not isinstance(interaction, dict):
            return
        self._status = text_of(interaction, "status") or self._status
        self._model = text_of(interaction, "model") or self._model
        self._error = self._error or self._status == "failed" or reports_error(interaction)
        merge_counts(self._counts, interaction.get("usage"))
        merge_audio(self._counts, interaction.get("usage"))


def bypass_interaction(_: Document) -> str:
    """Always "stateful": the next interaction may continue this one, whatever it says."""
    return "stateful"


def normalize_interaction(document: Document, _: Preset) -> Document:
    """The document as it is: it has no cache key."""
    return document


INTERACTIONS: Final = Format(
    name="interactions",
    provider="gcp.gemini",
    operation="generate_content",
    endpoints=(
        Endpoint("/interactions", bypass="stateful"),
        Endpoint("/locations/*/interactions", provider=VERTEX, bypass="stateful"),
    ),
    left_out=frozenset(),
    ordered=frozenset(),
    bypass=bypass_interaction,
    normalize=normalize_interaction,
    read_body=read_interaction,
    read_stream=InteractionsReader,
    error_body=google_error,
    names_model=False,
)
