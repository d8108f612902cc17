"""What Prometheus is told: true, never less than before, and bounded."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from coo_middleware import Record, RuntimeStore, StoreError, Usage
from coo_middleware.core.exports import PrometheusExport
from coo_middleware.core.label_values import LabelValues
from coo_middleware.core.series import count_series
from coo_middleware.exporters.prometheus import FleetView, NotListedError, ProcessView, Reading
from coo_middleware.stores import Total, TotalsPage
from coo_middleware.stores.memory import MemoryStore
from tests.asgi import CHAT
from tests.redis_server import find_port
from tests.replica_worker import CONTEXT, DRAINED, Upstream
from tests.scrape_worker import serve

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from prometheus_client import Metric

WORKERS: Final = 4
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0"
SETTINGS: Final = PrometheusExport(enabled=True)
NAMES: Final = LabelValues([])
RECORD: Final = Record("openai", "k", "chat", "gpt-5", 200, "miss", Usage(9, 2), 1.0, "", "")
HOSTILE: Final = ('a"b', "a\\b", "a\nb", "x" * 10_000, "模型", "a b", "}", "le", "\ud800", "\x00", "{a=b}", "#", "")

Sample = tuple[str, tuple[tuple[str, str], ...]]


def records(*models: str) -> st.SearchStrategy[Record]:
    return st.builds(
        Record,
        st.sampled_from(["openai", "elsewhere"]),
        st.just("k"),
        st.just("chat"),
        st.sampled_from(["", "gpt-5", *models]),
        st.sampled_from([0, 200, 429, 500]),
        st.sampled_from(["hit", "stale", "collapsed", "miss", "bypass"]),
        st.none() | st.builds(Usage, st.integers(0, 99), st.none() | st.integers(0, 99), st.integers(0, 9)),
        st.floats(0, 200),
        st.sampled_from(["", "exception", "status", "cut", "client_disconnect", "limited"]),
        st.just(""),
        cost=st.none() | st.floats(0, 1),
        asked=st.booleans(),
        first_chunk=st.none() | st.floats(0, 200),
        chunk_gap=st.none() | st.floats(0, 200),
    )


def samples(text: str, *, openmetrics: bool = False) -> dict[Sample, float]:
    read = read_openmetrics if openmetrics else read_text
    families: Iterable[Metric] = read(text)
    return {(each.name, (*each.labels.items(),)): each.value for family in families for each in family.samples}


def told(reading: Reading) -> dict[Sample, float]:
    return samples(reading.render("")[0].decode())


def values(found: dict[Sample, float], name: str, *labels: str) -> Counter[tuple[str, ...]]:
    """The samples of this name, summed by these labels."""
    sums: Counter[tuple[str, ...]] = Counter()
    for (sample, pairs), value in found.items():
        if sample == name:
            sums[tuple(dict(pairs)[label] for label in labels)] += int(value)
    return sums


def process() -> ProcessView:
    return ProcessView(SETTINGS, NAMES, dict)


async def fill(store: RuntimeStore, *given: Record) -> None:
    for record in given:
        for metric, amount in count_series(record):
            await store.increment_usage(record.provider, record.key_id, metric, amount)


async def test_a_request_is_told() -> None:
    """One call moves the request's, the tokens', the cost's and the time's metrics, by what it was."""
    view = ProcessView(SETTINGS, NAMES, lambda: {"misses": 3})
    view.observe(replace(RECORD, cost=0.5, first_chunk=0.2, chunk_gap=0.03, overhead=0.002, store_time=0.001))
    found = told(await view.collect())

    assert {("openai", "other", "gpt-5", "miss", "2xx"): 1} == values(
        found, "coo_requests_total", "provider", "key", "model", "cache", "status_class"
    )
    assert {("input",): 9, ("output",): 2} == values(found, "coo_tokens_total", "type")
    assert 0.5 == next(value for (name, _), value in found.items() if name == "coo_cost_dollars_total")
    assert {("misses",): 3} == values(found, "coo_events_total", "event")
    assert {("0.01",): 0, ("0.64",): 0, ("1.28",): 1, ("+Inf",): 1}.items() <= values(
        found, "coo_request_duration_seconds_bucket", "le"
    ).items()
    for name in ("first_chunk", "chunk_gap", "overhead", "store"):
        assert {(): 1} == values(found, f"coo_{name}_seconds_count")


async def test_a_hit_saves_and_costs_nothing() -> None:
    """What was reused moves what is saved, and neither tokens nor costs."""
    view = process()
    view.observe(replace(RECORD, cache_status="hit", cost=2.0))
    found = told(await view.collect())

    assert {("gpt-5",): 11} == values(found, "coo_tokens_saved_total", "model")
    assert {("gpt-5",): 2} == values(found, "coo_cost_saved_dollars_total", "model")
    assert {} == values(found, "coo_tokens_total") == values(found, "coo_cost_dollars_total")


async def test_a_refused_request_is_no_failure() -> None:
    """What limits refused is a metric of its own."""
    view = process()
    view.observe(replace(RECORD, status=429, error_type="limited", asked=False, usage=None))
    view.observe(replace(RECORD, error_type="cut"))
    found = told(await view.collect())

    assert {(): 1} == values(found, "coo_limited_total")
    assert {("cut",): 1} == values(found, "coo_failures_total", "error_type")


@given(st.lists(records('a"b', "a:b%", "模型"), max_size=8))
def test_process_and_fleet_say_the_same_of_the_same(given: list[Record]) -> None:
    """What both views have is equal where one process counted all: the store has lost nothing on the way."""

    async def both() -> tuple[dict[Sample, float], dict[Sample, float]]:
        view, store = process(), MemoryStore()
        for record in given:
            view.observe(record)
        await fill(store, *given)
        return told(await view.collect()), told(await FleetView(store, SETTINGS, NAMES).collect())

    own, fleet = asyncio.run(both())

    assert fleet == pytest.approx(
        {
            (n.replace("coo_", "coo_fleet_"), p): v
            for (n, p), v in own.items()
            if (n.replace("coo_", "coo_fleet_"), p) in fleet
        }
    )
    assert {name.removeprefix("coo_fleet_") for name, _ in fleet} <= {name.removeprefix("coo_") for name, _ in own}


@given(st.lists(records(*HOSTILE), max_size=5))
def test_both_parsers_read_both_formats(given: list[Record]) -> None:
    """Whatever callers name their models, the text is valid in Prometheus' format and in OpenMetrics."""
    view = process()
    for record in given:
        view.observe(record)
    reading = asyncio.run(view.collect())
    text, content_type = reading.render(OPENMETRICS)

    assert samples(text.decode(), openmetrics=True) == told(reading)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith(b"# EOF\n")


