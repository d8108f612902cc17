"""What a handler finds at `scope["state"]["coo"]` (Starlette: `request.state.coo`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coo_middleware.core.steering import LONGEST_NAME, MOST_TAGS, is_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coo_middleware.attempts import Attempts
    from coo_middleware.core.outcome import Usage
    from coo_middleware.core.providers import ProviderKey
    from coo_middleware.core.record import CacheStatus


class CooContext:
    """One request as the middleware sees it, for the handler to read and to correct.

    `cache_status` is "miss" or "bypass" while the handler runs; a layer outside that looks afterwards may find "hit",
    "stale" or "collapsed".
    `provider` and `key_id` say who does the work and with which key: set them when the app chooses; they name the
    counters, so give a key's name, never the key. `ttl` is the freshness lifetime of this answer in seconds, and
    `stale_while_revalidate` and `stale_if_error` how long after it the answer may still be reused: None for what the
    answer's header fields and the configuration say. By its `tags` it can be purged.
    """

    __slots__ = (
        "_attempts",
        "_stale_if_error",
        "_stale_while_revalidate",
        "_tags",
        "_ttl",
        "cache_status",
        "is_bypassed",
        "key_id",
        "provider",
    )

    def __init__(
        self, cache_status: CacheStatus, provider: str, key_id: str, *, attempts: Attempts | None = None
    ) -> None:
        self._attempts = attempts
        self.cache_status: CacheStatus = cache_status
        self.provider = provider
        self.key_id = key_id
        self.is_bypassed = False
        self._ttl: float | None = None
        self._stale_while_revalidate: float | None = None
        self._stale_if_error: float | None = None
        self._tags: tuple[str, ...] = ()

    @property
    def ttl(self) -> float | None:
        """The freshness lifetime of this answer in seconds; ValueError for one that is not above 0."""
        return self._ttl

    @ttl.setter
    def ttl(self, seconds: float | None) -> None:
        if seconds is not None and not 0 < seconds < float("inf"):
            raise ValueError("ttl: must be a number of seconds above 0; call bypass() to keep an answer out")
        self._ttl = seconds

    @property
    def stale_while_revalidate(self) -> float | None:
        """So many seconds after its lifetime it may be reused while another is fetched; ValueError below 0."""
        return self._stale_while_revalidate

    @stale_while_revalidate.setter
    def stale_while_revalidate(self, seconds: float | None) -> None:
        self._stale_while_revalidate = _check_grace("stale_while_revalidate", seconds)

    @property
    def stale_if_error(self) -> float | None:
        """So many seconds after its lifetime it may be reused where the upstream fails; ValueError below 0."""
        return self._stale_if_error

    @stale_if_error.setter
    def stale_if_error(self, seconds: float | None) -> None:
        self._stale_if_error = _check_grace("stale_if_error", seconds)

    @property
    def tags(self) -> tuple[str, ...]:
        """By what this answer can be purged, beside the tags of request and answer; ValueError for what is no tag."""
        return self._tags

    @tags.setter
    def tags(self, tags: Iterable[str]) -> None:
        told = () if isinstance(tags, str) else tuple(tags)
        if isinstance(tags, str) or len(told) > MOST_TAGS or not all(map(is_name, told)):
            rule = f"printable texts of 1 to {LONGEST_NAME} characters without outer space"
            raise ValueError(f"tags: must be up to {MOST_TAGS} {rule}")
        self._tags = told

    def bypass(self) -> None:
        """Keeps this answer out of the cache."""
        self.is_bypassed = True

    async def pick(self, provider: str, *, tokens: int | None = None) -> ProviderKey:
        """The key to call the provider with: of the one in `llm_providers` whose id is `provider`, else of those whose
        type is, else of `policy.fallback`. A place in its limits is held until it is reported, or this request ends.
        `tokens`, input and output together, is what the call is expected to take; without it, it is estimated.

        A key that has failed in this request is not given again; one that was not reported is given back and counts
        nothing. Sets `provider` and `key_id`. Raises LookupError for a provider that has no keys, LimitedError when
        no key may be called now or `policy.retry.max_attempts` keys were tried, and StoreError where the store is away
        and `policy.limits.on_store_error` is `closed`.
        """
        key = await self._find_attempts().pick(provider, tokens)
        self.provider, self.key_id = key.provider, key.id
        return key

    async def report(
        self,
        key: ProviderKey,
        *,
        status: int | None = None,
        usage: Usage | None = None,
        error: BaseException | None = None,
        retry_after: float | str | None = None,
        duration: float | None = None,
    ) -> None:
        """Tells what became of the attempt with `key`, so that it is counted for that key and not for the one that
        answers: its `status`, or the `error` that was raised in place of one, from which the status is read where it
        has one. With neither, it went well. `retry_after` is the provider's, in seconds or as the Retry-After field
        says it; `duration` is in seconds, else the time since the pick.

        The attempt that this request is answered with need not be reported. A second report of an attempt changes
        nothing; ValueError for a key that was not picked for this request.
        """
        self._find_attempts().report(
            key,
            self.cache_status,
            status=status,
            usage=usage,
            error=error,
            retry_after=retry_after,
            duration=duration,
        )

    def _find_attempts(self) -> Attempts:
        if self._attempts is None:
            raise LookupError("provider: there is no key to pick, llm_providers has no keys; name some there")
        return self._attempts


def _check_grace(name: str, seconds: float | None) -> float | None:
    if seconds is not None and not 0 <= seconds < float("inf"):
        raise ValueError(f"{name}: must be a number of seconds, 0 for never, None for the configured one")
    return seconds
