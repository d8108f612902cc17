"""What a request costs in instructions of the interpreter, against the numbers in gate.json.

Time tells little on a busy machine; instructions are the same in every run of one minor version of Python. Counted is
what runs for a request and after it, in our package and in what that calls, but not the event loop, whose turns depend
on the clock, and not work in C: `make bench` measures that. `python -m benchmarks.gate --keep` keeps new numbers.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from benchmarks.driver import OTHER, ask
from benchmarks.prompts import make_answer, make_events, make_prompt, respell
from coo_middleware import COOMiddleware

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import FrameType

    from _typeshed import TraceFunction
    from starlette.types import Receive, Scope, Send

KEPT: Final = Path(__file__).with_name("gate.json")
TOLERANCE: Final = 0.15
VERSION: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
_REQUESTS: Final = 20
_STREAMS: Final = 5
_SIZE: Final = 4_096
# Nothing is sent before the drain, so that no clock decides what runs.
_CONFIG: Final = {"policy": {"cache": {"ttl_seconds": 3600}, "metrics": {"flush_seconds": 10}}}
_NOT_COUNTED: Final = (str(Path(__file__).parent), str(Path(asyncio.__file__).parent), "<frozen", "/selectors.py")


class Counter:
    """Counts the instructions that run while it is entered."""

    def __init__(self) -> None:
        self.instructions = 0
        # Such as the one that measures coverage of the tests.
        self._earlier: TraceFunction | None = None
        self._files: Final[dict[str, bool]] = {}

    def __enter__(self) -> Self:
        self._earlier = sys.gettrace()
        sys.settrace(self._begin)
        return self

    def __exit__(self, *_error: object) -> None:
        sys.settrace(self._earlier)

    def _begin(self, frame: FrameType, _event: str, _arg: object) -> TraceFunction | None:
        name = frame.f_code.co_filename
        if name not in self._files:
            self._files[name] = not any(part in name for part in _NOT_COUNTED)
        if not self._files[name]:
            return None
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        return self._step

    def _step(self, _frame: FrameType, event: str, _arg: object) -> TraceFunction:
        if event == "opcode":
            self.instructions += 1
        return self._step


async def count_all() -> dict[str, int]:
    """Instructions of one request, and of all that follows it, by mode."""
    prompts = [make_prompt(_SIZE, number) for number in range(_REQUESTS)]
    streams = [make_prompt(_SIZE, number, stream=True) for number in range(_STREAMS)]
    spellings = [respell(prompts[0], number) for number in range(1, _REQUESTS + 1)]
    return {
        "hit": await _count(prompts[:1] * _REQUESTS, prompts[:1]),
        "hit, written differently": await _count(spellings, prompts[:1]),
        "streamed hit": await _count(streams[:1] * _REQUESTS, streams[:1]),
        "miss": await _count(prompts, [make_prompt(_SIZE, _REQUESTS)]),
        "streamed miss": await _count(streams, [make_prompt(_SIZE, _REQUESTS, stream=True)]),
        "request not ours": await _count([b""] * _REQUESTS, [b""], **OTHER),
    }


def find_changes(kept: Mapping[str, int], counted: Mapping[str, int]) -> list[str]:
    """What costs more than kept, or so much less that the next regression would not be seen."""
    return [
        f"{mode}: {counted.get(mode, 0):,} instructions, {kept.get(mode, 0):,} are kept; make bench-gate keeps new ones"
        for mode in sorted({*kept, *counted})
        if abs(counted.get(mode, 0) - kept.get(mode, 0)) > TOLERANCE * kept.get(mode, 0)
    ]


async def _count(prompts: Sequence[bytes], before: Sequence[bytes], **other: object) -> int:
    middleware = COOMiddleware(_answer, _CONFIG)
    # The first requests make what later ones find made: whoever is known is looked up, not added.
    for prompt in [*before, *before]:
        await ask(middleware, prompt, **other)
        await middleware.drain()
    with Counter() as counter:
        for prompt in prompts:
            await ask(middleware, prompt, **other)
        await middleware.drain()
    await middleware.close()
    return round(counter.instructions / len(prompts))


async def _answer(_scope: Scope, receive: Receive, send: Send) -> None:
    content = (await receive()).get("body", b"")
    if b'"stream":true' not in content:
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": make_answer()})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    for event in make_events():
        await send({"type": "http.response.body", "body": event, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _main(arguments: Sequence[str]) -> None:
    counted = asyncio.run(count_all())
    if "--keep" in arguments:
        KEPT.write_text(json.dumps({"python": VERSION, "instructions": counted}, indent=2) + "\n")
    sys.stdout.write(json.dumps(counted) + "\n")


if __name__ == "__main__":
    _main(sys.argv[1:])
