"""Fixtures that any test may use: real servers on the loopback interface."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import settings
from starlette.types import ASGIApp

from example_app.loopback import HOST, loopback
from tests.proof import figures
from tests.redis_server import Server, start, start_cluster, start_sentinel

Serve = Callable[[ASGIApp], str]

# How long an example takes says something about the machine, not about the code.
settings.register_profile("coo", deadline=None)
settings.load_profile("coo")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the proofs have found out; with several test processes each keeps its own."""
    for figure in figures:
        terminalreporter.write_line(figure)


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


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Redis of this test process's own."""
    with start(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_url(request: pytest.FixtureRequest) -> str:
    """The URL of a Redis that nobody stops: COO_TEST_REDIS_URL, else our own."""
    return os.environ.get("COO_TEST_REDIS_URL") or f"redis://{request.getfixturevalue('redis_server').addr}"


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Three nodes that share the slots of a cluster."""
    with start_cluster(tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes


@pytest.fixture(scope="session")
def redis_sentinel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """A sentinel and the server that it leads to."""
    folder = tmp_path_factory.mktemp("sentinel")
    with start(_make(folder / "master")) as master, start_sentinel(folder, master, []) as sentinel:
        yield sentinel, master


def _make(folder: Path) -> Path:
    folder.mkdir()
    return folder