@pytest.mark.parametrize("model", HOSTILE)
async def test_a_hostile_model_adds_a_line_at_most(model: str) -> None:
    """A model's name stands in its label alone, whole or as `other`."""
    view = process()
    view.observe(replace(RECORD, model=model))
    found = values(told(await view.collect()), "coo_requests_total", "model")

    assert found in ({(model,): 1}, {("other",): 1}, {("none",): 1})


async def test_ten_thousand_models_stay_under_the_cap() -> None:
    """Models that callers make up are counted, in no more series than `max_series`, in both views."""
    view, listed = process(), []
    for number in range(10_000):
        record = replace(RECORD, model=f"made-up-{number}")
        view.observe(record)
        listed += [Total("openai", "k", metric, amount) for metric, amount in count_series(record)]
    own = told(await view.collect())
    fleet = told(await FleetView(Pages(TotalsPage(tuple(listed))), SETTINGS, NAMES).collect())

    for prefix, found in (("coo_", own), ("coo_fleet_", fleet)):
        # The histograms of overhead and store have no model, and so no part in the ration.
        assert len([name for name, _ in found if "overhead" not in name and "store" not in name]) <= 5001
        assert {(): 10_000} == values(found, f"{prefix}requests_total")


async def test_the_fleet_sees_past_the_cap_without_going_down() -> None:
    """Further label sets beyond the cap lessen no sample, in whichever process one looks."""
    settings, store = replace(SETTINGS, max_series=40), MemoryStore()
    before: dict[Sample, float] = {}
    for number in range(60):
        await fill(store, replace(RECORD, model=f"model-{number}"))
        found = told(await FleetView(store, settings, NAMES).collect())

        assert [] == [name for name, value in before.items() if found.get(name, value) < value]
        before = found


class Pages(MemoryStore):
    """Lists what it is given, counts how often it is asked."""

    def __init__(self, *pages: TotalsPage | Exception | None) -> None:
        super().__init__()
        self.pages, self.asked = pages, 0

    async def list_totals(self, cursor: str = "") -> TotalsPage | None:  # type: ignore[override]  # as others may
        self.asked += 1
        page = self.pages[int(cursor or 0) % len(self.pages)]
        if isinstance(page, Exception):
            raise page
        return page


def total(metric: str, value: float) -> Total:
    return Total("openai", "k", metric, value)


async def test_all_pages_are_read() -> None:
    """Counters on a later page count, and what is no series does not."""
    first = TotalsPage((total("requests:gpt:hit:2xx", 3), total("req", 9), total("duration:gpt:hit:soon", 1)), "1")
    store = Pages(first, TotalsPage((total("requests:gpt:miss:2xx", 4),)))
    found = told(await FleetView(store, SETTINGS, NAMES).collect())

    assert {("hit",): 3, ("miss",): 4} == values(found, "coo_fleet_requests_total", "cache")
    assert 2 == len(found)


async def test_scrapers_that_come_together_cost_one_reading() -> None:
    """For a second the store is not read again, and afterwards it is."""
    now, store = [0.0], Pages(TotalsPage(()))
    view = FleetView(store, SETTINGS, NAMES, now=lambda: now[0])
    await asyncio.gather(*(view.collect() for _ in range(5)))
    assert 1 == store.asked

    now[0] = 1.0
    await view.collect()
    assert 2 == store.asked


