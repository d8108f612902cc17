"""After the response: increments gather in the loop and leave in one batch; entries are written at once.

Nothing here is awaited on a request's way, and recording itself is synchronous: a cancelled request is recorded too,
where an `await` in its `finally` would be cancelled once more and the record lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from coo_middleware.core.families import is_sound
from coo_middleware.core.record import COST_SAVED, OUTPUT_AUDIO_TOKENS, TOKENS_SAVED, Record, count_record
from coo_middleware.core.series import count_savings, count_series
from coo_middleware.stores import StoreAwayError
from coo_middleware.stores.checks import check_counter

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from coo_middleware.config import MetricsPolicy
    from coo_middleware.outbox import Outbox

logger = logging.getLogger("coo_middleware")

OTHER: Final = "other"
# No metric's name is longer.
_LONGEST: Final = OUTPUT_AUDIO_TOKENS
_RETRY_SECONDS: Final = 1.0


class Recorder:
    """Puts records into `outbox`, which is sent every `flush_seconds`; provider keys beyond `max_keys` are counted
    under `other`.

    `counts` are this process's own counters: hits, misses, bypasses and refusals by reason, faults. Each of `observers`
    is told each record, models beyond `max_models` as `other`.
    """

    def __init__(self, outbox: Outbox, policy: MetricsPolicy, *observers: Callable[[Record], object]) -> None:
        self._outbox: Final = outbox
        self._policy: Final = policy
        self._observers: Final = observers
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
        key = self._fold(record.provider, record.key_id)
        model = self._fold_model(record.model)
        if key != (record.provider, record.key_id) or model != record.model:
            record = replace(record, provider=key[0], key_id=key[1], model=model)
        for metric, amount in count_record(record):
            self._outbox.add((*key, metric), amount)
        if self._policy.series:
            self._count_series(record)
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
        key = self._fold(provider, key_id)
        for metric, amount in ((TOKENS_SAVED, float(tokens)), (COST_SAVED, cost or 0.0)):
            if amount:
                self._outbox.add((*key, metric), amount)
        if self._policy.series and not self._count(key, count_savings(self._fold_model(model), tokens, cost)):
            self._count(key, count_savings(OTHER, tokens, cost), always=True)
        self._schedule(self._policy.flush_seconds)

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
        while self._tasks or self._outbox:
            # Not gather(), which would cancel the work when the caller gives up waiting.
            if self._tasks:
                await asyncio.wait(self._tasks)
            if not await self._send():
                return

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

    def _count_series(self, record: Record) -> None:
        """Callers choose models and cause errors: of the series that they make only so many are kept apart."""
        key = record.provider, record.key_id
        if not self._count(key, count_series(record), always=record.model == OTHER):
            self._count(key, count_series(replace(record, model=OTHER)), always=True)

    def _count(self, key: tuple[str, str], counts: list[tuple[str, float]], *, always: bool = False) -> bool:
        """Counts them where there is room for those that are new, or `always`; whether it did."""
        unknown = [(*key, metric) for metric, _ in counts if (*key, metric) not in self._series]
        if unknown and not always and len(self._series) + len(unknown) > self._policy.max_series:
            return False
        self._series.update(unknown)
        for metric, amount in counts:
            self._outbox.add((*key, metric), amount)
        return True

    def _adopt_loop(self) -> asyncio.AbstractEventLoop:
        """The running loop. What waited on an earlier one that has ended waits for nothing; its sums are kept."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._timer, self._sending = loop, None, asyncio.Lock()
            self._tasks.clear()
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
                await self._outbox.send()
            except Exception as error:
                self.report("store_errors", error)
                self._schedule(_RETRY_SECONDS)
                return False
        return True
