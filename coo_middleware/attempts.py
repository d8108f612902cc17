"""The keys that one request is given, one after another, and what became of each."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from coo_middleware.balancer import Wish
from coo_middleware.core.client_error import read_fields, read_status
from coo_middleware.core.demand import NOTHING, Demand
from coo_middleware.core.health import judge_attempt
from coo_middleware.core.limited import LimitedError
from coo_middleware.core.retry_after import find_retry_after, read_retry_after

if TYPE_CHECKING:
    from coo_middleware.balancer import Balancer, Held
    from coo_middleware.core.outcome import Usage
    from coo_middleware.core.plan import Plan
    from coo_middleware.core.providers import ProviderKey
    from coo_middleware.core.record import CacheStatus, ErrorType
    from coo_middleware.core.standing import Standing


class Attempts:
    """One request's. `demand` is what a call is foreseen to take; `refused` is why the last pick gave no key, None
    where it did.
    """

    __slots__ = (
        "_balancer",
        "_failed",
        "_live",
        "_path",
        "_picked",
        "_plan",
        "_reported",
        "_tries",
        "demand",
        "refused",
    )

    def __init__(self, balancer: Balancer, plan: Plan, path: str, demand: Demand | None = None) -> None:
        self._balancer: Final = balancer
        self._plan: Final = plan
        self._path: Final = path
        self._failed: Final[list[Standing]] = []
        self._picked: Final[dict[tuple[str, str], Held]] = {}
        self._reported: Final[set[tuple[str, str]]] = set()
        self._live: Held | None = None
        self._tries = 0
        self.demand = demand or Demand()
        self.refused: LimitedError | None = None

    @property
    def has_picked(self) -> bool:
        """Whether any key was given."""
        return bool(self._picked or self._reported)

    async def pick(self, provider: str, tokens: int | None = None) -> ProviderKey:
        """A key that has not failed in this request. One that was picked before and is not reported is given back.
        Raises as `CooContext.pick` does.
        """
        self._give_back()
        try:
            self._check_tries()
            held = await self._balancer.pick(
                provider, Wish(self._plan, self._path, self._foresee(tokens)), self._failed
            )
        except LimitedError as error:
            self.refused = error
            raise
        # Of two picks at the same time the later has given nothing back yet.
        self._give_back()
        self._live, self.refused, self._tries = held, None, self._tries + 1
        key = held.standing.key
        self._picked[key.provider, key.id] = held
        return key

    def report(
        self,
        key: ProviderKey,
        cache_status: CacheStatus,
        *,
        status: int | None = None,
        usage: Usage | None = None,
        error: BaseException | None = None,
        retry_after: float | str | None = None,
        duration: float | None = None,
    ) -> None:
        """Counts an attempt where it belongs, once. Raises as `CooContext.report` does."""
        name = (key.provider, key.id)
        held = self._picked.pop(name, None)
        if held is None:
            if name not in self._reported:
                raise ValueError("key: was not picked for this request; report what pick returned")
            return
        self._reported.add(name)
        found = status if status is not None else read_status(error) if error else 200
        error_type = _classify(found, error)
        lasted = self._balancer.measure(held) if duration is None else duration
        self._balancer.count(held, cache_status, status=found, error_type=error_type, usage=usage, duration=lasted)
        self._end(held, found, error_type, usage, _read_told(retry_after, error))

    def finish(
        self, status: int, error_type: ErrorType, usage: Usage | None, retry_after: float | str | None = None
    ) -> bool:
        """Settles the attempt that the request was answered with; whether there is one that was not reported."""
        held = self._live
        if held is None:
            return False
        key = held.standing.key
        del self._picked[key.provider, key.id]
        self._reported.add((key.provider, key.id))
        self._end(held, status, error_type, usage, _read_told(retry_after, None))
        return True

    def _end(self, held: Held, status: int, error_type: ErrorType, usage: Usage | None, told: float | None) -> None:
        if held is self._live:
            self._live = None
            self._balancer.settle(held, _find_spent(held.wish.demand, status, error_type, usage), usage)
        if status >= 400 or error_type:
            self._failed.append(held.standing)
        else:
            self._tries -= 1
        self._balancer.judge(held, judge_attempt(status, error_type), told)

    def _give_back(self) -> None:
        if self._live is not None:
            self._balancer.settle(self._live, NOTHING)
            self._live = None

    def _check_tries(self) -> None:
        if self._tries >= self._balancer.max_attempts:
            wait = self._balancer.wait_for(self._failed[-1]) if self._failed else 0.0
            raise LimitedError(wait, ("policy.retry.max_attempts",))

    def _foresee(self, tokens: int | None) -> Demand:
        if tokens is None:
            return self.demand
        read = min(self.demand.input_tokens, tokens)
        return Demand(input_tokens=read, output_tokens=tokens - read)


def _find_spent(foreseen: Demand, status: int, error_type: ErrorType, usage: Usage | None) -> Demand:
    """What a call that was made has used; of what its provider does not tell, what was foreseen, if it answered."""
    if usage is None:
        return Demand() if status >= 400 or error_type == "exception" else foreseen
    return Demand(
        input_tokens=foreseen.input_tokens if usage.input_tokens is None else usage.input_tokens,
        output_tokens=foreseen.output_tokens if usage.output_tokens is None else usage.output_tokens,
    )


def _classify(status: int, error: BaseException | None) -> ErrorType:
    if isinstance(error, asyncio.CancelledError):
        return "client_disconnect"
    if status >= 400:
        return "status"
    return "exception" if error else ""


def _read_told(retry_after: float | str | None, error: BaseException | None) -> float | None:
    if isinstance(retry_after, str):
        return read_retry_after(retry_after, time.time())
    if retry_after is None and error is not None:
        return find_retry_after(read_fields(error), time.time())
    return retry_after
