"""Amazon Bedrock's Converse (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.format import Endpoint, Format
from coo_middleware.core.normalize import normalize_content, normalize_messages
from coo_middleware.core.outcome import Outcome, tokens
from coo_middleware.formats.answer import Frames, arguments_parse, items_of, merge_counts, reports_error, text_of
from coo_middleware.formats.errors import bedrock_error
from coo_middleware.formats.messages import bypass_message
from coo_middleware.formats.metering import inclusive_usage, read_token_fields

if TYPE_CHECKING:
    from coo_middleware.core.document import Document, Json
    from coo_middleware.core.framing import Event
    from coo_middleware.core.normalize import Preset

# The second spelling of a counter is older, and both may be there.
_COUNTERS: Final = (
    ("inputTokens",),
    ("outputTokens",),
    ("cacheReadInputTokens", "cacheReadInputTokenCount"),
    ("cacheWriteInputTokens", "cacheWriteInputTokenCount"),
)
# Blocks and deltas that are no part of what the caller asked for.
_SILENT: Final = ("reasoningContent", "citation", "cachePoint")
# Whatever else stands in a list of tools, a system tool above all, may be run by the provider.
_CLIENT_TOOLS: Final = frozenset({"toolSpec", "cachePoint"})
_TEXT_TYPES: Final = frozenset({"text"})


def reports_failure(document: Document) -> bool:
    """Whether a body tells of a failure under any status, as AWS spells one or as a vendor does."""
    return "__type" in document or document.keys() == {"message"} or reports_error(document)


def read_converse(document: Document) -> Outcome:
    """Judges a whole JSON answer."""
    reader = ConverseReader()
    reader.take_answer(document)
    return reader.outcome()


class ConverseReader:
    """Folds a stream of events. It is whole when `messageStop` told a reason and `metadata` alone came after it."""

    __slots__ = ("_blocks", "_counts", "_ended", "_error", "_frames", "_late", "_model", "_reason")

    def __init__(self) -> None:
        self._frames = Frames()
        self._blocks: dict[int, _Block] = {}
        self._counts: dict[str, int] = {}
        self._ended = self._error = self._late = False
        self._model = ""
        self._reason = ""

    def feed(self, event: Event) -> None:
        """Takes the next event."""
        document = self._frames.read(event)
        if document is not None:
            self.take(event.name, document)

    def take(self, name: str, document: Document) -> None:
        """Takes what the event of that name carries."""
        self._late = self._late or self._ended or (bool(self._reason) and name != "metadata")
        if name == "messageStop":
            self._reason = text_of(document, "stopReason")
        elif name == "metadata":
            self._ended = bool(self._reason)
            self._take_metadata(document)
        else:
            index = tokens(document.get("contentBlockIndex"))
            self._take_block(-1 if index is None else index, document.get("start", document.get("delta")))

    def take_answer(self, document: Document) -> None:
        """Takes a whole answer."""
        self._error = reports_failure(document)
        self._reason = text_of(document, "stopReason")
        self._ended = bool(self._reason)
        self._take_metadata(document)
        output = document.get("output")
        message = output.get("message") if isinstance(output, dict) else None
        blocks = message.get("content") if isinstance(message, dict) else None
        for index, block in enumerate(items_of(blocks)):
            self._take_block(index, block)

    def outcome(self) -> Outcome:
        """What is known so far."""
        blocks = self._blocks.values()
        return Outcome(
            whole=self._ended and not self._late and not self._frames.broken,
            usage=inclusive_usage(self._counts, _COUNTERS),
            finish_reasons=(self._reason,) if self._reason else (),
            error=self._error or self._frames.error,
            sound=any(block.given for block in blocks) and all(block.sound for block in blocks),
            model=self._model,
        )

    def _take_metadata(self, document: Document) -> None:
        merge_counts(self._counts, document.get("usage"))
        trace = document.get("trace")
        router = trace.get("promptRouter") if isinstance(trace, dict) else None
        # Only a prompt router says which model answered.
        self._model = text_of(router, "invokedModelId") if isinstance(router, dict) else ""

    def _take_block(self, index: int, part: Json) -> None:
        if isinstance(part, dict):
            self._blocks.setdefault(index, _Block()).take(part)
            self._error = self._error or any(
                isinstance(value, dict) and reports_error(value) for value in part.values()
            )


class _Block:
    """One content block: folded from its start and its deltas, or whole. Each is a union of one member."""

    __slots__ = ("_calls", "_input", "_named", "_odd", "given")

    def __init__(self) -> None:
        self.given = False
        self._calls = self._named = self._odd = False
        self._input: list[str] = []

    @property
    def sound(self) -> bool:
        return not self._calls or (self._named and not self._odd and arguments_parse("".join(self._input)))

    def take(self, part: Document) -> None:
        self.given = self.given or any(bool(value) and name not in _SILENT for name, value in part.items())
        if "toolUse" in part:
            self._calls = True
            self._take_call(part["toolUse"])

    def _take_call(self, call: Json) -> None:
        if not isinstance(call, dict):
            self._odd = True
            return
        self._named = self._named or bool(text_of(call, "name"))
        told = call.get("input")
        self._input.append(told if isinstance(told, str) else "")
        self._odd = self._odd or not (told is None or isinstance(told, str | dict))


def bypass_converse(document: Document) -> str:
    """The reason why this request must reach the provider, or ""."""
    if document.get("promptVariables") is not None:
        return "stateful"
    config = document.get("toolConfig")
    tools = items_of(config.get("tools")) if isinstance(config, dict) else []
    if not all(tool.keys() <= _CLIENT_TOOLS for tool in tools):
        return "server-tool"
    if any(_is_kept_elsewhere(message.get("content")) for message in items_of(document.get("messages"))):
        return "file"
    # What Converse has no word for goes to the model as it is; of the models only Anthropic's have tools there.
    fields = document.get("additionalModelRequestFields")
    return bypass_message(fields) if isinstance(fields, dict) else ""


def _is_kept_elsewhere(blocks: Json) -> bool:
    """Whether a block, or one inside a tool's result, is an object in S3 that may change."""
    for block in items_of(blocks):
        for value in block.values():
            source = value.get("source") if isinstance(value, dict) else None
            if isinstance(source, dict) and source.get("s3Location") is not None:
                return True
            if isinstance(value, dict) and _is_kept_elsewhere(value.get("content")):
                return True
    return False


