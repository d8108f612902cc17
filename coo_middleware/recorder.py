"""After the response: records gather in the loop, are counted together, and leave as one batch of increments; entries
are written at once.

Nothing here is awaited on a request's way, and recording itself is synchronous: a cancelled request is recorded too,
where an `await` in its `finally` would be cancelled once more and the record lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

from coo_middleware.core.families import is_sound
from coo_middleware.core.record import COST_SAVED, OUTPUT_AUDIO_TOKENS, TOKENS_SAVED, Record, count_record
from coo_middleware.core.series import count_savings, count_series
from coo_middleware.core.tally import sum_up
from coo_middleware.stores import StoreAwayError
from coo_middleware.stores.checks import check_counter

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from coo_middleware.config import MetricsPolicy
    from coo_middleware.core.tally import Alike
    from coo_middleware.outbox import Outbox

logger = logging.getLogger("coo_middleware")

Counts: TypeAlias = "list[tuple[str, float]]"

OTHER: Final = "other"
# No metric's name is longer.
_LONGEST: Final = OUTPUT_AUDIO_TOKENS
_RETRY_SECONDS: Final = 1.0
# So many records are counted at once: where none is like another they take some milliseconds of the event loop.
_MOST_AT_ONCE: Final = 128


class Recorder:
    """Counts records and puts the increments into `outbox`, which is sent every `flush_seconds`; provider keys beyond
    `max_keys` are counted under `other`.

    `counts` are this process's own counters: hits, misses, bypasses and refusals by reason, faults. Each of `observers`
    is told each record while its request ends, models beyond `max_models` as `other`.
    """

    def __init__(self, outbox: Outbox, policy: MetricsPolicy, *observers: Callable[[Record], object]) -> None:
        self._outbox: Final = outbox
        self._policy: Final = policy
        self._observers: Final = observers
        self._pending: list[tuple[float, Record]] = []
        self._keys: set[tuple[str, str]] = set()
        self._models: set[str] = set()
        self._series: set[tuple[str, str, str]] = set()
        self._tasks: set[asyncio.Task[object]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._sending = asyncio.Lock()
        self.counts: Final[Counter[str]] = Counter()

    def record(self, record: Record) -> None:
        """Adds one record to the next batch."""
        loop = self._adopt_loop()
        if not self._knows(record):
            provider, key_id = self._fold(record.provider, record.key_id)
            record = replace(record, provider=provider, key_id=key_id, model=self._fold_model(record.model))
        self._pending.append((self._outbox.now(), record))
        if len(self._pending) == _MOST_AT_ONCE:
            loop.call_soon(self._count_ahead)
        if self._timer is None:
            self._schedule(self._policy.flush_seconds)
        for observe in self._observers:
            try:
                observe(record)
            except Exception as error:
                self.report("observer_errors", error)

    def add_saving(self, provider: str, key_id: str, model: str, *, tokens: int, cost: float | None) -> None:
        """Counts what a part of a request did not cost, in tokens and US dollars; the request itself has a record of
        its own.
        """
        if not self._policy.enabled:
            return
        self._schedule(self._policy.flush_seconds)
        key, model = self._fold(provider, key_id), self._fold_model(model)
        saved = ((TOKENS_SAVED, float(tokens)), (COST_SAVED, cost or 0.0))
        self._add(key, [(metric, amount) for metric, amount in saved if amount])
        if self._policy.series:
            counts = count_savings(model, tokens, cost)
            self._add(key, self._choose(key, counts, lambda: count_savings(OTHER, tokens, cost)))

    def spawn(self, work: Coroutine[object, object, object]) -> None:
        """Runs after-response work in a task that is held until it is done."""
        task = self._adopt_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def report(self, fault: str, error: Exception) -> None:
        """Counts a fault of ours or of the store, and logs the first, the tenth, the hundredth …: a fault that every
        request meets must not fill the disk as well, and a store out of reach is in the log already. An error's own
        text might quote a prompt, so only its kind and the line that it came from are told.
        """
        self.counts[fault] += 1
        count = self.counts[fault]
        if str(count).strip("0") != "1" or isinstance(error, StoreAwayError):
            return
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else "unknown"
        logger.error("%s (%d so far): %s at %s; the request went on", fault, count, type(error).__name__, place)

    async def drain(self) -> None:
        """Returns when all that was recorded or spawned so far has been sent or has failed."""
        self._adopt_loop()
        while self._tasks or self._pending or self._outbox:
            # Not gather(), which would cancel the work when the caller gives up waiting.
            if self._tasks:
                await asyncio.wait(self._tasks)
            if not await self._send():
                return

    def _knows(self, record: Record) -> bool:
        """Whether it is counted under its own names, as others before it."""
        try:
            return (record.provider, record.key_id) in self._keys and record.model in self._models
        except TypeError:
            return False

    def _fold(self, provider: str, key_id: str) -> tuple[str, str]:
        """The name that a provider key is counted under: callers choose credentials, so their number is bounded, and
        a name that no store takes would hold up every batch behind it.
        """
        key = (provider, key_id)
        try:
            if key in self._keys:
                return key
            check_counter(provider, key_id, _LONGEST)
        except (TypeError, ValueError):
            return (OTHER, OTHER)
        if len(self._keys) >= self._policy.max_keys:
            return (OTHER, OTHER)
        self._keys.add(key)
        return key

    def _fold_model(self, model: str) -> str:
        """The name that a model is recorded under: callers choose it, and no store takes all that they may make up."""
        if model in self._models:
            return model
        if len(self._models) >= self._policy.max_models or (model and not is_sound(model)):
            return OTHER
        self._models.add(model)
        return model

    async def _count_all(self) -> None:
        self._count_some()
        while self._pending:
            await asyncio.sleep(0)
            self._count_some()

    def _count_ahead(self) -> None:
        """Keeps those that wait few, however seldom they are sent."""
        self._count_some()
        if len(self._pending) >= _MOST_AT_ONCE:
            self._adopt_loop().call_soon(self._count_ahead)

    def _count_some(self) -> None:
        some, self._pending = self._pending[:_MOST_AT_ONCE], self._pending[_MOST_AT_ONCE:]
        for alike in self._sum_up(some):
            try:
                self._count_alike(alike)
            except Exception as error:
                self.report("internal_errors", error)

    def _sum_up(self, records: Sequence[tuple[float, Record]]) -> list[Alike]:
        try:
            return sum_up(records)
        except Exception as error:
            if len(records) > 1:
                # One that a handler reported amiss costs no other.
                return [alike for each in records for alike in self._sum_up([each])]
            self.report("internal_errors", error)
            return []

    def _count_alike(self, alike: Alike) -> None:
        first, total, number = alike.first, alike.total, alike.number
        key = first.provider, first.key_id
        self._add(key, count_record(total, number), number, alike.time)
        if self._policy.series:
            counts = count_series(first, total, number)
            counts = self._choose(key, counts, lambda: count_series(replace(first, model=OTHER), total, number))
            self._add(key, counts, number, alike.time)

    def _choose(self, key: tuple[str, str], counts: Counts, count_others: Callable[[], Counts]) -> Counts:
        """The increments of series, or those for `other` where there is no room for series that are new: callers
        choose models and cause errors.
        """
        unknown = {(*key, metric) for metric, _ in counts} - self._series
        if unknown and len(self._series) + len(unknown) > self._policy.max_series:
            counts = count_others()
            unknown = {(*key, metric) for metric, _ in counts}
        self._series |= unknown
        return counts

    def _add(self, key: tuple[str, str], counts: Counts, number: int = 1, time: float | None = None) -> None:
        for metric, amount in counts:
            self._outbox.add((*key, metric), amount, number, time)

    def _adopt_loop(self) -> asyncio.AbstractEventLoop:
        """The running loop. What waited on an earlier one that has ended waits for nothing; its records are kept, but
        for those of the process that this one was forked from, which has a loop of its own and counts them itself.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._timer, self._sending = loop, None, asyncio.Lock()
            self._tasks.clear()
            if self._outbox.follow_fork():
                self._pending.clear()
        return loop

    def _schedule(self, seconds: float) -> None:
        loop = self._adopt_loop()
        if self._timer is None:
            self._timer = loop.call_later(seconds, self._flush)

    def _flush(self) -> None:
        self._timer = None
        self.spawn(self._send())

    async def _send(self) -> bool:
        """Sends what has gathered; whether it could. If not, it is sent again a little later."""
        async with self._sending:
            try:
                await self._count_all()
                await self._outbox.send()
            except Exception as error:
                self.report("store_errors", error)
                self._schedule(_RETRY_SECONDS)
                return False
        return True
