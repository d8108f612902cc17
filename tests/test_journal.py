"""stores/journal.py: what is acknowledged survives, whatever happens to its process or its disk."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import resource
import shutil
import stat
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.backlog import Amount, Batch
from coo_middleware.stores import StoreError
from coo_middleware.stores import journal as module
from coo_middleware.stores.journal import Journal
from tests.journal_kills import AMOUNTS, applied, kill, make_batch
from tests.journal_steps import LEFT, OWN, Failing, Killing, Life, Recording, recover
from tests.proof import PROOF, report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GOOD = ["openai", "key1", "req", 1_700_000_000.25, 1.5, 2]


def line(text: str | bytes) -> bytes:
    """A record whose checksum is right, whatever it says."""
    raw = text.encode() if isinstance(text, str) else text
    return b"\n%08x %b\n" % (crc32(raw), raw)


def lose(journal: Journal) -> None:
    """What a kill does to a journal: its lock is gone, its file stays."""
    os.close(journal._file)


def begin(folder: Path, writer: str = "a", batches: int = 0) -> Journal:
    """An open journal with so many batches."""
    journal = Journal(folder, writer)
    journal.open()
    for sequence in range(1, batches + 1):
        journal.append(make_batch(writer, sequence))
    return journal


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_batch_comes_back_as_it_was(tmp_path: Path) -> None:
    """Any text as a name, any finite number: what is adopted is what was appended."""
    names = ("", "ключ"), ("a\nb", "\x00"), ('"', "\\"), ("1 2", "模型")
    batch = Batch("a", 7, tuple(Amount((*name, "req"), 0.1, -1e300 / 3, 10**9) for name in names))
    journal = begin(tmp_path)
    journal.append(batch)
    lose(journal)

    assert [batch] == Journal(tmp_path, "b").open()


def test_batches_come_back_in_their_order(tmp_path: Path) -> None:
    """A store knows the last number of each writer only: an earlier one that came later would be lost."""
    lose(begin(tmp_path, "a", 12))
    second = begin(tmp_path, "b", 3)
    lose(second)
    sent = [(batch.writer, batch.sequence) for batch in Journal(tmp_path, "c").open()]

    assert [("a", number) for number in range(1, 13)] + [("b", number) for number in range(1, 4)] == sent


def test_forgotten_batch_does_not_come_back(tmp_path: Path) -> None:
    """What the store has is not sent again."""
    journal = begin(tmp_path, batches=3)
    journal.forget(make_batch("a", 2))
    lose(journal)

    assert [make_batch("a", 1), make_batch("a", 3)] == Journal(tmp_path, "b").open()


def test_orphans_are_adopted_once(tmp_path: Path) -> None:
    """What one process took over the next does not get, until that one is gone too."""
    lose(begin(tmp_path, batches=2))
    heir = Journal(tmp_path, "b")
    adopted = heir.open()
    assert [make_batch("a", 1), make_batch("a", 2)] == adopted
    assert [] == Journal(tmp_path, "c").open()
    heir.forget(adopted[0])
    lose(heir)

    assert [make_batch("a", 2)] == Journal(tmp_path, "d").open()


def test_live_processes_keep_their_own(tmp_path: Path) -> None:
    """Several journals work in one folder, and none takes what a living one holds."""
    first, second = begin(tmp_path, "a", 2), begin(tmp_path, "b", 2)
    assert [] == Journal(tmp_path, "c").open()
    first.append(make_batch("a", 3))
    lose(first)
    lose(second)

    assert 5 == len(Journal(tmp_path, "d").open())


def test_name_of_a_living_process_is_refused(tmp_path: Path) -> None:
    """Two processes that write under one name would lose each other's batches."""
    living = begin(tmp_path, "a", 1)
    with pytest.raises(StoreError, match="could not be opened"):
        Journal(tmp_path, "a").open()
    living.append(make_batch("a", 2))
    lose(living)

    assert 2 == len(Journal(tmp_path, "b").open())


def test_own_file_is_taken_up_again(tmp_path: Path) -> None:
    """A process that comes back under its old name gets what it left."""
    lose(begin(tmp_path, "a", 2))

    assert [make_batch("a", 1), make_batch("a", 2)] == Journal(tmp_path, "a").open()
    assert ["a.journal"] == names_in(tmp_path)


