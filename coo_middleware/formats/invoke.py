"""Amazon Bedrock's InvokeModel (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html).

The bodies are the vendor's own; a stream carries the vendor's own events, each in base64.
"""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from coo_middleware.core.document import Document, read_json
from coo_middleware.core.format import Endpoint, Format
from coo_middleware.core.framing import Event
from coo_middleware.core.normalize import normalize_prompts
from coo_middleware.core.outcome import UNREADABLE, Outcome, StreamReader, Usage
from coo_middleware.formats.answer import Frames, merge_counts, text_of
from coo_middleware.formats.chat import ORDERED, bypass_chat
from coo_middleware.formats.converse import bypass_converse, normalize_converse, reports_failure
from coo_middleware.formats.errors import bedrock_error
from coo_middleware.formats.messages import bypass_message
from coo_middleware.formats.metering import Counters, inclusive_usage, read_token_fields
from coo_middleware.formats.vendors import recognise_vendor

if TYPE_CHECKING:
    from coo_middleware.core.normalize import Preset

# Members that Bedrock adds to what the vendor answers.
_OWN: Final = "amazon-bedrock-"
_METRICS: Final[Counters] = (
    ("inputTokenCount",),
    ("outputTokenCount",),
    ("cacheReadInputTokenCount",),
    ("cacheWriteInputTokenCount",),
)
_PROMPTS: Final = ("prompt", "suffix", "inputText", "message", "texts")


def read_invoke(document: Document) -> Outcome:
    """Judges a whole JSON answer; that of a vendor who is not known is never whole."""
    vendor = recognise_vendor(document)
    outcome = vendor.read_body(document) if vendor else UNREADABLE
    blocked = _blocked(document)
    return replace(
        outcome,
        whole=outcome.whole or bool(vendor and blocked),
        finish_reasons=outcome.finish_reasons + blocked,
        error=outcome.error or reports_failure(document),
    )


class InvokeReader:
    """Folds a stream of chunks by the reader of the vendor whom the first one gives away.

    It is whole when the vendor's own is, or when a guardrail ended it. The model's own usage is preferred to that of
    `amazon-bedrock-invocationMetrics`, which may be less (98 output tokens against 130 in a recorded stream).
    """

    __slots__ = ("_action", "_counts", "_cut", "_frames", "_odd", "_vendor")

    def __init__(self) -> None:
        self._frames = Frames()
        self._vendor: StreamReader | None = None
        self._counts: dict[str, int] = {}
        self._action: tuple[str, ...] = ()
        self._cut = False
        self._odd = False

    def feed(self, event: Event) -> None:
        """Takes the next event."""
        carrier = self._frames.read(event)
        if carrier is None or event.name == "error":
            return
        text = _carried(carrier)
        piece = read_json(text)
        if isinstance(piece, dict):
            self._take(piece, text)
        else:
            self._odd = True

    def outcome(self) -> Outcome:
        """What is known so far."""
        outcome = self._vendor.outcome() if self._vendor is not None else UNREADABLE
        return replace(
            outcome,
            whole=(outcome.whole or self._cut) and not self._odd and not self._frames.broken,
            usage=_complete_usage(outcome.usage, inclusive_usage(self._counts, _METRICS)),
            finish_reasons=outcome.finish_reasons + self._action,
            error=outcome.error or self._frames.error,
        )

    def _take(self, piece: Document, text: bytes) -> None:
        merge_counts(self._counts, piece.get(_OWN + "invocationMetrics"))
        blocked = _blocked(piece)
        self._action = blocked or self._action
        self._cut = self._cut or bool(blocked)
        if all(name.startswith(_OWN) for name in piece):
            return
        self._cut = bool(blocked)
        if self._vendor is None:
            vendor = recognise_vendor(piece)
            self._vendor = vendor.read_stream() if vendor else None
        if self._vendor is None:
            self._odd = True
        else:
            self._vendor.feed(Event(text, "", text.decode()))


def _carried(carrier: Document) -> bytes:
    """The vendor's own event, b"" where there is none."""
    try:
        return b64decode(text_of(carrier, "bytes"), validate=True)
    except ValueError:
        return b""


def _blocked(piece: Document) -> tuple[str, ...]:
    """The finish reason that a guardrail is, where it acted."""
    action = piece.get(_OWN + "guardrailAction")
    if action in (None, "NONE"):
        return ()
    return (f"guardrail {action}" if isinstance(action, str) else "guardrail",)


def _complete_usage(own: Usage | None, metered: Usage | None) -> Usage | None:
    """The model's own usage, and of what it does not tell Bedrock's."""
    if own is None or metered is None:
        return own or metered
    if own.input_tokens is None:
        return replace(metered, output_tokens=own.output_tokens, reasoning_tokens=own.reasoning_tokens)
    return own if own.output_tokens is not None else replace(own, output_tokens=metered.output_tokens)


def bypass_invoke(document: Document) -> str:
    """The reason why this request must reach the provider, or ""."""
    if "anthropic_version" in document:
        return bypass_message(document)
    return bypass_converse(document) or bypass_chat(document)


def normalize_invoke(document: Document, preset: Preset) -> Document:
    """The document with its messages normalized, and its raw prompts, whose outer white space counts."""
    if preset == "strict":
        return document
    prompts: Document = {name: normalize_prompts(document[name], preset) for name in _PROMPTS if name in document}
    return {**normalize_converse(document, preset), **prompts}


INVOKE: Final = Format(
    name="invoke",
    provider="aws.bedrock",
    operation="chat",
    endpoints=(
        Endpoint("/model/{model}/invoke", stream=False),
        Endpoint("/model/{model}/invoke-with-response-stream", stream=True),
        Endpoint("/model/{model}/invoke-with-bidirectional-stream", stream=True, bypass="realtime"),
        Endpoint("/model/{model}/count-tokens", stream=False, bypass="not-a-generation"),
        # A prompt that is kept by the provider stands where a model would.
        Endpoint("/model/*:prompt/*/invoke", stream=False, bypass="stateful"),
        Endpoint("/model/*:prompt/*/invoke-with-response-stream", stream=True, bypass="stateful"),
        Endpoint("/guardrail/*/version/*/apply", stream=False, bypass="not-a-generation"),
        Endpoint("/guardrail-checks/invoke", stream=False, bypass="not-a-generation"),
        Endpoint("/async-invoke", stream=False, bypass="background"),
    ),
    # Any vendor may read any member, so none is known to be left out.
    left_out=frozenset(),
    ordered=ORDERED | {"toolConfig", "output_format", "output_config"},
    bypass=bypass_invoke,
    normalize=normalize_invoke,
    read_body=read_invoke,
    read_stream=InvokeReader,
    error_body=bedrock_error,
    read_fields=read_token_fields,
    # botocore says what it sends only where it was told to.
    untyped=True,
)
