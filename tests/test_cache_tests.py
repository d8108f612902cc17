"""What caches of the web are tested for (http-cache-tests), of a cache for POST, through a shim."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import pytest

from coo_middleware import COOMiddleware
from tests.cache_cases import Case, Clock, Exchange, Origin, find_fault, read_cases, read_exclusions
from tests.cache_shim import SILENT, WORLD, forward, tell_lifetime, unwrap, wrap
from tests.proof import report

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from tests.conftest import Serve

CASES = read_cases()
SUITE = 355


def build_with(origin: ASGIApp, clock: Clock, world: Mapping[str, object] = WORLD) -> ASGIApp:
    """The middleware between the halves of the shim."""
    middleware = COOMiddleware(wrap(origin), world)
    middleware._now = clock

    async def settle(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await middleware(scope, receive, send)
        finally:
            await middleware.drain()

    return unwrap(settle)


def build_without(origin: ASGIApp, clock: Clock) -> ASGIApp:
    """The shim alone."""
    return unwrap(wrap(origin))


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
async def test_an_applicable_case_passes(case: Case) -> None:
    """The cache does with requests and answers what the suite asks of one."""
    speaks = any("stale-if-error" in line for asked in case.requests for line in asked.answer)

    assert "" == await find_fault(case, partial(build_with, world=SILENT if speaks else WORLD))


async def test_without_us_the_suite_tells() -> None:
    """These tests can fail: without a cache, every case that wants something reused does, and no other."""
    failed = {case.id for case in CASES if await find_fault(case, build_without)}
    wanting = {case.id for case in CASES if any(map(_wants_a_cache, case.requests))}
    kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(case.kind for case in CASES).items())
    report(
        f"http-cache-tests: {len(CASES)} of {SUITE} cases apply ({kinds}); {len(CASES) - len(failed)} pass without us"
    )

    assert wanting == failed


async def test_the_shim_stands_before_a_server(serve: Serve) -> None:
    """The suite's own server may take the place of ours: what is between the halves is the same."""

    def build(origin: Origin, clock: Clock) -> ASGIApp:
        return build_with(forward(serve(origin)), clock)

    chosen = {"vary-match", "query-args-different", "stale-503", "headers-store-Upgrade"}
    faults = {case.id: await find_fault(case, build) for case in CASES if case.id in chosen}

    assert dict.fromkeys(chosen, "") == faults


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