def test_open_again_gives_nothing_twice(tmp_path: Path) -> None:
    """Opening is harmless where it is open, and after a close: what this object holds already is not given again."""
    journal = begin(tmp_path, "a", 2)
    assert [] == journal.open()
    journal.close()
    assert [] == journal.open()
    journal.append(make_batch("a", 3))
    lose(journal)

    assert 3 == len(Journal(tmp_path, "b").open())


def test_close_leaves_what_waits(tmp_path: Path) -> None:
    """A journal without anything in wait removes its file; another leaves it to the next process. Twice is harmless."""
    empty, full = begin(tmp_path, "a", 1), begin(tmp_path, "b", 1)
    empty.forget(make_batch("a", 1))
    for journal in (empty, full, full):
        journal.close()
    assert ["b.journal"] == names_in(tmp_path)

    assert [make_batch("b", 1)] == Journal(tmp_path, "c").open()


def test_replaced_batches_do_not_come_back(tmp_path: Path) -> None:
    """Merged ones stand in the place of those that were never sent, behind those that may have been."""
    journal = begin(tmp_path, batches=4)
    merged = Batch("a", 2, make_batch("a", 2).amounts + make_batch("a", 3).amounts + make_batch("a", 4).amounts)
    journal.replace([make_batch("a", number) for number in (2, 3, 4)], [merged])
    lose(journal)

    assert [make_batch("a", 1), merged] == Journal(tmp_path, "b").open()


def test_file_does_not_grow_with_the_traffic(tmp_path: Path) -> None:
    """It is rewritten when what is done with outweighs what waits, even if something always waits."""
    journal = begin(tmp_path, batches=1)
    largest = 0
    for sequence in range(2, 2_000):
        journal.append(make_batch("a", sequence))
        journal.forget(make_batch("a", sequence - 1))
        largest = max(largest, (tmp_path / "a.journal").stat().st_size)
    lose(journal)

    assert largest < 2 * module._COMPACT_BYTES
    assert [make_batch("a", 1_999)] == Journal(tmp_path, "b").open()


def test_only_the_owner_may_look(tmp_path: Path) -> None:
    """The folder is made with 0700 and the file with 0600, whatever the umask."""
    mask = os.umask(0)
    try:
        begin(tmp_path / "storage" / "journal", batches=1)
    finally:
        os.umask(mask)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "storage").rglob("*")]
    modes.append(stat.S_IMODE((tmp_path / "storage" / "journal").stat().st_mode))

    assert {0o700, 0o600} == set(modes)


@pytest.mark.parametrize("name", ["a.journal", "a.draft"])
def test_symbolic_link_is_never_followed(tmp_path: Path, name: str) -> None:
    """A file elsewhere is neither read nor written through a link in the folder."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"precious")
    folder = tmp_path / "journal"
    folder.mkdir()
    (folder / name).symlink_to(elsewhere)
    journal = Journal(folder, "a")
    if name == "a.draft":
        with pytest.raises(StoreError):
            journal.open()
    else:
        journal.open()
        journal.append(make_batch("a", 1))
        assert not (folder / name).is_symlink()

    assert b"precious" == elsewhere.read_bytes()


def test_what_is_no_journal_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A folder, a pipe or a link under a journal's name is reported and left alone, and hinders nobody."""
    lose(begin(tmp_path, "z", 1))
    (tmp_path / "folder.journal").mkdir()
    os.mkfifo(tmp_path / "pipe.journal")
    (tmp_path / "link.journal").symlink_to(tmp_path / "nowhere")
    before = names_in(tmp_path)

    assert [make_batch("z", 1)] == Journal(tmp_path, "b").open()
    assert {*before, "b.journal"} - {"z.journal"} == {*names_in(tmp_path)}
    assert 3 == len(caplog.records)


def test_torn_end_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Wherever the last record was torn, those before it are read, and those that were appended after it."""
    journal = begin(tmp_path, batches=2)
    whole = (tmp_path / "a.journal").read_bytes()
    third = module._pack(make_batch("a", 3))
    lose(journal)
    for length in range(len(third) - 1):
        for after in (b"", module._pack(make_batch("a", 4))):
            (tmp_path / "a.journal").write_bytes(whole + third[:length] + after)
            found = read(tmp_path / "a.journal")

            assert [1, 2, 4][: 3 if after else 2] == [batch.sequence for batch in found]
    assert all("torn" in record.message for record in caplog.records)


def read(path: Path) -> list[Batch]:
    """The batches that wait in a file."""
    file = os.open(path, os.O_RDONLY)
    try:
        return [*module._read_batches(path, file).values()]
    finally:
        os.close(file)


def test_flipped_byte_costs_its_own_record_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whichever byte is flipped, to whatever, nothing false is read, and at most the record that it is in is lost."""
    journal = begin(tmp_path, batches=4)
    journal.forget(make_batch("a", 2))
    lose(journal)
    path = tmp_path / "a.journal"
    content = path.read_bytes()
    batches = [make_batch("a", sequence) for sequence in (1, 2, 3, 4)]
    for place in range(len(content)):
        for value in {content[place] ^ 1, content[place] ^ 0x80, 0, 10, 32} - {content[place]}:
            path.write_bytes(content[:place] + bytes([value]) + content[place + 1 :])
            caplog.clear()
            found = read(path)

            assert [batch for batch in batches if batch in found] == found
            assert len(found) >= 2
            # A separator may take any value but one that begins another record.
            assert len(found) == 3 or caplog.records


