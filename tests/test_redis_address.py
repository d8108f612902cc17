"""stores/redis_address.py: where a Redis is."""

import pytest

from coo_middleware.stores import RedisMode, StoreSettings
from coo_middleware.stores.redis_address import RedisAddress, find_faults, read_address
from coo_middleware.testing import SECRET


@pytest.mark.parametrize(
    ("addr", "expected"),
    [
        ("localhost", RedisAddress((("localhost", 6379),))),
        ("localhost:7000", RedisAddress((("localhost", 7000),))),
        ("redis://h/3", RedisAddress((("h", 6379),), database=3)),
        ("redis://h?db=3", RedisAddress((("h", 6379),), database=3)),
        ("rediss://h:1", RedisAddress((("h", 1),), tls=True)),
        ("redis://u:p%40%2F@h:1", RedisAddress((("h", 1),), username="u", password="p@/")),
        ("redis://:p@h", RedisAddress((("h", 6379),), password="p")),
        ("redis://[::1]:1", RedisAddress((("::1", 1),))),
        ("unix:///run/redis.sock?db=2", RedisAddress(path="/run/redis.sock", database=2)),
        ("unix://u:p@/run/redis%20.sock", RedisAddress(path="/run/redis .sock", username="u", password="p")),
    ],
)
def test_standalone_address_is_read(addr: str, expected: RedisAddress) -> None:
    """host:port and the URLs that redis-py takes say host, port, socket, user, password, database and TLS."""
    assert expected == read_address(addr, "standalone")


@pytest.mark.parametrize(
    ("addr", "mode", "expected"),
    [
        ("a,b:1", "sentinel", RedisAddress((("a", 26379), ("b", 1)))),
        ("a,b:1", "cluster", RedisAddress((("a", 6379), ("b", 1)))),
        ("rediss://u:p@a:1, b:2", "cluster", RedisAddress((("a", 1), ("b", 2)), tls=True, username="u", password="p")),
        ("redis://a:1,b:2/3", "sentinel", RedisAddress((("a", 1), ("b", 2)), database=3)),
    ],
)
def test_several_nodes_are_read(addr: str, mode: RedisMode, expected: RedisAddress) -> None:
    """Sentinels and nodes of a cluster stand with commas between them, each mode with its own usual port."""
    assert expected == read_address(addr, mode)


@pytest.mark.parametrize(
    ("addr", "mode"),
    [
        ("", "standalone"),
        ("http://h", "standalone"),
        ("unix:///run/redis.sock", "cluster"),
        ("unix://", "standalone"),
        ("unix:///run/redis.sock#x", "standalone"),
        (f"redis://:{SECRET}/x@h", "standalone"),
        (f"redis://:{SECRET}#@h", "standalone"),
        (f"redis://[{SECRET}", "standalone"),
        (f"redis://h:{SECRET}", "standalone"),
        ("redis://h:0", "standalone"),
        ("redis://:1", "standalone"),
        ("h:1,i:2", "standalone"),
        ("h,i", "standalone"),
        ("h,,i", "cluster"),
        ("redis://h/x", "standalone"),
        (f"redis://h?password={SECRET}", "standalone"),
        ("redis://h?db", "standalone"),
        ("redis://h/1", "cluster"),
    ],
)
def test_other_addresses_are_refused(addr: str, mode: RedisMode) -> None:
    """What names no server is an error that says what an address looks like, and repeats nothing of it."""
    with pytest.raises(ValueError, match=r"^(must |the redis store needs it)") as caught:
        read_address(addr, mode)

    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None


def test_address_shows_no_login() -> None:
    """An address in an error or a log says where, not who."""
    address = read_address(f"redis://user:{SECRET}@a:1,b:2", "sentinel")

    assert "a:1,b:2" == str(address)
    assert SECRET not in repr(address)
    assert "/run/redis.sock" == str(read_address("unix:///run/redis.sock", "standalone"))


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        (StoreSettings(addr="h"), []),
        (StoreSettings(addr="h", mode="sentinel", master_name="m"), []),
        (StoreSettings(addr="rediss://h", tls_ca_file="ca", tls_cert_file="cert", tls_key_file="key"), []),
        (StoreSettings(), ["addr"]),
        (StoreSettings(addr="h", mode="sentinel"), ["master_name"]),
        (StoreSettings(addr="h", tls_ca_file="ca"), ["tls_ca_file"]),
        (StoreSettings(addr="rediss://h", tls_key_file="key"), ["tls_key_file"]),
        (StoreSettings(addr="h", key_prefix="{coo}:"), ["key_prefix"]),
        (StoreSettings(addr="", mode="sentinel", tls_cert_file="c"), ["addr", "master_name", "tls_cert_file"]),
    ],
)
def test_settings_that_do_not_fit_together_are_named(settings: StoreSettings, fields: list[str]) -> None:
    """Each setting that another one contradicts is told, all at once."""
    assert fields == [field for field, _ in find_faults(settings)]
