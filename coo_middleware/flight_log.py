"""What an upstream call has answered so far, for all who follow it: each message is kept once, by reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.types import Message

    from coo_middleware.call import Call
    from coo_middleware.channels import Watch


class FlightLog:
    """The messages of one answer, counted from 0, as the app sent them and, where there is something to take out, for
    those who did not ask for usage. `size` is in bytes of content, and never gets less; `rewrites`: there may be
    something to take out.
    """

    __slots__ = ("_base", "_raw", "_stripped", "_watch", "end", "has_ended", "rewrites", "size", "start")

    def __init__(self, watch: Watch) -> None:
        self._watch: Final = watch
        self._raw: Final[list[Message]] = []
        self._stripped: Final[list[Message | Exception]] = []
        self._base = self.end = self.size = 0
        self.start: Message | None = None
        self.has_ended = self.rewrites = False

    @property
    def status(self) -> int:
        """The answer's status, 0 before it is known."""
        status = 0 if self.start is None else self.start.get("status", 0)
        return status if isinstance(status, int) else 0

    @property
    def is_coded(self) -> bool:
        """Whether the content has a coding."""
        headers = (self.start or {}).get("headers", ())
        return any(name.lower() == b"content-encoding" for name, _ in headers)

    @property
    def is_odd(self) -> bool:
        """Whether something came that only the client it was meant for can make sense of."""
        return self._watch.is_odd

    def reads_like(self, leader: Call, call: Call) -> bool:
        """Whether a request for the same as the leader's wants this content, or what is left of it without usage."""
        if self.status != 200:
            return True
        asked, wanted = leader.plan.asked, call.plan.shape
        if asked.stream != wanted.stream or (wanted.usage and not asked.usage):
            return False
        strips = self.rewrites and not wanted.usage
        return strips or not self.is_coded or call.codings == leader.codings

    def append(self, message: Message) -> None:
        """Adds the app's next message."""
        understood = self._watch.see(message)
        if understood and message["type"] == "http.response.start" and self.start is None:
            self.start, self.rewrites = message, self._watch.strips
        elif message["type"] == "http.response.body":
            self.has_ended = not message.get("more_body", False)
        self._raw.append(message)
        self._stripped.append(self._strip(message))
        self.size += weigh(message)
        self.end += 1

    def read(self, place: int, *, stripped: bool) -> Message | None:
        """The message at `place`, which must not have been dropped; None where it has not come yet. Raises CodingError
        for a content that could not be decoded.
        """
        if place >= self.end:
            return None
        at = place - self._base
        message = self._stripped[at] if stripped else self._raw[at]
        if isinstance(message, Exception):
            raise message.with_traceback(None)
        return message

    def weigh(self, place: int) -> int:
        """The bytes of content in the message at `place`."""
        return weigh(self._raw[place - self._base])

    def drop(self, place: int) -> None:
        """Forgets what lies before `place`."""
        count = place - self._base
        if count > 0:
            del self._raw[:count], self._stripped[:count]
            self._base = place

    def _strip(self, message: Message) -> Message | Exception:
        try:
            return self._watch.strip(message)
        except Exception as error:
            return error


def weigh(message: Message) -> int:
    """The bytes of content in a message."""
    body = message.get("body", b"")
    return len(body) if isinstance(body, bytes | bytearray | memoryview) else 0
