"""Fixtures that any test may use: real servers on the loopback interface."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from starlette.types import ASGIApp

from example_app.loopback import HOST, loopback

Serve = Callable[[ASGIApp], str]


@pytest.fixture(scope="session", autouse=True)
def _direct_loopback() -> None:
    """Keeps an HTTP proxy of the developer's environment away from the loopback addresses of the tests."""
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = HOST


@pytest.fixture(scope="session")
def portal() -> Iterator[BlockingPortal]:
    """The event loop, in a thread of its own, in which served apps run: `portal.call(middleware.drain)`."""
    with start_blocking_portal("asyncio") as portal:
        yield portal


@pytest.fixture
def serve(portal: BlockingPortal) -> Iterator[Serve]:
    """`serve(app)` starts uvicorn on a free loopback port and returns the base URL; all servers end with the test."""
    with ExitStack() as servers:
        yield lambda app: servers.enter_context(portal.wrap_async_context_manager(loopback(app)))


@pytest.fixture(scope="module")
def serve_module(portal: BlockingPortal) -> Iterator[Serve]:
    """Like `serve`, for servers that all tests of one file share."""
    with ExitStack() as servers:
        yield lambda app: servers.enter_context(portal.wrap_async_context_manager(loopback(app)))
