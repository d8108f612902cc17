"""HTTPStore: a store behind the storage API, which `coo_middleware.storage_api` serves over any store."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final, Self

from coo_middleware.core.labels import check_labels, read_purges
from coo_middleware.stores import RuntimeStore, StoreSettings
from coo_middleware.stores.checks import (
    check_amount,
    check_claim,
    check_counter,
    check_increments,
    check_key,
    check_points,
    check_ttl,
    check_window,
)
from coo_middleware.stores.http_address import find_faults
from coo_middleware.stores.http_channel import Channel, LostError
from coo_middleware.stores.http_layout import (
    cache_path,
    claim_path,
    counter_path,
    encode_json,
    page_path,
    read_count,
    read_number,
    read_page,
    read_text,
    read_value,
    read_writer,
    write_increments,
    write_value,
)
from coo_middleware.stores.http_limits import read_admission, write_reservation, write_settlements
from coo_middleware.stores.http_series import read_points, read_totals, totals_path, write_question
from coo_middleware.stores.limit_checks import check_lease

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.core.labels import Purges
    from coo_middleware.core.limits import Admission, Settlement, Takes
    from coo_middleware.stores import CachePage, Counter, Increment, Points, TotalsPage
    from coo_middleware.stores.http_lane import HTTPClient
    from coo_middleware.stores.http_layout import Parts


class HTTPStore(RuntimeStore):
    """The store that a storage API at the base URL `addr` serves; how long a usage counter lives is that store's.

    `api_key`: the bearer token, sent to `addr` alone; redirects are not followed. `tls_ca_file`, `tls_cert_file`,
    `tls_key_file`: for https, the certificates to trust in place of the public ones, our own certificate, and its key.
    `timeout_seconds`: the most that one request may take. `max_connections`: the most that are open at once;
    StoreBusyError when all stay in use. `max_body_bytes`: a response that takes more to send is not stored, and a
    longer answer is a fault. `client`: a client of httpx.AsyncClient's interface to use instead of one of our own; it
    stays the caller's, with its proxies, its certificates, its pool, its event loop and its end. Raises ValueError
    when a setting is wrong.
    """

    def __init__(
        self,
        *,
        addr: str,
        api_key: str = "",
        tls_ca_file: str = "",
        tls_cert_file: str = "",
        tls_key_file: str = "",
        timeout_seconds: float = 1.0,
        max_connections: int = 50,
        max_body_bytes: int = 16_777_216,
        client: HTTPClient | None = None,
    ) -> None:
        settings = StoreSettings(
            type="http",
            addr=addr,
            api_key=api_key,
            tls_ca_file=tls_ca_file,
            tls_cert_file=tls_cert_file,
            tls_key_file=tls_key_file,
            timeout_seconds=timeout_seconds,
            max_connections=max_connections,
        )
        for field, fault in find_faults(settings):
            raise ValueError(f"{field} {fault}")
        # What the server adds to a response, its time to live, must not make it too long to be read.
        self._channel: Final = Channel(settings, max_bytes=max_body_bytes + 1024, client=client)
        self._max_body: Final = max_body_bytes
        self._writers: Final[list[_Writer]] = []

    @classmethod
    def from_settings(cls, settings: StoreSettings) -> Self:
        """The store that the section `storage.runtime` describes."""
        return cls(
            addr=settings.addr,
            api_key=settings.api_key,
            tls_ca_file=settings.tls_ca_file,
            tls_cert_file=settings.tls_cert_file,
            tls_key_file=settings.tls_key_file,
            timeout_seconds=settings.timeout_seconds,
            max_connections=settings.max_connections,
        )

    async def open(self) -> None:
        """Makes the client. Nothing is sent: the server may come later."""
        self._channel.open()

    async def close(self) -> None:
        """Closes the connections; the next operation opens new ones."""
        await self._channel.close()

    async def ping(self) -> None:
        await self._ask("GET", "/health")

    async def get_usage(self, provider: str, key_id: str, metric: str) -> float:
        check_counter(provider, key_id, metric)
        return await self._read_number(counter_path(provider, key_id, metric))

    async def set_usage(self, provider: str, key_id: str, metric: str, value: float) -> None:
        check_counter(provider, key_id, metric)
        check_amount(value)
        await self._ask("PUT", counter_path(provider, key_id, metric), {"value": value})

    async def increment_usage(self, provider: str, key_id: str, metric: str, delta: float) -> None:
        """Adds `delta` once. When the connection is lost, so that nobody knows whether the server has it, it is sent
        once more under the same number.
        """
        check_counter(provider, key_id, metric)
        check_amount(delta)
        path = counter_path(provider, key_id, metric) + "/increment"
        # The numbers of one writer must arrive in order, so each increment under way has a writer to itself.
        writer = self._borrow_writer()
        writer.sequence += 1
        parts: Parts = {"delta": delta, "writer": writer.name, "sequence": writer.sequence}
        try:
            try:
                await self._ask("POST", path, parts)
            except LostError:
                await self._ask("POST", path, parts)
        finally:
            self._writers.append(writer)

    async def get_usage_in_window(self, provider: str, key_id: str, metric: str, window_seconds: int) -> float:
        check_counter(provider, key_id, metric)
        check_window(window_seconds)
        return await self._read_number(f"{counter_path(provider, key_id, metric)}/window?seconds={window_seconds:d}")

    async def get_total(self, provider: str, key_id: str, metric: str) -> float:
        """Every increment that the store at the other end has kept."""
        check_counter(provider, key_id, metric)
        return await self._read_number(counter_path(provider, key_id, metric) + "/total")

    async def apply(self, writer: str, sequence: int, increments: Sequence[Increment]) -> None:
        """Sends a batch, which the store at the other end applies once. It is not sent again from here."""
        check_increments(increments)
        parts: Parts = {"writer": writer, "sequence": sequence}
        read_writer(parts)
        await self._ask("POST", "/batch", parts | {"increments": write_increments(increments)})

    async def set_cache(self, key: str, value: bytes, ttl_seconds: float) -> None:
        check_key(key)
        check_ttl(ttl_seconds)
        body = encode_json(write_value(value) | {"ttl_seconds": ttl_seconds})
        if len(body) <= self._max_body:
            reply = await self._channel.send("PUT", cache_path(key), body)
            if reply.status != 413:
                reply.read()
                return
        # Too long for one of both ends, and an older response must not outlive the one that replaced it.
        await self.delete_cache(key)

    async def get_cache(self, key: str) -> bytes | None:
        found = await self.get_cache_with_ttl(key)
        return None if found is None else found[0]

    async def get_cache_with_ttl(self, key: str) -> tuple[bytes, float] | None:
        check_key(key)
        began = monotonic()
        reply = await self._channel.send("GET", cache_path(key))
        if reply.status == 404 and reply.read(status=404) == {"value": None}:
            return None
        value, ttl = reply.interpret(lambda document: (read_value(document), read_number(document, "ttl_seconds")))
        # The server counted it at some moment of the exchange, at the earliest at its beginning.
        return value, max(0.0, ttl - (monotonic() - began))

    async def delete_cache(self, key: str) -> None:
        """Forgets what is stored under `key`, if anything, at once."""
        check_key(key)
        await self._ask("DELETE", cache_path(key))

    async def purge(self, labels: Sequence[str]) -> int:
        """Purges `labels`, as weakly as by default where the server does not know of purges."""
        check_labels(labels)
        reply = await self._channel.send("POST", "/purges", encode_json({"labels": list(labels)}))
        if reply.is_unknown:
            return await super().purge(labels)
        return reply.interpret(lambda document: read_count(document, "generation"))

    async def get_purges(self, since: int) -> Purges:
        reply = await self._channel.send("GET", f"/purges?since={since:d}")
        if reply.is_unknown:
            return await super().get_purges(since)
        return reply.interpret(read_purges)

    async def list_cache(self, cursor: str = "") -> CachePage | None:
        reply = await self._channel.send("GET", page_path(cursor))
        return None if reply.is_unknown else reply.interpret(read_page)

    async def list_totals(self, cursor: str = "") -> TotalsPage | None:
        reply = await self._channel.send("GET", totals_path(cursor))
        return None if reply.is_unknown else reply.interpret(read_totals)

    async def read_points(self, counters: Sequence[Counter], window_seconds: int) -> Points | None:
        check_points(counters, window_seconds)
        reply = await self._channel.send("POST", "/points", encode_json(write_question(counters, window_seconds)))
        return None if reply.is_unknown else reply.interpret(lambda document: read_points(document, len(counters)))

    async def claim(self, key: str, owner: str, lease_seconds: float) -> str:
        """Who leads the work on `key`; `owner` where the server does not know of leases."""
        check_claim(key, owner, lease_seconds)
        reply = await self._channel.send(
            "PUT", claim_path(key, owner), encode_json({"lease_seconds": float(lease_seconds)})
        )
        if reply.is_no_path:
            return owner
        return reply.interpret(lambda document: read_text(document, "owner"))

    async def release(self, key: str, owner: str) -> None:
        check_claim(key, owner)
        reply = await self._channel.send("DELETE", claim_path(key, owner))
        if not reply.is_no_path:
            reply.read()

    async def reserve(self, ticket: str, choices: Sequence[Takes], lease_seconds: float) -> Admission | None:
        """As the store at the other end does, asked once; None where that, or the server, keeps no limits."""
        parts = write_reservation(ticket, choices, lease_seconds)
        reply = await self._channel.send("POST", "/limits/reserve", encode_json(parts))
        return None if reply.is_unknown else reply.interpret(lambda document: read_admission(document, choices))

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        for some in write_settlements(settlements):
            await self._tell("/limits/settle", {"settlements": some})

    async def renew(self, settlements: Sequence[Settlement], lease_seconds: float) -> None:
        check_lease(lease_seconds)
        for some in write_settlements(settlements):
            await self._tell("/limits/renew", {"settlements": some, "lease_seconds": float(lease_seconds)})

    def _borrow_writer(self) -> _Writer:
        # Writers from before a fork are the parent's.
        while self._writers:
            writer = self._writers.pop()
            if writer.process == os.getpid():
                return writer
        return _Writer(secrets.token_hex(16), os.getpid())

    async def _tell(self, path: str, parts: Parts) -> None:
        """Asks for what an older server need not know."""
        reply = await self._channel.send("POST", path, encode_json(parts))
        if not reply.is_unknown:
            reply.read()

    async def _read_number(self, path: str) -> float:
        reply = await self._channel.send("GET", path)
        return reply.interpret(lambda document: read_number(document, "value"))

    async def _ask(self, method: str, path: str, parts: Parts | None = None) -> None:
        reply = await self._channel.send(method, path, None if parts is None else encode_json(parts))
        reply.read()


@dataclass(slots=True)
class _Writer:
    name: str
    process: int
    sequence: int = 0
