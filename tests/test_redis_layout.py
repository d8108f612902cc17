"""stores/redis_layout.py: names of keys, and what the guide's commands print."""

import re
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.stores import Increment, redis_layout
from coo_middleware.stores.redis import RedisStore
from coo_middleware.stores.redis_layout import Layout, load_script, read_counter, write_counter
from tests.redis_server import HOST, Server

# What docs/stores.md says a user needs, and what the client sends of its own accord.
FOLDER = Path(redis_layout.__file__).parent
SCRIPTS = sorted(path for path in FOLDER.glob("redis_*.lua") if path.stem != "redis_list")
OLD_COMMANDS = {
    *("GET", "SET", "DEL", "TIME", "PTTL", "PEXPIRE", "INCRBYFLOAT", "HINCRBYFLOAT", "GETRANGE", "SETRANGE"),
    *("HSET", "HEXISTS", "HLEN", "HKEYS", "HDEL", "HGETALL", "HMGET"),
    *("ZADD", "ZINCRBY", "ZSCORE", "ZCARD", "ZRANGE", "ZRANGEBYSCORE", "ZREM", "ZREMRANGEBYSCORE"),
    "XADD",
}


@pytest.mark.parametrize(
    ("counter", "expected"),
    [
        (("openai", "key1", "req"), "usage:openai:key1:req"),
        (("a:b", "100%", "m:"), "usage:a%3Ab:100%25:m%3A"),
        (("", "", ""), "usage:::"),
        (("{a}", "ключ", "m"), "usage:{a}:ключ:m"),
    ],
)
def test_counter_has_the_guide_s_name(counter: tuple[str, str, str], expected: str) -> None:
    """Provider, key and metric stand between colons; a colon or percent sign inside a name is percent-encoded."""
    assert expected == Layout("", is_cluster=False).counter("usage", *counter)


def test_cluster_has_one_slot_for_a_provider_s_key() -> None:
    """All keys of one provider's key, and its marks, have the same text in the first braces, whatever the names."""
    layout = Layout("coo:", is_cluster=True)
    counters = [Increment("}a{", "{}", "m{1}", 1), Increment("}a{", "{}", "latency", 1)]
    [(keys, _)] = layout.parts("{writer}", counters)

    assert {"%7Da%7B:%7B%7D"} == {re.findall(r"\{(.*?)\}", key)[0] for key in keys}
    assert "coo:cache:{k}" == layout.cache("{k}")
    assert ["coo:claim:k", "coo:log:n"] == [layout.claim("k"), layout.log("n")]
    assert ["coo:counters", "coo:purges"] == [layout.counters, layout.purges]


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.text(":%{}25A3a", max_size=6)


@given(names, names, names)
def test_name_in_the_index_is_read_as_it_was_written(provider: str, key_id: str, metric: str) -> None:
    """Whatever characters it has, it is the end of the counter's keys, and it leads back to the counter."""
    text = write_counter((provider, key_id, metric))

    assert (provider, key_id, metric) == read_counter(text)
    assert f"usage:{text}" == Layout("", is_cluster=False).counter("usage", provider, key_id, metric)


@pytest.mark.parametrize("text", ["", "a:b", "a:b:c:d", "a:b:%41", "a:b:%", "a:b:%3a"])
def test_name_of_no_counter_is_refused(text: str) -> None:
    """What this store does not write it does not read."""
    with pytest.raises(ValueError, match="cursor: must be empty"):
        read_counter(text)


def test_limits_lie_in_one_slot() -> None:
    """A reservation may span any limits of a store: on a cluster their keys have the same text in the first braces."""
    keys = Layout("coo:", is_cluster=True).limits(["{a}", "b:c%"])

    assert ["clock:limits", "limit:a%3Ab", "holds:a%3Ab", "leases:a%3Ab"] == Layout("", is_cluster=False).limits(
        ["a:b"]
    )
    assert {"limits"} == {re.findall(r"\{(.*?)\}", key)[0] for key in keys}
    assert "coo:leases:{limits}:b%3Ac%25" == keys[-1]


def test_samples_are_no_usage() -> None:
    """`keys "usage:*"` shows counters only."""
    [(keys, _)] = Layout("", is_cluster=False).parts("w", [Increment("p", "k", "latency", 1)])

    assert ["usage:p:k:latency"] == [key for key in keys if key.startswith("usage:")]


def test_large_batch_has_parts_with_marks_of_their_own() -> None:
    """No script holds up the server for long: each takes 500 increments, under a mark that is no other writer's."""
    batch = [Increment("p", "k", f"m{number}", 1) for number in range(1_001)]
    parts = list(Layout("", is_cluster=False).parts("a:1%", batch))

    assert ["writer:a%3A1%25", "writer:a%3A1%25:1", "writer:a%3A1%25:2"] == [keys[0] for keys, _ in parts]
    assert [500, 500, 1] == [(len(arguments) - 1) // 4 for _, arguments in parts]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_use_old_commands_only(path: Path) -> None:
    """Every command of a script is one of Redis 6.2, none looks through all keys, and no key is made up in it."""
    text = path.read_text()
    commands = set(re.findall(r"(?:redis\.call|redis\.pcall|try)\('(\w+)'", text))

    assert set() == commands - OLD_COMMANDS
    assert path.stem in {each.stem for each in SCRIPTS if load_script(each.stem).text == text}
    assert "KEYS[1]" in text


def test_only_the_list_of_responses_looks_through_keys() -> None:
    """It is no part of a request, takes a page at a time, and reads nothing but what it found."""
    text = (FOLDER / "redis_list.lua").read_text()

    assert ["SCAN", "GETRANGE"] == re.findall(r"(?:redis\.call|redis\.pcall)\('(\w+)'", text)
    assert "'COUNT'" in text


def say(server: Server, command: str) -> bytes:
    """What the server answers to a line, as `redis-cli` sends and shows it."""
    with socket.create_connection((HOST, server.port), timeout=10) as connection:
        connection.sendall(command.encode() + b"\r\n")
        return connection.recv(65_536)


async def test_guide_s_commands_print_what_it_says(redis_server: Server) -> None:
    """`keys "usage:*"`, `get` and `ttl` of the storage guide name the counters, the value and the seconds left."""
    redis_server.ask("FLUSHALL")
    async with RedisStore(addr=redis_server.addr) as store:
        for _ in range(45):
            await store.increment_usage("openai", "key1", "req", 1)
        await store.increment_usage("openai", "key1", "latency", 812.5)

    names = say(redis_server, 'keys "usage:*"').split(b"\r\n")
    assert {b"usage:openai:key1:req", b"usage:openai:key1:latency"} == {*names[2:-1:2]}
    assert b"$2\r\n45\r\n" == say(redis_server, 'get "usage:openai:key1:req"')
    assert b"$5\r\n812.5\r\n" == say(redis_server, 'get "usage:openai:key1:latency"')
    assert say(redis_server, 'ttl "usage:openai:key1:req"') in {b":60\r\n", b":59\r\n"}