def normalize_converse(document: Document, preset: Preset) -> Document:
    """The document with the texts of its system prompt and of its messages normalized."""
    if preset == "strict":
        return document
    normalized = dict(document)
    if "system" in document:
        normalized["system"] = normalize_content(_type_texts(document["system"]), preset, _TEXT_TYPES)
    messages = document.get("messages")
    if isinstance(messages, list):
        normalized["messages"] = normalize_messages(list(map(_type_message, messages)), preset, _TEXT_TYPES)
    return normalized


def _type_message(message: Json) -> Json:
    if not isinstance(message, dict) or "content" not in message:
        return message
    return {**message, "content": _type_texts(message["content"])}


def _type_texts(content: Json) -> Json:
    """Content whose text blocks say that they are text, as those of other formats do."""
    if not isinstance(content, list):
        return content
    return [
        {"type": "text", **part} if isinstance(part, dict) and part.keys() == {"text"} else part for part in content
    ]


CONVERSE: Final = Format(
    name="converse",
    provider="aws.bedrock",
    operation="chat",
    endpoints=(
        Endpoint("/model/{model}/converse", stream=False),
        Endpoint("/model/{model}/converse-stream", stream=True),
        # A prompt that is kept by the provider stands where a model would.
        Endpoint("/model/*:prompt/*/converse", stream=False, bypass="stateful"),
        Endpoint("/model/*:prompt/*/converse-stream", stream=True, bypass="stateful"),
    ),
    left_out=frozenset({"requestMetadata"}),
    ordered=frozenset({"toolConfig", "outputConfig", "additionalModelRequestFields"}),
    bypass=bypass_converse,
    normalize=normalize_converse,
    read_body=read_converse,
    read_stream=ConverseReader,
    error_body=bedrock_error,
    read_fields=read_token_fields,
)
