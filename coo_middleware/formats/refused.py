"""What is never answered from the cache: uploads, jobs, sessions, state behind an id, pictures and sound.

Only what stands under `/v1` or `/openai` is known, for an application may well have a `/files` of its own. A call that
names one object by its id at the end of its path (`/v1/assistants/asst_1`) is not: it passes untouched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.format import Endpoint, Format
from coo_middleware.core.outcome import Outcome
from coo_middleware.formats.answer import DONE, Frames, reports_error, text_of
from coo_middleware.formats.choices import usage_of_choices
from coo_middleware.formats.errors import anthropic_error, openai_error
from coo_middleware.formats.responses import merge_usage, usage_of_items

if TYPE_CHECKING:
    from coo_middleware.core.document import Document
    from coo_middleware.core.framing import Event
    from coo_middleware.core.normalize import Preset

_PREFIXES: Final = ("/v1", "/openai")
_AZURE: Final = "/openai/deployments/{model}"
_ENDS: Final = ("done", "completed")


def read_refused(document: Document) -> Outcome:
    """Finds the usage in a JSON answer; it is never whole, for it is never to be stored."""
    reader = RefusedReader()
    reader.take(document)
    return reader.outcome()


class RefusedReader:
    """Finds the usage in a stream, in the words of chat completions or of responses. It is whole when its last event
    is `[DONE]` or says that something is done or completed.
    """

    __slots__ = ("_counts", "_ended", "_error", "_frames", "_model")

    def __init__(self) -> None:
        self._frames = Frames()
        self._counts: dict[str, int] = {}
        self._ended = self._error = False
        self._model = ""

    def feed(self, event: Event) -> None:
        """Takes the next event."""
        document = self._frames.read(event)
        if event.data is None:
            return
        kind = event.name or (text_of(document, "type") if document else "")
        self._ended = event.data == DONE or kind.endswith(_ENDS)
        self._error = self._error or kind.endswith("failed")
        if document is not None:
            self.take(document)

    def take(self, document: Document) -> None:
        """Takes the object of an event, or a whole answer."""
        merge_usage(self._counts, document.get("usage"))
        self._error = self._error or reports_error(document)
        self._model = text_of(document, "model") or self._model

    def outcome(self) -> Outcome:
        """What is known so far."""
        return Outcome(
            whole=self._ended and not self._frames.broken,
            usage=usage_of_choices(self._counts) or usage_of_items(self._counts),
            finish_reasons=(),
            error=self._error or self._frames.error,
            sound=False,
            model=self._model,
        )


def normalize_nothing(document: Document, _: Preset) -> Document:
    """The document as it is."""
    return document


def _refuse(area: str, reason: str, *tails: str, deployed: bool = False) -> Format:
    """One area of OpenAI's endpoints; `deployed`: Azure has them for each deployment as well."""
    endpoints = [Endpoint(prefix + tail, bypass=reason) for tail in tails for prefix in _PREFIXES]
    azure = [Endpoint(_AZURE + tail, provider="azure.ai.openai", bypass=reason) for tail in tails if deployed]
    return _format(area, reason, *endpoints, *azure)


def _format(area: str, reason: str, *endpoints: Endpoint, anthropic: bool = False) -> Format:
    return Format(
        name=area,
        provider="anthropic" if anthropic else "openai",
        operation=area,
        endpoints=endpoints,
        left_out=frozenset(),
        ordered=frozenset(),
        bypass=lambda _: reason,
        normalize=normalize_nothing,
        read_body=read_refused,
        read_stream=RefusedReader,
        error_body=anthropic_error if anthropic else openai_error,
        names_model=False,
    )


REFUSED: Final[tuple[Format, ...]] = (
    _refuse("files", "upload", "/files", "/uploads", "/uploads/*/parts", "/uploads/*/complete", "/uploads/*/cancel"),
    _refuse("batches", "batch", "/batches", "/batches/*/cancel"),
    _refuse(
        "realtime",
        "realtime",
        "/realtime/sessions",
        "/realtime/transcription_sessions",
        "/realtime/client_secrets",
        "/realtime/translations/client_secrets",
        "/realtime/calls",
        "/realtime/calls/*/accept",
        "/realtime/calls/*/hangup",
        "/realtime/calls/*/refer",
        "/realtime/calls/*/reject",
        "/live/sessions",
    ),
    _refuse(
        "assistants",
        "stateful",
        "/assistants",
        "/threads",
        "/threads/runs",
        "/threads/*/messages",
        "/threads/*/runs",
        "/threads/*/runs/*/cancel",
        "/threads/*/runs/*/submit_tool_outputs",
    ),
    # Mistral's conversations among them.
    _refuse(
        "conversations",
        "stateful",
        "/conversations",
        "/conversations/*/items",
        "/conversations/*/restart",
        "/responses/compact",
        "/responses/*/cancel",
    ),
    _refuse("containers", "container", "/containers", "/containers/*/files"),
    _refuse(
        "vector_stores",
        "stateful",
        "/vector_stores",
        "/vector_stores/*/files",
        "/vector_stores/*/file_batches",
        "/vector_stores/*/file_batches/*/cancel",
        "/vector_stores/*/search",
    ),
    _refuse(
        "fine_tuning",
        "fine-tuning",
        "/fine_tuning/jobs",
        "/fine_tuning/jobs/*/cancel",
        "/fine_tuning/jobs/*/pause",
        "/fine_tuning/jobs/*/resume",
        "/fine_tuning/alpha/graders/run",
        "/fine_tuning/alpha/graders/validate",
    ),
    _refuse("evals", "stateful", "/evals", "/evals/*/runs", "/evals/*/runs/*/cancel"),
    _refuse("skills", "stateful", "/skills", "/skills/*/versions"),
    _refuse("images", "image", "/images/generations", "/images/edits", "/images/variations", deployed=True),
    _refuse("audio", "audio", "/audio/speech", "/audio/transcriptions", "/audio/translations", deployed=True),
    _refuse("videos", "video", "/videos", "/videos/edits", "/videos/extensions", "/videos/*/remix"),
    _refuse("input_tokens", "count", "/responses/input_tokens"),
    _format(
        "message_batches",
        "batch",
        Endpoint("/v1/messages/batches", bypass="batch"),
        Endpoint("/v1/messages/batches/*/cancel", bypass="batch"),
        anthropic=True,
    ),
    _format(
        "count_tokens",
        "count",
        Endpoint("/v1/messages/count_tokens", bypass="count"),
        # The SDK asks Vertex AI for a model of this name.
        Endpoint("/publishers/anthropic/models/count-tokens:rawPredict", provider="gcp.vertex_ai", bypass="count"),
        anthropic=True,
    ),
)
