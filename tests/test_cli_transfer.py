"""`coo export` and `coo import`: everything arrives, once, whatever is killed, torn or altered on the way."""

from __future__ import annotations

import asyncio
import json
import stat
from dataclasses import replace
from time import sleep, time
from typing import TYPE_CHECKING

import pytest

from coo_middleware import load_config
from coo_middleware.at_rest import open_sealer
from coo_middleware.cache import Cache
from coo_middleware.cli.importing import Importer
from coo_middleware.core.transfer import Counter, ExportWriter, Head, Response
from coo_middleware.stores import TotalsPage, open_store
from coo_middleware.stores.sqlite import SqliteStore
from tests.commands import CANARY, count, run, start, write_config
from tests.purge_worker import make_entry, make_plan
from tests.redis_server import HOST, find_port

if TYPE_CHECKING:
    from pathlib import Path

KEYS = [bytes(range(number, number + 32)).hex() for number in (1, 2)]
ENTRIES = 6


def write_encrypted(folder: Path, name: str, *keys: str) -> str:
    """A configuration of a database in which responses are encrypted."""
    path = folder / f"{name}.yaml"
    runtime = {"type": "sqlite", "path": str(folder / f"{name}.db"), "encryption_keys": keys}
    path.write_text(json.dumps({"storage": {"runtime": runtime}}))
    return str(path)


def store(config: str, first: int = 0, created: float = 0.0) -> None:
    """Stores ENTRIES responses as the service would, of which the last one is purged again."""

    async def put() -> None:
        told = load_config(config)
        async with open_store(told.storage.runtime) as store:
            cache = Cache(store, 0, open_sealer(told))
            for number in range(first, first + ENTRIES):
                entry = make_entry(number, await cache.begin(), "old" if number == first + ENTRIES - 1 else "new")
                await cache.store(make_plan(number).key, replace(entry, created=created or time()))
            await store.purge(["tag:old"])

    asyncio.run(put())


def look_up(config: str, first: int = 0) -> list[float | None]:
    """When each response was created that the service finds, None where there is none."""

    async def find() -> list[float | None]:
        told = load_config(config)
        async with open_store(told.storage.runtime) as store:
            cache = Cache(store, 0, open_sealer(told))
            found = [await cache.look_up(make_plan(number)) for number in range(first, first + ENTRIES)]
            return [entry.created if entry else None for entry in found]

    return asyncio.run(find())


def totals(path: Path) -> dict[tuple[str, str, str], float]:
    """Every counter of a database."""

    async def read() -> TotalsPage:
        async with SqliteStore(path=path) as store:
            return await store.list_totals()

    return {(each.provider, each.key_id, each.metric): each.value for each in asyncio.run(read()).totals}


def run_json(*arguments: str) -> dict[str, int]:
    done = run(*arguments, "--json")
    assert (0, "") == (done.code, done.err)
    told: dict[str, int] = json.loads(done.out)
    return told


def test_a_store_moves_to_another(tmp_path: Path) -> None:
    """Totals, means among them, are equal; what was reusable is so, with its lifetime, and what was purged is not."""
    ours, theirs, file = write_config(tmp_path, "a"), write_config(tmp_path, "b"), str(tmp_path / "all.jsonl")
    count(tmp_path / "a.db")
    store(ours)
    written = run_json("export", file, "--config", ours)
    came = run_json("import", file, "--config", theirs)

    assert (ENTRIES - 1, 1) == (written["responses"], written["left_out"])
    assert (written["id"], written["counters"], ENTRIES - 1) == (came["id"], came["counters"], came["responses"])
    assert totals(tmp_path / "a.db") == pytest.approx(totals(tmp_path / "b.db"))
    assert ("openai", "first", "latency") in totals(tmp_path / "b.db")
    assert None not in look_up(ours)[:-1]
    assert look_up(ours) == look_up(theirs)


def test_what_is_imported_moves_no_window(tmp_path: Path) -> None:
    """A limit or a graph of today does not see what was counted long ago."""
    count(tmp_path / "a.db")
    file = str(tmp_path / "all.jsonl")
    run_json("export", file, "--config", write_config(tmp_path, "a"))
    run_json("import", file, "--config", write_config(tmp_path, "b"))
    windows = [
        json.loads(run("usage", "--json", "--window", window, "--config", write_config(tmp_path, "b")).out)
        for window in ("1h", "34d", "total")
    ]

    assert [0, 0, 6] == [each["all"]["requests"] for each in windows]


def test_what_is_done_again_counts_once(tmp_path: Path) -> None:
    """The second import finds everything there, and the totals stay."""
    ours, theirs, file = write_config(tmp_path, "a"), write_config(tmp_path, "b"), str(tmp_path / "all.jsonl")
    count(tmp_path / "a.db")
    store(ours)
    run_json("export", file, "--config", ours)
    first, before = run_json("import", file, "--config", theirs), totals(tmp_path / "b.db")
    again = run_json("import", file, "--config", theirs)

    assert (ENTRIES - 1, 0) == (first["responses"], first["kept"])
    assert (0, ENTRIES - 1) == (again["responses"], again["kept"])
    assert before == totals(tmp_path / "b.db")