SHAPES: dict[str, str | bytes] = {
    "nothing": "null",
    "a number": "1",
    "a text": '"abc"',
    "empty": "[]",
    "an object": '{"batch": ["w", 1, []]}',
    "two": '["w", 1]',
    "four": '["w", 1, [], 0]',
    "number as writer": "[1, 1, []]",
    "text as number": '["w", "1", []]',
    "fraction as number": '["w", 1.5, []]',
    "no list": '["w", 1, 1]',
    "object as list": '["w", 1, {}]',
    "no amount": '["w", 1, [1]]',
    "short amount": json.dumps(["w", 1, [GOOD[:5]]]),
    "long amount": json.dumps(["w", 1, [[*GOOD, 1]]]),
    "number as name": json.dumps(["w", 1, [[1, *GOOD[1:]]]]),
    "long name": json.dumps(["w", 1, [["x" * 3_000, *GOOD[1:]]]]),
    "name no text": '["w", 1, [["\\ud800", "key1", "req", 1.0, 1.0, 1]]]',
    "text as delta": json.dumps(["w", 1, [[*GOOD[:4], "1", 1]]]),
    "delta not finite": json.dumps(["w", 1, [[*GOOD[:4], float("inf"), 1]]]),
    "delta too large": f'["w", 1, [["p", "k", "req", 1.0, 1{"0" * 400}, 1]]]',
    "time not a number": json.dumps(["w", 1, [[*GOOD[:3], float("nan"), 1.5, 1]]]),
    "no samples": json.dumps(["w", 1, [[*GOOD[:5], 0]]]),
    "broken": '["w", 1, [',
    "not UTF-8": b'["\xff", 1, []]',
    "deep": "[" * 100_000,
    "many digits": f'["w", {"1" * 5_000}, []]',
}


@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES)
def test_record_of_another_shape_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str | bytes
) -> None:
    """What no journal writes is reported and skipped, though its checksum is right: no store would take it."""
    (tmp_path / "w.journal").write_bytes(line(json.dumps(["w", 1, [GOOD]])) + line(text))

    assert [("w", 1, (Amount(("openai", "key1", "req"), 1_700_000_000.25, 1.5, 2),))] == [
        (batch.writer, batch.sequence, batch.amounts) for batch in Journal(tmp_path, "b").open()
    ]
    assert ["storage.runtime.journal: w.journal: 1 records torn or damaged, not counted"] == caplog.messages


values = st.recursive(st.none() | st.integers() | st.floats() | st.text(max_size=3), st.lists, max_leaves=8)
rows = st.lists(st.sampled_from([*GOOD, None, 0, "", 1e400]), max_size=8)


@given(st.lists(st.binary(max_size=40) | values.map(json.dumps) | rows.map(lambda row: json.dumps(["w", 1, [row]]))))
def test_nothing_in_a_file_makes_open_fail(tmp_path_factory: pytest.TempPathFactory, texts: list[str | bytes]) -> None:
    """Any bytes, and any JSON with a right checksum, are read without an error, and what is read can be sent."""
    folder = tmp_path_factory.mktemp("journal")
    (folder / "w.journal").write_bytes(b"".join(map(line, texts)) + b"".join(str(text).encode() for text in texts))
    logging.getLogger("coo_middleware").disabled = True
    try:
        found = read(folder / "w.journal")
    finally:
        logging.getLogger("coo_middleware").disabled = False

    assert all(amount.samples >= 1 for batch in found for amount in batch.amounts)


