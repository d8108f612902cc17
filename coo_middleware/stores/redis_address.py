"""Where a Redis is: what `storage.runtime` says of it, read and checked. Imports no client."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from urllib.parse import SplitResult

    from coo_middleware.stores import RedisMode, StoreSettings

_PORTS: Final = {"standalone": 6379, "sentinel": 26379, "cluster": 6379}


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """`nodes` are the server, the sentinels, or some nodes of the cluster; `path` is a Unix socket instead."""

    nodes: tuple[tuple[str, int], ...] = ()
    path: str = ""
    tls: bool = False
    username: str = ""
    password: str = field(default="", repr=False)
    database: int = 0

    def __str__(self) -> str:
        """Where it is, without who asks."""
        return self.path or ",".join(f"{host}:{port}" for host, port in self.nodes)


def read_address(addr: str, mode: RedisMode) -> RedisAddress:
    """The address that `addr` stands for: host:port or a redis://, rediss:// or unix:// URL, and unless the mode is
    standalone several host:port with commas between them. Raises ValueError, whose text repeats nothing of `addr`.
    """
    if not addr:
        raise ValueError("the redis store needs it; say where the store answers")
    scheme, mark, _ = addr.partition("://")
    schemes = ("redis", "rediss", "unix") if mode == "standalone" else ("redis", "rediss")
    if mark and scheme not in schemes:
        raise ValueError(f"must begin with {', '.join(f'{each}://' for each in schemes)}, got a text")
    try:
        parts = urlsplit(addr if mark else f"redis://{addr}")
        address = _read_unix(parts) if parts.scheme == "unix" else _read_hosts(parts, mode)
    except ValueError:
        address = None
    # Raised out here: what is chained would repeat the address, and with it a password.
    if address is None:
        raise ValueError(
            "must name a host and a valid port, got a text; percent-encode / ? # [ ] @ , within a password, and give "
            "no option but db"
        )
    return address


def find_faults(settings: StoreSettings) -> Iterator[tuple[str, str]]:
    """What is wrong with the settings of a redis store: each time a field's name and the way out."""
    tls = False
    try:
        tls = read_address(settings.addr, settings.mode).tls
    except ValueError as error:
        yield "addr", str(error)
    if settings.mode == "sentinel" and not settings.master_name:
        yield "master_name", "mode sentinel needs it; say by which name the sentinels know the server"
    for name in ("tls_ca_file", "tls_cert_file", "tls_key_file"):
        if getattr(settings, name) and not tls:
            yield name, "needs TLS; begin addr with rediss://"
    if settings.tls_key_file and not settings.tls_cert_file:
        yield "tls_key_file", "needs tls_cert_file"
    if {"{", "}"} & {*settings.key_prefix}:
        yield "key_prefix", "must hold no brace; a cluster takes what stands in braces for a slot's name"


def _read_unix(parts: SplitResult) -> RedisAddress:
    if not parts.path or parts.fragment:
        raise ValueError
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    return RedisAddress(
        path=unquote(parts.path), username=unquote(user), password=unquote(password), database=_read_database(parts)
    )


def _read_hosts(parts: SplitResult, mode: RedisMode) -> RedisAddress:
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    database = _read_database(parts, parts.path.strip("/"))
    if parts.fragment or (mode == "cluster" and database):
        raise ValueError
    return RedisAddress(
        nodes=tuple(_read_node(host, mode) for host in (hosts.split(",") if mode != "standalone" else [hosts])),
        tls=parts.scheme == "rediss",
        username=unquote(user),
        password=unquote(password),
        database=database,
    )


def _read_node(host: str, mode: RedisMode) -> tuple[str, int]:
    parts = urlsplit(f"//{host.strip()}")
    if not parts.hostname or "," in parts.hostname or parts.port == 0:
        raise ValueError
    return parts.hostname, parts.port or _PORTS[mode]


def _read_database(parts: SplitResult, database: str = "") -> int:
    for name, value in parse_qsl(parts.query, strict_parsing=bool(parts.query)):
        if name != "db":
            raise ValueError
        database = value
    if database and not (database.isascii() and database.isdigit()):
        raise ValueError
    return int(database or 0)
