"""What one request takes of limits on its way to a provider, and what it pays or gets back at its end."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from coo_middleware.attempts import Attempts
from coo_middleware.balancer import Balancer
from coo_middleware.core.demand import NOTHING, Demand
from coo_middleware.core.limited import LimitedError
from coo_middleware.core.refusal import refuse_limited, refuse_unchecked
from coo_middleware.core.retry_after import find_retry_after
from coo_middleware.forecasts import Forecasts
from coo_middleware.limiter import Limiter
from coo_middleware.reply import Reply
from coo_middleware.reservations import Reservations

if TYPE_CHECKING:
    from collections.abc import Callable

    from coo_middleware.config import Config
    from coo_middleware.core.exchange import Answer
    from coo_middleware.core.outcome import Usage
    from coo_middleware.core.plan import Plan
    from coo_middleware.core.record import ErrorType
    from coo_middleware.core.request import Headers
    from coo_middleware.forecasts import Foreseen
    from coo_middleware.limiter import Permit
    from coo_middleware.prices import Prices
    from coo_middleware.recorder import Recorder
    from coo_middleware.stores import RuntimeStore

_ONE_REQUEST: Final = Demand()


class Passages:
    """Opens the passage of each request, where anything is limited or there are keys to share the load."""

    def __init__(
        self,
        config: Config,
        store: RuntimeStore,
        recorder: Recorder,
        prices: Prices,
        count: Callable[[str], int] | None,
    ) -> None:
        policy = config.policy
        pooled = any(each.api_keys or each.keys for each in config.llm_providers)
        self.prices: Final = prices
        self.reservations: Final = Reservations(store, policy.limits, recorder)
        self.limiter: Final = Limiter(policy.limits, self.reservations, prices, pooled=pooled)
        self.forecasts: Final = Forecasts(policy.limits.default_output_tokens, count)
        self.balancer: Final = Balancer(
            config.llm_providers,
            policy,
            reservations=self.reservations,
            limiter=self.limiter,
            prices=prices,
            recorder=recorder,
            store=store,
        )
        self._is_on: Final = pooled or bool(policy.limits.rules)

    def open(self, plan: Plan, path: str) -> Passage | None:
        """The passage of one request; None where nothing is limited."""
        return Passage(self, plan, path) if self._is_on else None

    async def drain(self) -> None:
        """Returns when all that was settled so far has been sent."""
        await self.reservations.drain()

    async def close(self) -> None:
        """Sends what is settled, and lets go of what is not."""
        await self.reservations.close()


class Passage:
    """One request's way through the limits. `refusal` is what kept it from the app."""

    __slots__ = ("_foreseen", "_office", "_path", "_permit", "_plan", "_reused", "attempts", "refusal")

    def __init__(self, office: Passages, plan: Plan, path: str) -> None:
        self._office: Final = office
        self._plan: Final = plan
        self._path: Final = path
        self._foreseen: Foreseen | None = None
        self._permit: Permit | None = None
        self._reused: Permit | None = None
        self.attempts: Final = Attempts(office.balancer, plan, path) if office.balancer else None
        self.refusal: Exception | None = None

    @property
    def refused(self) -> LimitedError | None:
        """What kept the handler from a key, where it got none since."""
        return self.attempts.refused if self.attempts else None

    def make_refresh(self) -> Passage:
        """The passage of a call for the same on nobody's behalf."""
        return Passage(self._office, self._plan, self._path)

    async def enter_early(self) -> None:
        """Takes a request of the limits that count reused responses too. Raises LimitedError, and StoreError where
        limits cannot be kept and must be.
        """
        try:
            self._reused = await self._office.limiter.admit_reuse(self._plan, self._path)
        except Exception as error:
            self.refusal = error
            raise

    async def enter(self) -> None:
        """Takes what the call will probably need of all its limits. Raises as `enter_early` does. Without a whole
        request no provider will be asked.
        """
        office, plan = self._office, self._plan
        limited = office.limiter.applies(plan, self._path)
        if plan.bypass == "aborted" or not (limited or self.attempts):
            return
        self._foreseen = foreseen = office.forecasts.begin(plan)
        if self.attempts:
            self.attempts.demand = foreseen.demand
        if limited:
            reused, self._reused = self._reused, None
            self._permit = await office.limiter.admit(plan, self._path, foreseen.demand, reused)

    def tell(self) -> Headers:
        """The fields of an answer that say how the caller's limits stand."""
        limiter = self._office.limiter
        return limiter.tell(self._permit) if self._permit else limiter.tell_last(self._plan, self._path)

    def make_refusal(self) -> Reply | None:
        """What answers in place of the app; None where nothing kept the request from it."""
        error = self.refusal
        if error is None:
            return None
        fmt = self._plan.format
        told = refuse_limited(error, fmt, self.tell()) if isinstance(error, LimitedError) else refuse_unchecked(fmt)
        return Reply(told.status, told.headers, told.content)

    def end_reuse(self) -> None:
        """The request was answered with what another one's call brought."""
        if self._reused is not None:
            self._office.limiter.settle(self._reused, _ONE_REQUEST)
            self._reused = None

    def end(self, answer: Answer, error_type: ErrorType, provider: str) -> bool:
        """Settles with the truth what a call of `provider` took; whether this request itself asked one."""
        usage = answer.outcome.usage
        asked = self._end_attempts(answer, error_type, usage)
        demand = NOTHING if self.refusal else self._find_spent(answer, error_type, provider)
        if self._permit is not None:
            self._office.limiter.settle(self._permit, demand)
        if self._reused is not None:
            self._office.limiter.settle(self._reused, demand)
        if self._foreseen is not None:
            self._office.forecasts.end(self._foreseen, usage)
        self._permit = self._reused = self._foreseen = None
        return asked

    def _end_attempts(self, answer: Answer, error_type: ErrorType, usage: Usage | None) -> bool:
        attempts = self.attempts
        if attempts is None:
            return not self.refusal
        told = find_retry_after(answer.headers, time.time())
        live = attempts.finish(answer.status, error_type, usage, told)
        return live or not (self.refusal or attempts.refused or attempts.has_picked)

    def _find_spent(self, answer: Answer, error_type: ErrorType, provider: str) -> Demand:
        """What was used; of what the provider does not tell, what was foreseen, if it answered at all."""
        foreseen = self._foreseen.demand if self._foreseen else _ONE_REQUEST
        usage, model = answer.outcome.usage, self._plan.model
        if usage is None:
            failed = answer.status >= 400 or error_type == "exception"
            return _ONE_REQUEST if failed else self._office.prices.price(provider, model, foreseen)
        inputs = foreseen.input_tokens if usage.input_tokens is None else usage.input_tokens
        outputs = foreseen.output_tokens if usage.output_tokens is None else usage.output_tokens
        spent = Demand(1.0, inputs, outputs)
        cost = self._office.prices.cost(provider, model, usage)
        return replace(spent, cost=cost) if cost is not None else self._office.prices.price(provider, model, spent)