@pytest.mark.parametrize(
    ("expected", "page"),
    [
        (NotListedError, None),
        (StoreError, StoreError("gone")),
        (StoreError, TotalsPage((total("requests:gpt:hit:2xx", 1),) * 60, "0")),
    ],
)
async def test_a_store_that_cannot_tell_is_told(
    expected: type[Exception], page: TotalsPage | Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store without a list, one that fails and one without an end raise, and are asked again by the next scrape."""
    monkeypatch.setattr("coo_middleware.exporters.prometheus._MOST_COUNTERS", 100)
    view = FleetView(Pages(page), SETTINGS, NAMES)

    for _ in range(2):
        with pytest.raises(expected):
            await view.collect()


async def test_a_store_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scraper does not wait for ever."""

    class Hanging(MemoryStore):
        async def list_totals(self, cursor: str = "") -> TotalsPage:
            await asyncio.Event().wait()
            return TotalsPage(())

    monkeypatch.setattr("coo_middleware.exporters.prometheus._MOST_SECONDS", 0.01)

    with pytest.raises(StoreError, match="did not list"):
        await FleetView(Hanging(), SETTINGS, NAMES).collect()


@contextmanager
def workers(path: Path) -> Iterator[list[str]]:
    """Processes over one SQLite file, by their addresses."""
    runtime = {
        "type": "sqlite",
        "path": str(path / "coo.db"),
        "write_deadline_seconds": 10,
        "read_deadline_seconds": 10,
    }
    config = {"storage": {"runtime": runtime}, "policy": {"cache": {"ttl_seconds": 600, "scope": "shared"}}}
    ports = [find_port() for _ in range(WORKERS)]
    upstream = Upstream(path / "calls", silence=0.002)
    processes = [CONTEXT.Process(target=serve, args=(config, upstream, port), daemon=True) for port in ports]
    for each in processes:
        each.start()
    try:
        yield [f"http://127.0.0.1:{port}" for port in ports]
    finally:
        for each in processes:
            each.kill()
            each.join()


async def wait_for(client: httpx.AsyncClient, url: str) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await client.get(url + DRAINED)
            except httpx.TransportError:
                await asyncio.sleep(0.05)
            else:
                return


class Load:
    """Clients of all workers, which count what they get."""

    def __init__(self, client: httpx.AsyncClient, urls: list[str]) -> None:
        self.client, self.urls = client, urls
        self.requests: Counter[tuple[str, ...]] = Counter()
        self.tokens = self.saved = 0

    async def run(self, number: int, times: int) -> None:
        for turn in range(times):
            prompt = f"{(number + turn) % 25}"
            body = {"model": f"model-{turn % 3}", "messages": [{"role": "user", "content": prompt}]}
            answer = await self.client.post(self.urls[(number + turn) % WORKERS] + CHAT, json=body)
            self.count(body["model"], answer)

    def count(self, model: object, answer: httpx.Response) -> None:
        cache = answer.headers["x-coo-cache"].lower()
        self.requests[str(model), cache] += 1
        tokens = json.loads(answer.content)["usage"]["total_tokens"]
        self.tokens += tokens * (cache == "miss")
        self.saved += tokens * (cache != "miss")


async def scrape(client: httpx.AsyncClient, url: str) -> dict[Sample, float]:
    answer = await client.get(url + "/metrics/fleet", headers={"accept": OPENMETRICS})
    assert 200 == answer.status_code, answer.text
    return samples(answer.text, openmetrics=True)


async def watch(client: httpx.AsyncClient, url: str, ended: asyncio.Event) -> int:
    """Scrapes until the load has ended; how often. No sample may ever be less than before."""
    before, times = await scrape(client, url), 1
    while not ended.is_set():
        found, times = await scrape(client, url), times + 1
        assert [] == [name for name, value in before.items() if found.get(name, 0.0) < value]
        before = found
        await asyncio.sleep(0.1)
    return times


async def test_the_fleet_is_the_sum_of_what_clients_counted(tmp_path: Path) -> None:
    """Four processes serve under load and are scraped meanwhile: nothing goes down, and in the end all is counted."""
    with workers(tmp_path) as urls:
        async with httpx.AsyncClient(timeout=60) as client, asyncio.TaskGroup() as group:
            for url in urls:
                await wait_for(client, url)
            load, ended = Load(client, urls), asyncio.Event()
            watching = [group.create_task(watch(client, url, ended)) for url in urls[1:]]
            await asyncio.gather(*(load.run(number, 15) for number in range(20)))
            ended.set()
            await asyncio.wait(watching)
            for url in urls:
                await client.get(url + DRAINED)
            # Nobody has asked this one before, so it has kept nothing.
            fleet = await scrape(client, urls[0])

    assert load.requests == values(fleet, "coo_fleet_requests_total", "model", "cache")
    assert {(): load.tokens} == values(fleet, "coo_fleet_tokens_total")
    assert {(): load.saved} == values(fleet, "coo_fleet_tokens_saved_total")
    assert {(): 300} == values(fleet, "coo_fleet_request_duration_seconds_count")
    assert all(each.result() > 1 for each in watching)
