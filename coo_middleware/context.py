"""What a handler finds at `scope["state"]["coo"]` (Starlette: `request.state.coo`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coo_middleware.core.steering import LONGEST_NAME, MOST_TAGS, is_name

if TYPE_CHECKING:
    from collections.abc import Iterable

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
        "_stale_if_error",
        "_stale_while_revalidate",
        "_tags",
        "_ttl",
        "cache_status",
        "is_bypassed",
        "key_id",
        "provider",
    )

    def __init__(self, cache_status: CacheStatus, provider: str, key_id: str) -> None:
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


def _check_grace(name: str, seconds: float | None) -> float | None:
    if seconds is not None and not 0 <= seconds < float("inf"):
        raise ValueError(f"{name}: must be a number of seconds, 0 for never, None for the configured one")
    return seconds
