"""stores/local.py: what the first level keeps, for how long, and what it takes."""

import gc
import tracemalloc
from itertools import count, product

import pytest

from coo_middleware.core.entry import Entry
from coo_middleware.core.outcome import Usage
from coo_middleware.core.shape import Shape
from coo_middleware.stores.local import LocalLevel, _size
from coo_middleware.testing import Clock

KIB = bytes(1024)


def make_entry(name: str, content: bytes = b"value", model: str = "gpt-4o") -> Entry:
    """An entry of which no part is shared with another's."""
    return Entry(
        digest=name.encode().ljust(32, b"."),
        created=1_700_000_000.0,
        ttl=10.0,
        provider=f"openai-{name}",
        key_id=f"key-{name}",
        model=f"{model}-{name}",
        format=f"chat-{name}",
        shape=Shape(stream=False),
        usage=Usage(1_000, 2_000),
        headers=((b"content-type", b"application/json; " + name.encode()), (b"content-language", name.encode())),
        content=content[:-1] + bytes([len(content) % 256]),
        stale_if_error=float(len(name) + 20),
        generation=2**40 + hash(name),
        namespace=f"namespace-{name}",
        caller=f"caller-{name}",
        tags=(f"tag-{name}", f"other-{name}"),
    )


def size(entry: Entry) -> int:
    """What is counted for an entry."""
    return _size(entry.digest, entry)


def left(level: LocalLevel, names: str) -> str:
    """Which of `names` are still there."""
    return "".join(name for name in names if level.get(make_entry(name).digest) is not None)


@pytest.fixture
def clock() -> Clock:
    return Clock(100.0)


@pytest.fixture
def level(clock: Clock) -> LocalLevel:
    return LocalLevel(100_000, clock)


def test_entry_comes_back_as_it_is(level: LocalLevel) -> None:
    """What was put is what is got, the very object: nothing is packed or parsed."""
    entry = make_entry("a")
    level.put(entry, 10)

    assert entry is level.get(entry.digest)
    assert level.get(make_entry("b").digest) is None


def test_entry_goes_when_its_time_is_over(level: LocalLevel, clock: Clock) -> None:
    """It is there until then and gone exactly then; reading does not prolong it."""
    level.put(make_entry("a"), 10)
    clock.advance(9.5)
    assert "a" == left(level, "a")
    clock.advance(0.5)

    assert "" == left(level, "a")


def test_entry_goes_no_later_than_from_the_store(level: LocalLevel, clock: Clock) -> None:
    """The store's remaining time runs from when it was asked, however long its answer was under way."""
    asked = clock()
    clock.advance(4)
    level.put(make_entry("a"), 10, asked)
    clock.advance(5.5)
    assert "a" == left(level, "a")
    clock.advance(0.5)

    assert "" == left(level, "a")


@pytest.mark.parametrize("ttl", [0, -1, float("nan")])
def test_entry_of_no_known_time_is_not_kept(level: LocalLevel, ttl: float) -> None:
    """A store that cannot tell gives 0: then nothing stays, an older entry neither."""
    level.put(make_entry("a"), 10)
    level.put(make_entry("a"), ttl)

    assert "" == left(level, "a")


def test_answer_that_was_longer_under_way_than_it_lives_is_not_kept(level: LocalLevel, clock: Clock) -> None:
    """An entry that has expired meanwhile replaces an older one with nothing."""
    level.put(make_entry("a"), 100)
    level.put(make_entry("a"), 1, clock() - 1)

    assert "" == left(level, "a")


def test_later_entry_replaces_the_earlier(level: LocalLevel, clock: Clock) -> None:
    """The last one put counts, with its own time, longer or shorter."""
    old, new = make_entry("a", b"old"), make_entry("a", b"new")
    level.put(old, 10)
    level.put(new, 5)
    assert new is level.get(new.digest)
    clock.advance(5)
    assert level.get(new.digest) is None
    level.put(old, 5)
    level.put(new, 10)
    clock.advance(9)

    assert new is level.get(new.digest)


def test_least_recently_used_leaves_first(level: LocalLevel) -> None:
    """Beyond `max_bytes` those stay that were got or put last."""
    level = LocalLevel(3 * size(make_entry("a", KIB)))
    for name in "abc":
        level.put(make_entry(name, KIB), 10)
    level.get(make_entry("a").digest)
    level.put(make_entry("d", KIB), 10)

    assert "acd" == left(level, "abcd")


def test_expired_entries_make_room_first(clock: Clock) -> None:
    """An entry that expired takes no room from a fresh one."""
    level = LocalLevel(2 * size(make_entry("a")), clock)
    level.put(make_entry("a"), 10)
    level.put(make_entry("b"), 1)
    clock.advance(1)
    level.put(make_entry("c"), 10)

    assert "ac" == left(level, "abc")


def test_entry_larger_than_the_level_is_not_kept() -> None:
    """It takes the place of its own predecessor, which is out of date, and of nobody else."""
    level = LocalLevel(5_000)
    level.put(make_entry("a"), 10)
    level.put(make_entry("b"), 10)
    level.put(make_entry("a", bytes(5_000)), 10)
    level.put(make_entry("c", bytes(5_000)), 10)

    assert "b" == left(level, "abc")


def test_forgotten_entry_is_gone(level: LocalLevel) -> None:
    """What is forgotten is not got again, and may be forgotten twice."""
    level.put(make_entry("a"), 10)
    level.forget(make_entry("a").digest)
    level.forget(make_entry("a").digest)

    assert "" == left(level, "a")


def test_time_that_passes_within_an_operation_does_no_harm() -> None:
    """An entry that expires between any two looks at the clock never makes an operation fail."""
    looks = count()
    level = LocalLevel(size(make_entry("a")), lambda: float(next(looks)))
    for first, second in product([number + 0.25 for number in range(12)], repeat=2):
        level.put(make_entry("a"), first)
        level.put(make_entry("a"), second)
        level.put(make_entry("b"), second)
        assert level.get(make_entry("b").digest) in (None, make_entry("b"))
        level.forget(make_entry("b").digest)


@pytest.mark.parametrize(
    ("content", "model"), [(b"", "m"), (bytes(2_000), "m"), (b"", "m" * 2_000), (b"", "模" * 2_000)]
)
def test_size_covers_what_an_entry_takes(content: bytes, model: str) -> None:
    """`max_bytes` is honest: what is counted for an entry is no less than what it takes, and not twice as much."""
    level = LocalLevel(1_000_000_000)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(1_000):
            level.put(make_entry(f"{number:05}", content, model), 10)
        taken = (tracemalloc.get_traced_memory()[0] - before) / 1_000
    finally:
        tracemalloc.stop()
    counted = size(make_entry("00000", content, model))

    assert taken <= counted <= 2 * taken