def test_draft_that_a_kill_left_is_swept(tmp_path: Path) -> None:
    """An old draft goes with the next rewriting; one that may be in use stays."""
    for name, age in (("old", 7_200), ("new", 60)):
        draft = tmp_path / f"{name}.draft"
        draft.touch()
        os.utime(draft, (draft.stat().st_atime - age, draft.stat().st_mtime - age))
    begin(tmp_path)

    assert ["a.journal", "new.draft"] == names_in(tmp_path)


def test_rewriting_during_an_adoption_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has opened a file that is replaced before he locks it leaves its process alone."""
    living = begin(tmp_path, "a", 2)
    flock = fcntl.flock

    def rewrite_first(file: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        living.replace([make_batch("a", 2)], [make_batch("a", 3)])
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", rewrite_first)
    assert [] == Journal(tmp_path, "b").open()
    living.append(make_batch("a", 4))
    lose(living)

    assert [1, 3, 4] == [batch.sequence for batch in Journal(tmp_path, "c").open()]


def test_orphan_that_another_adopts_meanwhile_is_left_to_him(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that is gone between the look at the folder and the look at the file is nobody's fault."""
    lose(begin(tmp_path, "a", 2))
    open_orphan = module._open_orphan
    heirs: list[list[Batch]] = []

    def adopt_first(path: Path) -> int:
        monkeypatch.setattr(module, "_open_orphan", open_orphan)
        heirs.append(Journal(tmp_path, "b").open())
        return open_orphan(path)

    monkeypatch.setattr(module, "_open_orphan", adopt_first)

    assert [] == Journal(tmp_path, "c").open()
    assert [2] == [len(heir) for heir in heirs]
    assert [] == caplog.records


def test_folder_that_cannot_be_is_an_error_and_may_come_later(tmp_path: Path) -> None:
    """A fault of the disk is a StoreError that says what and why, and what failed is done when it is tried again."""
    (tmp_path / "storage").touch()
    journal = Journal(tmp_path / "storage" / "journal", "a")
    with pytest.raises(
        StoreError, match=r"^storage\.runtime\.journal: could not be opened \(Not a directory\)"
    ) as caught:
        journal.open()
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(StoreError, match="could not be written"):
        journal.append(make_batch("a", 1))
    (tmp_path / "storage").unlink()
    journal.append(make_batch("a", 1))
    lose(journal)

    assert [make_batch("a", 1)] == Journal(tmp_path / "storage" / "journal", "b").open()


def test_folder_that_is_removed_is_made_again(tmp_path: Path) -> None:
    """Whoever clears the folder under a living process costs it nothing."""
    folder = tmp_path / "journal"
    journal = begin(folder, batches=2)
    shutil.rmtree(folder)
    journal.append(make_batch("a", 3))
    lose(journal)

    assert [1, 2, 3] == [batch.sequence for batch in Journal(folder, "b").open()]


