"""What went wrong with Redis, in words: every failure as StoreError, with the way out."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from redis.asyncio.sentinel import MasterNotFoundError
from redis.exceptions import InvalidResponse, MaxConnectionsError, RedisClusterException, RedisError

from coo_middleware.stores import StoreBusyError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

# What the name of redis-py's exception or its text holds. A script's fault on Redis 6.2 is told in its text alone.
_ADVICE: Final = (
    ("MaxConnections|max number of clients", "lower max_connections, or raise the server's maxclients"),
    ("Authentication|WRONGPASS|NOAUTH", "check storage.runtime.username and password"),
    ("NoPermission|Authorization|NOPERM", "give the user the keys and commands that docs/stores.md lists"),
    ("ReadOnly|READONLY|now a slave", "address the primary, or use mode sentinel"),
    ("OutOfMemory|OOM", "raise the server's maxmemory, or let it evict with maxmemory-policy volatile-ttl"),
    ("BusyLoading|LOADING", "wait until the server has loaded its data"),
    ("WRONGTYPE|not a valid float|not a float|NaN or Infinity", "delete the key that holds something else"),
    ("MasterNotFound|unknown command .SENTINEL", "check storage.runtime.master_name and the sentinels"),
    ("Cluster mode is not enabled", "use mode standalone"),
    ("Moved|Ask|CrossSlot|MOVED|CROSSSLOT", "use mode cluster"),
    ("MISCONF|NOREPLICAS|MASTERDOWN|CLUSTERDOWN|SlotNotCovered|BUSY", "look at the server's log"),
    ("TimeoutError", "see that the server runs and is not overloaded; timeout_seconds bounds each command"),
    ("", "see that the server runs and is where storage.runtime.addr says"),
)


@contextmanager
def telling(operation: str, where: str) -> Iterator[None]:
    """Turns every failure inside into StoreError: StoreBusyError when connections have run out."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        raise _explain(operation, where, error) from _cite(error)


def _cite(error: Exception) -> Exception:
    if isinstance(error, MasterNotFoundError):
        # redis-py before 8 shows its clients in it, and with them the password of the sentinels.
        return MasterNotFoundError("no sentinel names the server")
    # A reply that cannot be read is quoted, and it may be a part of a stored response.
    if isinstance(error, RedisError | RedisClusterException | OSError) and not isinstance(error, InvalidResponse):
        return error
    return InvalidResponse(f"{type(error).__name__} while a reply was read")


def _explain(operation: str, where: str, error: Exception) -> StoreError:
    cause = _cite(error)
    told = f"{type(cause).__name__}: {cause}" if str(cause) else f"{type(cause).__name__}"
    advice = next(advice for pattern, advice in _ADVICE if re.search(pattern, told))
    busy = isinstance(error, MaxConnectionsError) or "max number of clients" in told
    return (StoreBusyError if busy else StoreError)(f"{operation} at redis {where}: {told}; {advice}")