def test_a_response_that_is_newer_stays(tmp_path: Path) -> None:
    """An import takes nothing away that the service has learnt since; what it has purged comes back."""
    ours, theirs, file = write_config(tmp_path, "a"), write_config(tmp_path, "b"), str(tmp_path / "all.jsonl")
    store(ours, created=time() - 5)
    store(theirs, created=time())
    run_json("export", file, "--config", ours, "--what", "cache")
    newer = look_up(theirs)
    kept = run_json("import", file, "--config", theirs)

    assert (0, ENTRIES - 1, newer) == (kept["responses"], kept["kept"], look_up(theirs))
    assert 0 == run("purge", "all", "--config", theirs).code
    assert ENTRIES - 1 == run_json("import", file, "--config", theirs)["responses"]
    assert look_up(ours) == look_up(theirs)


def test_what_is_encrypted_stays_so(tmp_path: Path) -> None:
    """No content stands in the file; with its keys it is imported under the new one, without them it is left out."""
    ours, file = write_encrypted(tmp_path, "a", KEYS[0]), tmp_path / "all.jsonl"
    store(ours)
    run_json("export", str(file), "--config", ours)
    rotated, others = write_encrypted(tmp_path, "b", KEYS[1], KEYS[0]), write_encrypted(tmp_path, "c", KEYS[1])
    came = run_json("import", str(file), "--config", rotated)
    foreign = run_json("import", str(file), "--config", others)

    assert ENTRIES - 1 == came["responses"] == foreign["unreadable"]
    assert look_up(ours) == look_up(rotated)
    assert look_up(ours) == look_up(write_encrypted(tmp_path, "b", KEYS[1]))
    assert "gpt-5" not in file.read_text()


def test_what_is_over_is_not_imported(tmp_path: Path) -> None:
    """A response's lifetime goes on while it lies in a file."""
    writer = ExportWriter(Head("0" * 32, 1.0, ("cache",)))
    file = tmp_path / "old.jsonl"
    file.write_bytes(writer.head + writer.add(Response("1" + "0" * 64, time() - 1, b"over")) + writer.end())

    assert 1 == run_json("import", str(file), "--config", write_config(tmp_path))["expired"]


def test_what_is_no_response_is_not_imported(tmp_path: Path) -> None:
    """Nor is one under another's key, whose digest would be correct."""
    writer = ExportWriter(Head("0" * 32, 1.0, ("cache",)))
    ours, file = write_config(tmp_path), tmp_path / "odd.jsonl"
    store(ours)
    run_json("export", str(file), "--config", ours)
    entry = next(json.loads(line) for line in file.read_text().splitlines() if "response" in line)
    name = make_plan(99).key
    responses = [Response(name, time() + 60, b"nothing"), Response(name, time() + 60, bytes.fromhex("00"))]
    raw = [writer.head, *map(writer.add, responses)]
    moved = writer._write({**entry, "response": name})
    file.write_bytes(b"".join(raw) + moved + writer.end())

    assert 3 == run_json("import", str(file), "--config", write_config(tmp_path, "b"))["unreadable"]


@pytest.mark.parametrize(("what", "kinds"), [("usage", (True, False)), ("cache", (False, True))])
def test_one_kind_alone(tmp_path: Path, what: str, kinds: tuple[bool, bool]) -> None:
    """`--what` takes one of both."""
    ours = write_config(tmp_path)
    count(tmp_path / "a.db")
    store(ours)
    told = run_json("export", str(tmp_path / "some.jsonl"), "--what", what, "--config", ours)

    assert kinds == (told["counters"] > 0, told["responses"] > 0)


def test_pipes(tmp_path: Path) -> None:
    """`-` is standard output and input; what is told of an export stands on standard error then."""
    ours, theirs = write_config(tmp_path, "a"), write_config(tmp_path, "b")
    count(tmp_path / "a.db")
    written = run("export", "-", "--config", ours)
    came = run("import", "-", "--config", theirs, content=written.out.encode())

    assert (0, 0) == (written.code, came.code)
    assert written.err.startswith("id         ")
    assert totals(tmp_path / "a.db") == pytest.approx(totals(tmp_path / "b.db"))


def test_a_file_is_for_its_owner_and_whole(tmp_path: Path) -> None:
    """It has its name when all of it is written, and nobody else may read it."""
    file = tmp_path / "all.jsonl"
    run_json("export", str(file), "--config", write_config(tmp_path))

    assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    assert not file.with_name("all.jsonl.part").exists()


