"""Answers made of candidates (https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.outcome import Outcome, Usage
from coo_middleware.formats.answer import Frames, items_of, merge_counts, reports_error, text_of, usage_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from coo_middleware.core.document import Document, Json
    from coo_middleware.core.framing import Event

# A kind of part that is not known gives nothing, so that an answer made of nothing else is not reused.
_GIVING: Final = ("text", "functionCall", "inlineData", "fileData", "executableCode", "codeExecutionResult")


def read_candidates(document: Document) -> Outcome:
    """Judges a whole JSON answer."""
    return read_chunks([document])


def read_chunks(documents: Sequence[Document]) -> Outcome:
    """Judges a stream that came as one JSON array of chunks, which is the way without `alt=sse`."""
    reader = CandidatesReader()
    for document in documents:
        reader.take(document)
    return reader.outcome()


class CandidatesReader:
    """Folds a stream of chunks. No marker ends it: it is whole when every candidate that was seen has a finish reason
    and nothing was told after it, or when the prompt was blocked before there was a candidate.
    """

    __slots__ = ("_blocks", "_candidates", "_counts", "_error", "_frames", "_model", "_odd")

    def __init__(self) -> None:
        self._frames = Frames()
        self._candidates: dict[int, _Candidate] = {}
        self._counts: dict[str, int] = {}
        self._blocks: list[str] = []
        self._error = self._odd = False
        self._model = ""

    def feed(self, event: Event) -> None:
        """Takes the next event."""
        chunk = self._frames.read(event)
        if chunk is not None:
            self.take(chunk)

    def take(self, document: Document) -> None:
        """Takes a chunk, or a whole answer."""
        candidates, feedback, usage = (document.get(name) for name in ("candidates", "promptFeedback", "usageMetadata"))
        self._error = self._error or reports_error(document)
        self._model = text_of(document, "modelVersion") or self._model
        merge_counts(self._counts, usage)
        merge_audio(self._counts, usage)
        block = text_of(feedback, "blockReason") if isinstance(feedback, dict) else ""
        self._blocks += [block] if block else []
        self._odd = self._odd or not _are_objects(candidates)
        for position, candidate in enumerate(items_of(candidates)):
            # JSON made from protocol buffers leaves out an index of zero.
            index = candidate.get("index")
            self._candidates.setdefault(index if isinstance(index, int) else position, _Candidate()).take(candidate)

    def outcome(self) -> Outcome:
        """What is known so far; the reason why a prompt was blocked is a finish reason."""
        candidates = [candidate for _, candidate in sorted(self._candidates.items())]
        ended = all(candidate.whole for candidate in candidates) if candidates else bool(self._blocks)
        reasons = [reason for candidate in candidates for reason in candidate.finish_reasons]
        return Outcome(
            whole=ended and not self._frames.broken,
            usage=_usage(self._counts),
            finish_reasons=(*reasons, *self._blocks),
            error=self._error or self._frames.error,
            sound=bool(candidates) and not self._odd and all(candidate.sound for candidate in candidates),
            model=self._model,
        )


class _Candidate:
    """One candidate, folded from its contents."""

    __slots__ = ("_given", "_late", "_odd", "_open", "finish_reasons")

    def __init__(self) -> None:
        self.finish_reasons: list[str] = []
        self._given = self._late = self._odd = self._open = False

    @property
    def whole(self) -> bool:
        return bool(self.finish_reasons) and not self._late

    @property
    def sound(self) -> bool:
        return self._given and not self._odd and not self._open

    def take(self, candidate: Document) -> None:
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, dict) else content
        self._odd = self._odd or not _are_objects(parts)
        for part in items_of(parts):
            self._take_part(part)
        reason = text_of(candidate, "finishReason")
        if reason and reason not in self.finish_reasons:
            self.finish_reasons.append(reason)

    def _take_part(self, part: Document) -> None:
        gives = not part.get("thought") and any(part.get(name) for name in _GIVING)
        self._late = self._late or (gives and bool(self.finish_reasons))
        self._given = self._given or gives
        if "functionCall" in part:
            self._take_call(part["functionCall"])

    def _take_call(self, call: Json) -> None:
        """Vertex may stream a call's arguments: only its first piece has the name, all but its last continue."""
        if not isinstance(call, dict):
            self._odd = True
            return
        named = self._open or bool(text_of(call, "name"))
        self._odd = self._odd or not named or not isinstance(call.get("args", {}), dict)
        self._open = call.get("willContinue") not in (None, False)


def merge_audio(counts: dict[str, int], usage: Json) -> None:
    """Adds what the lists in `usage` tell of sound, each under the list's name, a dot and `audio`.

    They break a count down by modality (Gemini: AUDIO and `tokenCount`, interactions: audio and `tokens`).
    """
    for name, value in usage.items() if isinstance(usage, dict) else ():
        for item in items_of(value):
            if text_of(item, "modality").lower() == "audio":
                merge_counts(counts, {f"{name}.audio": item.get("tokenCount", item.get("tokens"))})


def sum_known(counts: Mapping[str, int], *names: str) -> int | None:
    """The sum of those that are known, None where none is."""
    known = [counts[name] for name in names if name in counts]
    return sum(known) if known else None


def _usage(counts: Mapping[str, int]) -> Usage | None:
    """Thoughts are no part of the candidates' tokens, nor what tools read of the prompt's; cached tokens are."""
    return usage_of(
        sum_known(counts, "promptTokenCount", "toolUsePromptTokenCount"),
        sum_known(counts, "candidatesTokenCount", "thoughtsTokenCount"),
        cache_read=counts.get("cachedContentTokenCount"),
        reasoning=counts.get("thoughtsTokenCount"),
        input_audio=sum_known(counts, "promptTokensDetails.audio", "toolUsePromptTokensDetails.audio"),
        output_audio=counts.get("candidatesTokensDetails.audio"),
    )


def _are_objects(value: Json) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(item, dict) for item in value))
