"""What caches of the web are tested for (http-cache-tests), of a cache for POST, through a shim."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from coo_middleware import COOMiddleware
from tests.cache_cases import Case, Clock, Exchange, Origin, find_fault, read_cases, read_exclusions
from tests.cache_shim import WORLD, tell_lifetime, unwrap, wrap
from tests.proof import report

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

CASES = read_cases()
SUITE = 355


def build_with(origin: Origin, clock: Clock) -> ASGIApp:
    """The middleware between the halves of the shim."""
    middleware = COOMiddleware(wrap(origin), WORLD)
    middleware._now = clock

    async def settle(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await middleware(scope, receive, send)
        finally:
            await middleware.drain()

    return unwrap(settle)


def build_without(origin: Origin, clock: Clock) -> ASGIApp:
    """The shim alone."""
    return unwrap(wrap(origin))


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
async def test_an_applicable_case_passes(case: Case) -> None:
    """The cache does with requests and answers what the suite asks of one."""
    assert "" == await find_fault(case, build_with)


async def test_without_us_the_suite_tells() -> None:
    """These tests can fail: without a cache, every case that wants something reused does, and no other."""
    failed = {case.id for case in CASES if await find_fault(case, build_without)}
    wanting = {case.id for case in CASES if any(map(_wants_a_cache, case.requests))}
    kinds = Counter(case.kind for case in CASES)
    report(
        f"http-cache-tests: {len(CASES)} of {SUITE} cases apply {dict(kinds)}, {len(CASES) - len(failed)} pass without us"
    )

    assert wanting == failed


def test_every_case_is_accounted_for() -> None:
    """A case of the suite applies, or there is a reason why it does not."""
    excluded = read_exclusions()

    assert set() == excluded.keys() & {case.id for case in CASES}
    assert SUITE == len(CASES) + len(excluded)
    assert all(excluded.values())


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ([], []),
        ([(b"cache-control", b"no-store")], []),
        ([(b"cache-control", b"max-age=1"), (b"cache-control", b"private")], [b"max-age=1, private"]),
        ([(b"cache-control", b"max-age=1"), (b"surrogate-control", b"max-age=9")], [b"max-age=9"]),
        (
            [(b"expires", b"Thu, 01 Jan 1970 00:01:00 GMT"), (b"date", b"Thu, 01 Jan 1970 00:00:00 GMT")],
            [b"max-age=60"],
        ),
        ([(b"expires", b"Thu, 01 Jan 1970 00:01:00 GMT"), (b"cache-control", b"public")], [b"max-age=0, public"]),
        ([(b"expires", b"0")], []),
    ],
)
def test_the_shim_tells_lifetimes(headers: list[tuple[bytes, bytes]], told: list[bytes]) -> None:
    """It puts a lifetime where our cache reads it, and makes none up."""
    assert told == [value for _, value in tell_lifetime(headers)]


def _wants_a_cache(asked: Exchange) -> bool:
    return asked.expects == "reuse" or asked.expects_status == 504
