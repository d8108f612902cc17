"""The tables of a SQLite store, and every statement that is made of them. `connection` is always within a transaction
where something is written; times are seconds since the epoch.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final, TypeAlias

from coo_middleware.core.window import LEVELS, LONGEST_WINDOW, bucket_span
from coo_middleware.stores import HEAD_BYTES, LATENCY
from coo_middleware.stores.limit_rows import LIMITS_SCHEMA
from coo_middleware.stores.machine_clock import CLOCK_SCHEMA
from coo_middleware.stores.purge_rows import PURGES_SCHEMA

if TYPE_CHECKING:
    from sqlite3 import Connection

    from coo_middleware.stores import Increment

Counter: TypeAlias = tuple[str, str, str]

# What a response takes beside its key and its value: the key once more, in its index, not counted.
ENTRY_BYTES: Final = 256

_WRITER_SECONDS: Final = LONGEST_WINDOW
RESPONSES_PER_STEP: Final = 200
RESPONSES_PER_PAGE: Final = 500
_COUNTERS_PER_STEP: Final = 20

_FIRST: Final = """
CREATE TABLE counters (
    id INTEGER PRIMARY KEY, provider TEXT NOT NULL, key_id TEXT NOT NULL, metric TEXT NOT NULL,
    amount REAL, samples REAL, expires REAL NOT NULL, total REAL, total_samples REAL,
    UNIQUE (provider, key_id, metric)
);
CREATE TABLE windows (
    counter INTEGER NOT NULL, size INTEGER NOT NULL, bucket INTEGER NOT NULL, amount REAL, samples REAL,
    PRIMARY KEY (counter, size, bucket)
) WITHOUT ROWID;
CREATE TABLE writers (writer TEXT PRIMARY KEY, sequence INTEGER NOT NULL, used REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE responses (key TEXT PRIMARY KEY, value BLOB NOT NULL, size INTEGER NOT NULL, expires REAL NOT NULL);
CREATE INDEX responses_by_expiry ON responses (expires);
CREATE TABLE stored (entries INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT INTO stored VALUES (0, 0);
CREATE TRIGGER response_in AFTER INSERT ON responses
    BEGIN UPDATE stored SET entries = entries + 1, bytes = bytes + new.size; END;
CREATE TRIGGER response_again AFTER UPDATE OF size ON responses
    BEGIN UPDATE stored SET bytes = bytes + new.size - old.size; END;
CREATE TRIGGER response_out AFTER DELETE ON responses
    BEGIN UPDATE stored SET entries = entries - 1, bytes = bytes - old.size; END;
"""
_CLAIMS: Final = """
CREATE TABLE claims (key TEXT PRIMARY KEY, owner TEXT NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
"""
# What each version added to the one before: a file of an earlier one is brought up to this.
STEPS: Final = (_FIRST, _CLAIMS + PURGES_SCHEMA, LIMITS_SCHEMA + CLOCK_SCHEMA)
VERSION: Final = len(STEPS)

_COUNTER: Final = "provider = :provider AND key_id = :key_id AND metric = :metric"
_CURRENT: Final = f"SELECT amount, samples FROM counters WHERE {_COUNTER} AND :now < expires"  # noqa: S608
_TOTAL: Final = f"SELECT total, total_samples FROM counters WHERE {_COUNTER}"  # noqa: S608
_WINDOW: Final = f"""
SELECT sum(amount), sum(samples) FROM windows
WHERE counter = (SELECT id FROM counters WHERE {_COUNTER}) AND size = :size AND bucket >= :oldest
"""  # noqa: S608
_SET: Final = """
INSERT INTO counters (provider, key_id, metric, amount, samples, expires, total, total_samples)
VALUES (:provider, :key_id, :metric, :value, 1, :ends, 0, 0)
ON CONFLICT DO UPDATE SET amount = :value, samples = 1, expires = :ends
"""
_ADD: Final = """
INSERT INTO counters (provider, key_id, metric, amount, samples, expires, total, total_samples)
VALUES (:provider, :key_id, :metric, :recent, :recent_samples, :ends, :delta, :samples)
ON CONFLICT DO UPDATE SET
    amount = :recent + CASE WHEN :now < expires THEN amount ELSE 0 END,
    samples = :recent_samples + CASE WHEN :now < expires THEN samples ELSE 0 END,
    expires = CASE WHEN :now < expires THEN expires ELSE :ends END,
    total = total + :delta,
    total_samples = total_samples + :samples
"""
_ADD_TO_WINDOW: Final = f"""
INSERT INTO windows VALUES ((SELECT id FROM counters WHERE {_COUNTER}), :size, :bucket, :delta, :samples)
ON CONFLICT DO UPDATE SET amount = amount + :delta, samples = samples + :samples
"""  # noqa: S608
_MARK: Final = """
INSERT INTO writers VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET sequence = excluded.sequence, used = excluded.used
"""
_STORE: Final = """
INSERT INTO responses VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET value = excluded.value, size = excluded.size, expires = excluded.expires
"""
_LIST: Final = f"""
SELECT key, substr(value, 1, {HEAD_BYTES}) FROM responses WHERE key > :after AND :now < expires
ORDER BY key LIMIT {RESPONSES_PER_PAGE}
"""  # noqa: S608
_CLAIM: Final = """
INSERT INTO claims VALUES (:key, :owner, :ends)
ON CONFLICT DO UPDATE SET owner = :owner, expires = :ends WHERE owner = :owner OR expires <= :now
"""
_EVICT: Final = """
DELETE FROM responses WHERE key = (SELECT key FROM responses WHERE key IS NOT ? ORDER BY expires LIMIT 1)
"""
_EXPIRE: Final = """
DELETE FROM responses WHERE key IN (SELECT key FROM responses WHERE expires <= ? ORDER BY expires LIMIT ?)
"""


def upgrade(connection: Connection, version: int) -> None:
    """Makes the tables that a file of `version` lacks, all or none; 0 is a file that has none."""
    steps = "".join(STEPS[version:])
    connection.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {VERSION}; COMMIT;")


def read_usage(connection: Connection, counter: Counter, now: float) -> float:
    """A counter's value in the current period."""
    return _read(connection, _CURRENT, counter, now=now)


def read_window(connection: Connection, counter: Counter, seconds: float, now: float) -> float:
    """A counter's increments of the last `seconds`."""
    size, oldest = bucket_span(seconds, now)
    return _read(connection, _WINDOW, counter, size=size, oldest=oldest)


def read_total(connection: Connection, counter: Counter) -> float:
    """All increments of a counter."""
    return _read(connection, _TOTAL, counter)


def set_usage(connection: Connection, counter: Counter, value: float, ends: float) -> None:
    """Sets a counter's value in the period that ends at `ends`."""
    connection.execute(_SET, _name(counter) | {"value": float(value), "ends": ends})


def add(connection: Connection, increment: Increment, now: float, ttl: float) -> None:
    """Adds to a counter, its windows and its total; `ttl` is how long a period lasts."""
    young = increment.age < ttl
    delta, samples = float(increment.delta), float(increment.samples)
    names = _name((increment.provider, increment.key_id, increment.metric)) | {
        "delta": delta,
        "samples": samples,
        "recent": delta if young else 0.0,
        "recent_samples": samples if young else 0.0,
        "ends": now + ttl if young else 0.0,
        "now": now,
    }
    connection.execute(_ADD, names)
    then = now - increment.age
    for level in LEVELS:
        if increment.age < level.longest + level.size:
            connection.execute(_ADD_TO_WINDOW, names | {"size": level.size, "bucket": level.bucket(then)})


def mark(connection: Connection, writer: str, sequence: int, now: float) -> bool:
    """Notes that `writer` sent batch `sequence`; False when it, or a later one, has been applied before."""
    row = connection.execute("SELECT sequence FROM writers WHERE writer = ?", (writer,)).fetchone()
    last = row[0] if row else 0
    connection.execute(_MARK, (writer, max(last, sequence), now))
    return bool(sequence > last)


def read_response(connection: Connection, key: str, now: float) -> tuple[bytes, float] | None:
    """What is stored under `key` and has not expired, and the seconds that it has left."""
    found = connection.execute("SELECT value, expires FROM responses WHERE key = ? AND ? < expires", (key, now))
    row = found.fetchone()
    return (bytes(row[0]), row[1] - now) if row else None


def list_responses(connection: Connection, after: str, now: float) -> list[tuple[str, bytes]]:
    """RESPONSES_PER_PAGE keys beyond `after`, each with how its response begins."""
    return connection.execute(_LIST, {"after": after, "now": now}).fetchall()


def store_response(connection: Connection, key: str, value: bytes, expires: float) -> None:
    """Keeps `value` until `expires`."""
    connection.execute(_STORE, (key, value, size_of(key, value), expires))


def delete_response(connection: Connection, key: str) -> None:
    """Forgets what is stored under `key`."""
    connection.execute("DELETE FROM responses WHERE key = ?", (key,))


def read_claim(connection: Connection, key: str, now: float) -> str | None:
    """Whose lease on `key` runs."""
    row = connection.execute("SELECT owner FROM claims WHERE key = ? AND ? < expires", (key, now)).fetchone()
    return row[0] if row else None


def claim(connection: Connection, key: str, owner: str, now: float, ends: float) -> str:
    """Whose lease on `key` runs after `owner` asked for one until `ends`."""
    connection.execute(_CLAIM, {"key": key, "owner": owner, "now": now, "ends": ends})
    return read_claim(connection, key, now) or owner


def release(connection: Connection, key: str, owner: str) -> None:
    """Ends the lease on `key` if it is `owner`'s."""
    connection.execute("DELETE FROM claims WHERE key = ? AND owner = ?", (key, owner))


def size_of(key: str, value: bytes) -> int:
    """What a response counts, in bytes."""
    return ENTRY_BYTES + len(key.encode()) + len(value)


def evict(
    connection: Connection, max_bytes: int, max_entries: int, spared: str | None = None, most: int | None = None
) -> bool:
    """Deletes the responses that expire first, all but the one under `spared`, until the rest is within the limits or
    `most` have left; True in the latter case.
    """
    for _ in count() if most is None else range(most):
        entries, size = connection.execute("SELECT entries, bytes FROM stored").fetchone()
        if entries <= max_entries and size <= max_bytes:
            return False
        connection.execute(_EVICT, (spared,))
    return True


def expire(connection: Connection, now: float) -> bool:
    """Deletes some of the responses that have expired, True when there may be more, the leases that have lapsed, and
    the marks of writers that have been silent for 35 days.
    """
    connection.execute("DELETE FROM claims WHERE expires <= ?", (now,))
    connection.execute("DELETE FROM writers WHERE used < ?", (now - _WRITER_SECONDS,))
    return connection.execute(_EXPIRE, (now, RESPONSES_PER_STEP)).rowcount == RESPONSES_PER_STEP


def trim_windows(connection: Connection, after: int, now: float) -> int:
    """Deletes the buckets that no window holds any more, of some counters from the one numbered `after` on. Returns
    where to go on, 0 at the end.
    """
    rows = connection.execute("SELECT id FROM counters WHERE id > ? ORDER BY id LIMIT ?", (after, _COUNTERS_PER_STEP))
    counters = [row[0] for row in rows]
    connection.executemany(
        "DELETE FROM windows WHERE counter = ? AND size = ? AND bucket < ?",
        [(each, level.size, level.bucket(now - level.longest)) for each in counters for level in LEVELS],
    )
    return counters[-1] if len(counters) == _COUNTERS_PER_STEP else 0


def _name(counter: Counter) -> dict[str, str | float]:
    return dict(zip(("provider", "key_id", "metric"), counter, strict=True))


def _read(connection: Connection, question: str, counter: Counter, **values: float) -> float:
    row = connection.execute(question, _name(counter) | values).fetchone()
    amount, samples = row or (None, None)
    if counter[2] == LATENCY:
        return (amount or 0.0) / samples if samples else 0.0
    return amount or 0.0
