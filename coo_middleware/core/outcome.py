"""What one answer of a provider turned out to be, in words that every wire format shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from coo_middleware.core.document import Json
    from coo_middleware.core.framing import Event


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer; None is unknown, which is not zero.

    `input_tokens` counts all that the model read, `output_tokens` all that it generated. The others are parts of
    these: `cache_read_tokens` came from the provider's own prompt cache and `cache_write_tokens` were written to it,
    `reasoning_tokens` were thought and not shown, the audio ones were sound. `estimated`: not told by the provider.
    """

    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    input_audio_tokens: int | None = None
    output_audio_tokens: int | None = None
    estimated: bool = field(default=False, kw_only=True)

    @property
    def tokens(self) -> int:
        """Input and output, as far as they are known."""
        return (self.input_tokens or 0) + (self.output_tokens or 0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`whole`: the format's own end was seen. `usage` is None when the provider told none, which is not zero.
    `error`: the provider reported a failure inside its answer. `sound`: there is something to give back, and every
    tool call's arguments parse. `closed`: the mark that the format sets behind its end came too, or it has none; not
    every server sends it.
    """

    whole: bool
    usage: Usage | None
    finish_reasons: tuple[str, ...]
    error: bool
    sound: bool
    model: str
    closed: bool = True


UNREADABLE: Final = Outcome(whole=False, usage=None, finish_reasons=(), error=False, sound=False, model="")


class StreamReader(Protocol):
    """Folds the events of one streamed answer."""

    def feed(self, event: Event) -> None:
        """Takes the next event, never raises on odd content."""

    def outcome(self) -> Outcome:
        """What is known so far."""


def tokens(value: Json) -> int | None:
    """A token count as providers send it (6, 6.0, "6"), else None: null, negative, boolean, text, absurd."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str):
        value = int(value) if value.isascii() and value.isdigit() and len(value) < 16 else -1
    return int(value) if 0 <= value <= 2**53 else None
