"""What answers scrapers: closed where it has a token, honest where it cannot tell."""

from __future__ import annotations

import gzip
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import httpx
import pytest

from coo_middleware import Record, StoreError
from coo_middleware.core.exports import PrometheusExport
from coo_middleware.core.label_values import LabelValues
from coo_middleware.exporters.prometheus import FleetView, ProcessView
from coo_middleware.exporters.scrapes import open_scrapes
from coo_middleware.stores import RuntimeStore, TotalsPage
from coo_middleware.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN: Final = "a-token-of-24-characters"
OPEN: Final = PrometheusExport(enabled=True)
CLOSED: Final = replace(OPEN, token=TOKEN)
RECORD: Final = Record("openai", "k", "chat", "gpt-5", 200, "miss", None, 1.0, "", "")


class Failing(MemoryStore):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def list_totals(self, cursor: str = "") -> TotalsPage:
        raise self.error


class Silent(MemoryStore):
    async def list_totals(self, cursor: str = "") -> TotalsPage:
        told = await RuntimeStore.list_totals(self, cursor)
        assert told is None
        return told  # type: ignore[return-value]  # as the default does


async def ask(
    path: str = "/metrics",
    *,
    method: str = "GET",
    settings: PrometheusExport = OPEN,
    store: RuntimeStore | None = None,
    headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
) -> httpx.Response:
    names = LabelValues([])
    process = ProcessView(settings, names, dict)
    process.observe(RECORD)
    app = open_scrapes(settings, process, FleetView(store or MemoryStore(), settings, names))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://proxy") as client:
        return await client.request(method, path, headers=headers)


async def test_each_path_has_its_view() -> None:
    """Neither view has a metric of the other one."""
    process, fleet = await ask(), await ask("/metrics/fleet")

    assert "coo_requests_total{" in process.text
    assert "coo_fleet_" not in process.text
    assert "coo_fleet_requests_total" in fleet.text
    assert "\ncoo_requests" not in fleet.text


@pytest.mark.parametrize(
    ("expected", "accept"),
    [
        ("text/plain; version=0.0.4; charset=utf-8", "*/*"),
        ("text/plain; version=1.0.0", "text/plain;version=1.0.0"),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"),
    ],
)
async def test_the_scraper_chooses_the_format(expected: str, accept: str) -> None:
    """The content type is the one that Accept asks for, and nothing in between keeps the answer."""
    answer = await ask(headers={"accept": accept})

    assert answer.headers["content-type"].startswith(expected)
    assert "no-store" == answer.headers["cache-control"]


async def test_it_is_compressed_where_that_is_asked_for() -> None:
    """gzip is used for whoever takes it, and for nobody else."""
    compressed = await ask(headers={"accept-encoding": "gzip"})
    plain = await ask(headers={"accept-encoding": "identity"})

    assert "gzip" == compressed.headers["content-encoding"]
    assert len(gzip.compress(plain.content, 5)) == int(compressed.headers["content-length"])
    assert compressed.content == plain.content


async def test_head_is_get_without_its_content() -> None:
    """HEAD has the fields of GET."""
    head, get = await ask(method="HEAD"), await ask()

    assert b"" == head.content
    assert get.headers == head.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_nothing_but_reading_is_allowed(method: str) -> None:
    """Other methods are refused, with those that are not."""
    answer = await ask(method=method)

    assert (405, "GET, HEAD") == (answer.status_code, answer.headers["allow"])


@pytest.mark.parametrize("path", ["/metrics", "/metrics/fleet"])
@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("authorization", "Bearer ")],
        [("authorization", f"Bearer {TOKEN}x")],
        [("authorization", f"Basic {TOKEN}")],
        [("authorization", TOKEN)],
        [("authorization", f"Bearer {TOKEN}"), ("authorization", "Bearer x")],
    ],
)
async def test_without_the_token_nothing_is_told(path: str, headers: list[tuple[str, str]]) -> None:
    """A wrong token, none and two are refused on both paths, whatever the method."""
    for method in ("GET", "POST"):
        answer = await ask(path, method=method, settings=CLOSED, headers=headers)

        assert (401, "Bearer") == (answer.status_code, answer.headers["www-authenticate"])
        assert "coo_" not in answer.text


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
async def test_the_token_opens(scheme: str) -> None:
    """Whoever has the token is told, however the scheme is written."""
    assert 200 == (await ask(settings=CLOSED, headers={"authorization": f"{scheme} {TOKEN}"})).status_code


@pytest.mark.parametrize(
    ("expected", "store"),
    [
        (501, Silent()),
        (503, Failing(StoreError("the store is away"))),
        (500, Failing(RuntimeError("a prompt"))),
    ],
)
async def test_a_store_that_cannot_tell_is_said_so(
    expected: int, store: RuntimeStore, caplog: pytest.LogCaptureFixture
) -> None:
    """The fleet's metrics are refused in words, the process's own are not, and no error's text gets out."""
    answer = await ask("/metrics/fleet", store=store)

    assert expected == answer.status_code
    assert "a prompt" not in answer.text + caplog.text
    assert 200 == (await ask(store=store)).status_code


async def test_without_a_fleet_path_there_is_no_fleet() -> None:
    """An empty setting leaves this process's own metrics."""
    answer = await ask("/metrics/fleet", settings=replace(OPEN, fleet_path=""))

    assert "coo_fleet_" not in answer.text
