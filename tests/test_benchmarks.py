"""The harness of benchmarks/ runs, with tiny counts, and what a request costs in instructions stays what it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import crowds, elsewhere, gate, in_process, scale, sockets, windows
from benchmarks.contenders import BARE, COLD, OURS, PASS, UNMETERED
from benchmarks.effort import Effort
from benchmarks.handler import Upstream
from benchmarks.modes import MissedError, hit
from benchmarks.places import open_place
from benchmarks.report import MARK, write
from benchmarks.results import Results, Table
from benchmarks.rounds import compare
from benchmarks.targets import judge

ROOT = Path(__file__).parent.parent
AMONG = (BARE, PASS, OURS)
TINY = Effort(
    rounds=1,
    batch_seconds=0.0,
    sizes=("200 B",),
    entries=(10, 20),
    peer_entries=10,
    increments=(1_000, 2_000),
    crowds=(5,),
    load_rounds=1,
    load_seconds=0.01,
    groups=1,
)


def names_of(table: Table) -> list[object]:
    return [row[0] for row in table.rows]


def count_instructions() -> dict[str, int]:
    """Counted in a process of its own, where no measuring of coverage wants to trace as well."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-m", "benchmarks.gate"]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True, timeout=100)
    counted: dict[str, int] = json.loads(done.stdout)
    return counted


def test_a_request_costs_the_instructions_that_are_kept() -> None:
    """No mode costs 15 % more instructions than gate.json has, on the version of Python that it was made with."""
    kept = json.loads(gate.KEPT.read_text())
    if kept["python"] != gate.VERSION:
        pytest.skip(f"gate.json is of Python {kept['python']}")

    assert [] == gate.find_changes(kept["instructions"], count_instructions())


def test_a_regression_would_be_seen() -> None:
    """More than 15 % off, in either direction, is a change, and so are a mode that is new and one that is gone."""
    kept = {"hit": 100, "miss": 200}

    assert [] == gate.find_changes(kept, {"hit": 115, "miss": 170})
    assert 2 == len(gate.find_changes(kept, {"hit": 116, "miss": 169}))
    assert 2 == len(gate.find_changes(kept, {"hit": 100, "other": 1}))


def test_instructions_are_counted_where_they_run() -> None:
    """The counter sees the code of others, and not the harness's own."""
    with gate.Counter() as counter:
        len(names_of(Table("", "", (), ())))
    own = counter.instructions
    with counter:
        json.dumps({"more": ["than", "nothing"]}, indent=1)

    assert 0 < own < counter.instructions - own


async def test_modes_run_in_process() -> None:
    """Every mode has a table with all contenders, and a figure for each."""
    found = await in_process.measure(TINY, AMONG)

    assert [[each.name for each in AMONG]] * 6 == [names_of(table) for table in found.tables]
    assert found.figures[f"hit/200 B/{OURS.name}/µs"] > 0
    assert 0 == found.figures[f"miss/200 B/{PASS.name}/over"]


async def test_a_cache_that_does_not_answer_is_not_measured() -> None:
    """A figure of hits is one of hits."""
    with open_place("memory") as place:
        forgetful = replace(BARE.make(Upstream(), place), caches=True)
        with pytest.raises(MissedError):
            await hit(forgetful, 200, 0.0)


async def test_stores_and_their_round_trips_are_measured() -> None:
    """In sqlite and in Redis; a hit of the first level is no trip, and one without a first level is one."""
    found = await elsewhere.measure(TINY, (PASS, OURS, COLD))

    assert [[PASS.name, OURS.name, COLD.name]] * 3 == [names_of(table) for table in found.tables]
    assert 0 == found.figures[f"redis hit, in the way/4 KB/{OURS.name}/trips"]
    assert 1 == found.figures[f"redis hit, in the way/4 KB/{COLD.name}/trips"]


async def test_crowds_are_counted() -> None:
    """Without us the provider is asked by each of the crowd, with us once."""
    found = await crowds.measure(TINY, (BARE, OURS))

    assert 5 == found.figures[f"crowd/memory, 5/{BARE.name}/calls"]
    assert [1, 1] == [found.figures[f"crowd/{kind}, 5/{OURS.name}/calls"] for kind in ("memory", "redis")]


async def test_windows_are_measured() -> None:
    """In every store of ours."""
    found = await windows.measure(TINY, AMONG)

    assert ["memory", "sqlite", "redis"] == names_of(found.tables[0])


async def test_many_entries_are_measured() -> None:
    """Contenders that cache, each in a process of its own."""
    found = await scale.measure(TINY, (PASS, UNMETERED))

    assert [UNMETERED.name] == names_of(found.tables[0])
    assert found.figures[f"scale/{UNMETERED.name}/hit x"] > 0


async def test_servers_are_put_under_load() -> None:
    """Every mode of the first group answers over sockets."""
    found = await sockets.measure(TINY, (BARE, OURS))

    assert [[BARE.name, OURS.name]] * 6 == [names_of(table) for table in found.tables]
    assert all(found.figures[f"sockets, hit/4 KB/{each.name}/req/s"] > 0 for each in (BARE, OURS))


def test_figures_are_medians_within_rounds() -> None:
    """A ratio is the median of the rounds' ratios, not the ratio of medians."""
    figure = compare([2e-6, 3e-6, 10e-6], [1e-6, 3e-6, 2e-6])

    assert (3.0, 2.0, 1.0) == (round(figure.microseconds, 6), round(figure.ratio, 6), round(figure.over, 6))


def test_targets_are_judged_where_they_were_measured() -> None:
    """A target whose figures are there is met or not; the others are left out."""
    mode = "sockets, miss/4 KB"
    figures = {
        f"hit/4 KB/{OURS.name}/µs": 6.0,
        "hit/4 KB/least cache, whole (c3)/µs": 5.0,
        "hit/4 KB/aiocache/µs": 12.0,
    }
    table = judge({**figures, f"{mode}/{OURS.name}/x (c)": 0.8})

    assert ["yes", "no", "no"] == [row[3] for row in table.rows]
    assert [1.2, 0.5, 0.8] == [row[2] for row in table.rows]


def test_a_run_is_written_below_what_people_wrote(tmp_path: Path) -> None:
    """The page keeps what stands above the mark; the JSON has the same figures; plots are made of them."""
    (tmp_path / "benchmarks.md").write_text(f"Words.\n\n{MARK}old")
    rows = (("bare", 0.031, 1234.5, None), ("ours", 3.14159, 45.67, 0.0))
    table = Table("Title", "Note.", ("contender", "a", "b", "c"), rows)
    results = Results([table], {"hit/4 KB/bare handler/µs": 12.0, f"hit/4 KB/{OURS.name}/µs": 3.0})

    write(tmp_path, {"seed": "8"}, results)
    page = (tmp_path / "benchmarks.md").read_text()

    assert page.startswith(f"Words.\n\n{MARK}\n- seed: 8\n")
    assert "| bare | 0.031 | 1,234 |  |\n| ours | 3.14 | 45.7 | 0.0 |" in page
    assert results.figures == json.loads((tmp_path / "benchmarks.json").read_text())["figures"]
    assert ">3.0</text>" in (tmp_path / "images" / "bench-hit.svg").read_text()


def test_the_published_run_is_whole() -> None:
    """docs/benchmarks.json has figures of every section."""
    figures = json.loads((ROOT / "docs" / "benchmarks.json").read_text())["figures"]
    sections = ("hit/", "miss/", "redis hit/", "crowd/", "window/", "scale/", "sockets, hit/")

    assert [] == [section for section in sections if not any(name.startswith(section) for name in figures)]