@contextmanager
def room(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_full_disk_is_an_error_and_room_mends_it(tmp_path: Path) -> None:
    """Where there is no room an append fails, nothing that was safe is lost, and with room it works again."""
    journal, texts = begin(tmp_path), []
    with room(1_000):
        for sequence in range(1, 50):
            try:
                journal.append(make_batch("a", sequence))
            except StoreError as error:
                texts.append(str(error))
    safe = 49 - len(texts)
    journal.append(make_batch("a", 50))
    lose(journal)

    assert 3 < safe < 49
    assert all("could not be written (" in text for text in texts)
    assert [*range(1, safe + 1), 50] == [batch.sequence for batch in Journal(tmp_path, "b").open()]
    assert ["b.journal"] == names_in(tmp_path)


def test_full_disk_frees_what_is_done_with(tmp_path: Path) -> None:
    """A file at its limit is rewritten with what waits: whoever forgets makes room, and nobody need restart."""
    journal = begin(tmp_path)
    with room(1_000):
        for sequence in range(1, 200):
            journal.append(make_batch("a", sequence))
            journal.forget(make_batch("a", sequence))
        journal.append(make_batch("a", 200))
    lose(journal)

    assert [200] == [batch.sequence for batch in Journal(tmp_path, "b").open()]


def test_failed_adoption_leaves_the_orphans(tmp_path: Path) -> None:
    """A process without room takes nothing over and says so; the next one does."""
    lose(begin(tmp_path, batches=5))
    journal = Journal(tmp_path, "b")
    with room(300), pytest.raises(StoreError, match="could not be opened"):
        journal.open()
    assert ["a.journal"] == names_in(tmp_path)

    assert 5 == len(journal.open())


def test_threads_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls from several threads at once, as cancelled ones leave behind, lose nothing among rewritings."""
    monkeypatch.setattr(module, "_COMPACT_BYTES", 2_000)
    journal = begin(tmp_path)

    def run(thread: int) -> None:
        for sequence in range(1, 41):
            journal.append(make_batch(f"t{thread}", sequence))
            if sequence % 4:
                journal.forget(make_batch(f"t{thread}", sequence))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))
    lose(journal)
    left = Counter(batch.writer for batch in Journal(tmp_path, "b").open())

    assert {f"t{thread}": 10 for thread in range(4)} == left


def test_disk_has_what_is_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a loss of power: written, then synced; rewritten, synced, then renamed, and the folder synced."""
    journal = begin(tmp_path, batches=1)
    steps = Recording(monkeypatch)
    steps.is_watching = True
    journal.append(make_batch("a", 2))
    appended, steps.names = steps.names, []
    journal.replace([make_batch("a", 2)], [make_batch("a", 3)])
    steps.is_watching = False

    assert ["write", "fsync"] == appended
    assert ["mkdir", "open", "write", "fsync", "rename", "close", "open", "fsync", "close"] == steps.names


def test_kill_at_any_step_loses_and_doubles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between any two steps, and in any write: what was acknowledged is counted, and nothing is counted twice."""
    monkeypatch.setattr(module, "_COMPACT_BYTES", 700)
    (tmp_path / "life").mkdir()
    life = Life(tmp_path / "life")
    life.prepare()
    steps = Killing(monkeypatch, life, tmp_path / "copies")

    def attempt(call: Callable[[], None]) -> bool:
        call()
        return True

    steps.is_watching = True
    life.run(attempt)
    steps.is_watching = False

    assert len(steps.moments) > 150
    for copy, acknowledged in steps.moments:
        counts = recover(copy)
        assert acknowledged <= set(counts)
        assert {1} == set(counts.values())
    assert (LEFT + OWN) * AMOUNTS == len(counts)


@pytest.mark.parametrize("number", range(1, 11))
def test_replacing_is_all_or_nothing(tmp_path: Path, number: int) -> None:
    """Whichever step fails, a StoreError means that all is as it was, and none that all is done."""
    journal = begin(tmp_path, batches=4)
    old = [make_batch("a", sequence) for sequence in (1, 2, 3, 4)]
    new = [old[0], make_batch("a", 5)]
    with pytest.MonkeyPatch.context() as monkeypatch:
        steps = Failing(monkeypatch, number)
        steps.is_watching = True
        try:
            journal.replace(old[1:], new[1:])
        except StoreError:
            new = old
        steps.is_watching = False
    lose(journal)

    assert new == Journal(tmp_path, "b").open()


def fail_at(number: int, folder: Path) -> tuple[int, int]:
    """Lives a life whose step of that number fails; the number of steps that were left, and of calls that failed."""
    folder.mkdir()
    life = Life(folder)
    life.prepare()
    faults = 0

    def attempt(call: Callable[[], None]) -> bool:
        nonlocal faults
        steps.is_watching = True
        try:
            call()
        except StoreError:
            faults += 1
            return False
        finally:
            steps.is_watching = False
        return True

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(module, "_COMPACT_BYTES", 700)
        steps = Failing(monkeypatch, number)
        life.run(attempt)
    counts = recover(folder)
    assert life.acknowledged <= set(counts)
    assert {1} == set(counts.values())
    return steps.number, faults


def test_fault_at_any_step_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Whichever step fails is a StoreError or nothing; a kill after it still costs nothing that was acknowledged."""
    total = 0
    for number in count(1):
        left, faults = fail_at(number, tmp_path / str(number))
        total += faults
        if left > 0:
            break

    assert number > 80
    assert total > 30


@pytest.mark.proof
@pytest.mark.timeout(60 + 30 * PROOF)
def test_kill_9_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Two processes at a time, killed at any moment and adopting from each other: 0 acknowledged lost, 0 doubled."""
    kill(tmp_path, 10 * PROOF)
    counts = applied(tmp_path / "store")
    acknowledged = (tmp_path / "acknowledged").read_text().split()

    lost, doubled = set(acknowledged) - set(counts), max(counts.values()) - 1
    report(f"journal: {10 * PROOF} kills, {len(acknowledged):,} acknowledged, {len(lost)} lost, {doubled} doubled")
    assert len(acknowledged) > 10 * AMOUNTS
    assert set() == lost
    assert {1} == set(counts.values())
    assert [] == [name for name in names_in(tmp_path / "journal") if name.endswith(".journal")]
