"""The section `storage.runtime` of a configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

from annotated_types import Ge, Le, MaxLen

if TYPE_CHECKING:
    from collections.abc import Mapping

StoreType: TypeAlias = Literal["memory", "redis", "http", "file", "sqlite"]
RedisMode: TypeAlias = Literal["standalone", "sentinel", "cluster"]


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Settings under `storage.runtime`, with the storage guide's names."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "use_attribute_docstrings": True}

    type: StoreType = "memory"
    """Which store keeps metrics and responses."""
    addr: str = field(default="", repr=False)
    """redis: host:port or a redis://, rediss:// or unix:// URL, in the modes sentinel and cluster several host:port
    with commas between them; http: the base URL."""
    mode: RedisMode = "standalone"
    """redis: one server, one found through sentinels, or a cluster."""
    master_name: str = ""
    """redis: by which name the sentinels know the server."""
    username: str = ""
    """redis: the ACL user."""
    password: str = field(default="", repr=False)
    """redis: the password."""
    sentinel_password: str = field(default="", repr=False)
    """redis: the password of the sentinels themselves."""
    tls_ca_file: str = ""
    """redis, http: the certificates to trust in place of the system's, for a rediss:// or https:// address."""
    tls_cert_file: str = ""
    """redis, http: our own certificate, for a server that asks for one."""
    tls_key_file: str = ""
    """redis, http: the key of that certificate, unless its file holds it."""
    key_prefix: str = ""
    """redis: what the name of every key begins with."""
    max_connections: Annotated[int, Ge(1), Le(10_000)] = 50
    """redis, http: the most connections open at once."""
    connect_timeout_seconds: Annotated[float, Ge(0.01), Le(60)] = 1.0
    """redis: the most that connecting may take, in seconds."""
    timeout_seconds: Annotated[float, Ge(0.01), Le(60)] = 1.0
    """redis, http: the most that one command or request may take, connecting included, in seconds."""
    api_key: str = field(default="", repr=False)
    """http: the bearer token."""
    path: str = ""
    """file, sqlite: where the data lies."""
    usage_ttl_seconds: Annotated[float, Ge(1), Le(86_400)] = 60.0
    """How long a usage counter lives from its first increment, in seconds."""
    max_bytes: Annotated[int, Ge(65_536)] = 268_435_456
    """memory, file, sqlite: the most that stored responses may take, in bytes."""
    max_entries: Annotated[int, Ge(1)] = 100_000
    """memory, file, sqlite: how many responses may be stored."""
    read_deadline_seconds: Annotated[float, Ge(0.001), Le(60)] = 0.1
    """All but memory: a look-up that takes longer is a miss, in seconds."""
    write_deadline_seconds: Annotated[float, Ge(0.001), Le(60)] = 0.25
    """All but memory: a write that takes longer has failed, in seconds; increments are sent again."""
    probe_seconds: Annotated[float, Ge(0.01), Le(3_600)] = 1.0
    """All but memory: how often a store that is out of reach is asked for, in seconds."""
    journal: str = ""
    """A folder in which increments are kept until the store has them, so that they survive a kill -9; empty: none."""
    compress: Literal["off", "zstd"] = "off"
    """Compress stored responses; needs Python 3.14 or the extra `codings`."""
    encryption_keys: Annotated[tuple[str, ...], MaxLen(4)] = field(default=(), repr=False)
    """Encrypt stored responses and their keys' digests: the first of these keys seals, all of them open. Each is 32
    random bytes in base64 or hexadecimal. Needs the extra `encryption`."""


def read_section(section: Mapping[str, object]) -> StoreSettings:
    """The settings in the section `storage.runtime`. Raises ValueError, without any value, when it is none."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(StoreSettings).validate_python(dict(section))
    except ValidationError as error:
        faults = [f"storage.runtime.{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
    # Raised out here: a chained ValidationError would carry the values, and one of them is the password.
    raise ValueError("; ".join(faults))
