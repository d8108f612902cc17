"""Requests and answers of known sizes. No two prompts that are numbered differently are alike."""

from __future__ import annotations

import json
from typing import Final

SIZES: Final = {"200 B": 200, "4 KB": 4_096, "100 KB": 102_400}
# Some of it is not ASCII: pure ASCII is 2 to 4 times cheaper to make canonical.
_WORDS: Final = "The quick brown fox jumps over the lazy dog, naïvely and “quoted”; 早上好. "
_ANSWER_BYTES: Final = 2_009
_EVENTS: Final = 200
_SPELLINGS: Final = 16


def make_prompt(size: int, number: int = 0, *, stream: bool = False) -> bytes:
    """A chat request of `size` bytes, or of 200 where that is more."""
    asked = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    head = {"model": "gpt-5-mini", "temperature": 1, **asked}
    text = f"{number:09d} "
    room = size - len(_dump({**head, "messages": [{"role": "user", "content": text}]}))
    text += _fill(max(0, room))
    return _dump({**head, "messages": [{"role": "user", "content": text}]})


def respell(prompt: bytes, number: int) -> bytes:
    """The same request with its members in another order and other white space, not twice the same up to 65,536."""
    members = json.loads(prompt)
    turned = dict(reversed(members.items()))
    space = "".join("\n" if number >> bit & 1 else " " for bit in range(_SPELLINGS))
    return b"{" + space.encode() + _dump(turned)[1:]


def renew(prompt: bytes) -> bytes:
    """The same bytes as another object, as a server hands them over: one that was hashed before keeps its hash."""
    return prompt[:1] + prompt[1:]


def make_answer() -> bytes:
    """A chat completion of 2,009 bytes with its usage."""
    empty = len(_complete(""))
    return _complete("x" * (_ANSWER_BYTES - empty))


def make_events() -> tuple[bytes, ...]:
    """The same as a stream: 200 events, the usage and the end."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-5-mini"}
    choices: list[dict[str, object]] = [
        {"index": 0, "delta": {"content": f"word{number:04d} "}, "finish_reason": None} for number in range(_EVENTS - 1)
    ]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    events = [{**head, "choices": [choice], "usage": None} for choice in choices]
    last: list[dict[str, object]] = [*events, {**head, "choices": [], "usage": _USAGE}]
    return (*(b"data: " + _dump(event) + b"\n\n" for event in last), b"data: [DONE]\n\n")


_USAGE: Final = {"prompt_tokens": 900, "completion_tokens": 200, "total_tokens": 1_100}


def _complete(text: str) -> bytes:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-5-mini"}
    return _dump({**head, "choices": [choice], "usage": _USAGE})


def _fill(room: int) -> str:
    """Text of `room` bytes."""
    text = (_WORDS * (room // len(_WORDS.encode()) + 1)).encode()[:room].decode(errors="ignore")
    return text + "." * (room - len(text.encode()))


def _dump(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