def write_counters(file: Path, blocks: int = 20) -> list[bytes]:
    """An export of so many blocks, each of which adds 250 to one counter."""
    writer = ExportWriter(Head("a" * 32, 1.0, ("usage",)))
    lines = [writer.add(Counter("openai", "key1", "req", 1.0)) for _ in range(250 * blocks)]
    file.write_bytes(writer.head + b"".join(lines) + writer.end())
    return file.read_bytes().splitlines(keepends=True)


def wait_for(path: Path, least: float) -> float:
    """The counter in a database, when it is no less than that."""
    while True:
        found = totals(path).get(("openai", "key1", "req"), 0.0) if path.exists() else 0.0
        if found >= least:
            return found
        sleep(0.02)


@pytest.mark.parametrize("blocks", [1, 7, 13])
def test_an_import_that_is_killed_goes_on(tmp_path: Path, blocks: int) -> None:
    """Whichever block it was at: what it acknowledged is there, and done again, every counter is counted once."""
    file, config = tmp_path / "all.jsonl", write_config(tmp_path)
    lines = write_counters(file)
    with start("import", "-", "--config", config) as killed:
        assert killed.stdin is not None
        # In the middle of the next block.
        killed.stdin.writelines(lines[: 1 + 251 * blocks + 100])
        killed.stdin.flush()
        reached = wait_for(tmp_path / "a.db", 250.0 * blocks)
        killed.kill()
    told = run_json("import", str(file), "--config", config)

    assert 250.0 * blocks == reached
    assert 5000 == told["counters"]
    assert 5000.0 == totals(tmp_path / "a.db")["openai", "key1", "req"]


def test_an_altered_file_ends_behind_the_last_good_block(tmp_path: Path) -> None:
    """Exit code 2, the lines are named, what stands before them is there, and nothing else."""
    file, config = tmp_path / "all.jsonl", write_config(tmp_path)
    lines = write_counters(file)
    lines[600] = lines[600].replace(b"1.0", b"9.0")
    file.write_bytes(b"".join(lines))
    done = run("import", str(file), "--config", config)

    assert (2, "") == (done.code, done.out)
    assert "lines 504 to 754: altered or torn since they were exported\n" == done.err
    assert 500.0 == totals(tmp_path / "a.db")["openai", "key1", "req"]


def test_a_torn_file_is_mended_by_a_whole_one(tmp_path: Path) -> None:
    """What was imported of the torn one is not counted again."""
    file, config = tmp_path / "all.jsonl", write_config(tmp_path)
    lines = write_counters(file)
    torn = run("import", "-", "--config", config, content=b"".join(lines[:1000]))
    run_json("import", str(file), "--config", config)

    assert (2, "line 1001: the file ends before its last line; export it again\n") == (torn.code, torn.err)
    assert 5000.0 == totals(tmp_path / "a.db")["openai", "key1", "req"]


async def test_a_counter_that_no_store_takes_is_refused(tmp_path: Path) -> None:
    """Its block is not applied."""
    writer = ExportWriter(Head("0" * 32, 1.0, ("usage",)))
    counters = [Counter("openai", "key1", name, 1.0) for name in ("req", "x" * 3000)]
    lines = b"".join([writer.head, *map(writer.add, counters), writer.end()]).splitlines(keepends=True)
    sealer = open_sealer(load_config(write_config(tmp_path)))
    async with SqliteStore(path=tmp_path / "a.db") as store:
        with pytest.raises(ValueError, match="2048 bytes"):
            await Importer(store, sealer).import_lines(lines)

        assert 0.0 == await store.get_total("openai", "key1", "req")


@pytest.mark.parametrize("command", ["export", "import"])
def test_a_store_that_cannot_be_used(tmp_path: Path, command: str) -> None:
    """One in memory exits 2, one that is away 1; no file is left that looks like an export."""
    file, address = tmp_path / "all.jsonl", f"redis://app:{CANARY}@{HOST}:{find_port()}"
    (tmp_path / "m.yaml").write_text("storage: {runtime: {type: memory}}")
    (tmp_path / "r.yaml").write_text(f"storage: {{runtime: {{type: redis, addr: '{address}'}}}}")
    content = write_counters(tmp_path / "some.jsonl", 1)
    ends = [
        run(
            command,
            "-" if command == "import" else str(file),
            "--config",
            str(tmp_path / name),
            content=b"".join(content),
        )
        for name in ("m.yaml", "r.yaml")
    ]

    assert [2, 1] == [done.code for done in ends]
    assert ["", ""] == [done.out for done in ends]
    assert not file.exists()


def test_other_kinds_exit_2(tmp_path: Path) -> None:
    """The message names those that there are."""
    done = run("export", str(tmp_path / "x"), "--what", "secrets", "--config", write_config(tmp_path))

    assert (2, "what: must be some of cache, usage, with commas between them\n") == (done.code, done.err)
