"""Answers made of `choices`: OpenAI's chat completions and completions, and their dialects.

Chat puts a choice's content into `message`, its streams into `delta`, completions into the choice itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from coo_middleware.core.outcome import Outcome, Usage
from coo_middleware.formats.answer import (
    Frames,
    arguments_parse,
    items_of,
    merge_counts,
    merge_part,
    reports_error,
    text_of,
    usage_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coo_middleware.core.document import Document, Json
    from coo_middleware.core.framing import Event

_GIVING: Final = ("content", "text", "refusal", "audio", "images")
_THINKING: Final = ("thinking", "reasoning")


def read_choices(document: Document) -> Outcome:
    """Judges a whole JSON answer."""
    reader = ChoicesReader()
    reader.take(document)
    return replace(reader.outcome(), closed=True)


class ChoicesReader:
    """Folds a stream of chunks. It is whole when every choice that was seen has a finish reason and nothing was told
    after it; `[DONE]` proves nothing, may be missing, and closes it where it comes.
    """

    __slots__ = ("_choices", "_counts", "_error", "_frames", "_model")

    def __init__(self) -> None:
        self._frames = Frames()
        self._choices: dict[int, _Choice] = {}
        self._counts: dict[str, int] = {}
        self._error = False
        self._model = ""

    def feed(self, event: Event) -> None:
        """Takes the next event."""
        chunk = self._frames.read(event)
        if chunk is not None:
            self.take(chunk)

    def take(self, document: Document) -> None:
        """Takes a chunk, or a whole answer."""
        groq = document.get("x_groq")
        vendor = groq if isinstance(groq, dict) else {}
        self._take_usage(document.get("usage"))
        self._take_usage(vendor.get("usage"))
        self._error = self._error or reports_error(document) or reports_error(vendor)
        self._model = text_of(document, "model") or self._model
        for position, choice in enumerate(items_of(document.get("choices"))):
            index = choice.get("index")
            self._choices.setdefault(index if isinstance(index, int) else position, _Choice()).take(choice)
            self._error = self._error or reports_error(choice)

    def outcome(self) -> Outcome:
        """What is known so far."""
        choices = [choice for _, choice in sorted(self._choices.items())]
        return Outcome(
            whole=bool(choices) and not self._frames.broken and all(choice.whole for choice in choices),
            usage=usage_of_choices(self._counts),
            finish_reasons=tuple(reason for choice in choices for reason in choice.finish_reasons),
            error=self._error or self._frames.error,
            sound=bool(choices) and all(choice.sound for choice in choices),
            model=self._model,
            closed=self._frames.closed,
        )

    def _take_usage(self, usage: Json) -> None:
        if isinstance(usage, dict):
            merge_counts(self._counts, usage)
            merge_part(self._counts, usage, "prompt_tokens_details")
            merge_part(self._counts, usage, "completion_tokens_details")


class _Choice:
    """One choice, folded from its message or its deltas."""

    __slots__ = ("_arguments", "_finish", "_given", "_late", "_odd", "_refused")

    def __init__(self) -> None:
        self._arguments: dict[int | str, list[str]] = {}
        self._finish: list[str] = []
        self._given = False
        self._late = False
        self._odd = False
        self._refused = False

    @property
    def whole(self) -> bool:
        return bool(self._finish) and not self._late

    @property
    def finish_reasons(self) -> list[str]:
        # A refusal ends with "stop": only its text tells that it is one.
        told = "refusal" in self._finish or not self._refused
        return self._finish if told else [*self._finish, "refusal"]

    @property
    def sound(self) -> bool:
        calls = map("".join, self._arguments.values())
        return self._given and not self._odd and all(map(arguments_parse, calls))

    def take(self, choice: Document) -> None:
        piece = _piece(choice)
        calls = _calls(piece)
        gives = bool(calls) or any(_fills(piece.get(name)) for name in _GIVING)
        self._late = self._late or (gives and bool(self._finish))
        self._given = self._given or gives
        self._refused = self._refused or bool(text_of(piece, "refusal"))
        for position, call in enumerate(calls):
            self._take_call(position, call)
        reason = text_of(choice, "finish_reason")
        if reason and reason not in self._finish:
            self._finish.append(reason)

    def _take_call(self, position: int, call: Json) -> None:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(call, dict) or not (isinstance(function, dict) or isinstance(call.get("custom"), dict)):
            self._odd = True
            return
        arguments = self._arguments.setdefault(_call_key(position, call), [])
        # A custom tool's input is free text, and Mistral may send arguments that are an object already.
        told = function.get("arguments") if isinstance(function, dict) else None
        if isinstance(told, str):
            arguments.append(told)
        self._odd = self._odd or not (told is None or isinstance(told, str | dict))


def _piece(choice: Document) -> Document:
    for name in ("delta", "message"):
        piece = choice.get(name)
        if isinstance(piece, dict):
            return piece
    return choice


def _calls(piece: Document) -> list[Json]:
    """Tool calls, the one of the older `function_call` among them."""
    calls = piece.get("tool_calls")
    function = piece.get("function_call")
    older: list[Json] = [{"index": -1, "function": function}] if function else []
    return [*(calls if isinstance(calls, list) else []), *older]


def _call_key(position: int, call: Document) -> int | str:
    # Gemini's compatible endpoint numbers no calls and sends each in one piece.
    index = call.get("index")
    return index if isinstance(index, int) else text_of(call, "id") or position


def _fills(value: Json) -> bool:
    if isinstance(value, list):
        return any(not isinstance(part, dict) or part.get("type") not in _THINKING for part in value)
    return bool(value)


def usage_of_choices(counts: Mapping[str, int]) -> Usage | None:
    """The usage in the words of chat completions, each part's name behind its object's and a dot.

    xAI and Gemini's compatible endpoint leave reasoning out of the completion tokens but not of the total.
    """
    prompt, output, total = (counts.get(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens"))
    if prompt is not None and total is not None and total >= prompt:
        output = max(output or 0, total - prompt)
    return usage_of(
        prompt,
        output,
        # DeepSeek has a name of its own for what its prompt cache held.
        cache_read=counts.get("prompt_tokens_details.cached_tokens", counts.get("prompt_cache_hit_tokens")),
        cache_write=counts.get("prompt_tokens_details.cache_write_tokens"),
        reasoning=counts.get("completion_tokens_details.reasoning_tokens"),
        input_audio=counts.get("prompt_tokens_details.audio_tokens"),
        output_audio=counts.get("completion_tokens_details.audio_tokens"),
    )
