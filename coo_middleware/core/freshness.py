"""Whether a stored response may answer a request: fresh (RFC 9111 section 4.2), stale (section 4.2.4, RFC 5861)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from coo_middleware.core.directives import Directives
    from coo_middleware.core.entry import Entry

Fwd: TypeAlias = Literal["miss", "stale", "request"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`serves`: the response answers; `revalidates`: and a new one is to be fetched meanwhile; `spares`: it answers
    where the upstream fails. `fwd` says why the request is forwarded otherwise (RFC 9211 section 2.2).
    """

    serves: bool
    revalidates: bool
    spares: bool
    fwd: Fwd


UNUSABLE: Final = Verdict(serves=False, revalidates=False, spares=False, fwd="miss")

# Few differ, so each is made once.
_find_verdict: Final = cache(Verdict)


def judge(entry: Entry, wishes: Directives, now: float) -> Verdict:
    """What `entry` is good for at `now`, in seconds since 1970.

    One from further ahead than it may live, as a wrong clock makes, is good for nothing: it would outlive its time. By
    RFC 5861 section 4 `stale-if-error` counts whatever else is said of freshness.
    """
    age = now - entry.created
    staleness = age - entry.ttl
    if age <= -entry.ttl or staleness >= entry.grace:
        return UNUSABLE
    errs = entry.stale_if_error if wishes.stale_if_error is None else wishes.stale_if_error
    spares = errs > 0 and staleness < errs
    tolerated = wishes.max_age is None or age <= wishes.max_age
    if staleness < 0:
        lasts = wishes.min_fresh is None or -staleness >= wishes.min_fresh
        return _find_verdict(tolerated and lasts, False, spares, "request")
    within = staleness < entry.stale_while_revalidate
    lenient = wishes.max_stale is not None and staleness <= wishes.max_stale
    serves = tolerated and wishes.min_fresh is None and (within or lenient)
    return _find_verdict(serves, serves and within, spares, "stale")
