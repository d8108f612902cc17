"""A TCP proxy that does to connections what networks do: loses replies, resets, delays, swallows, refuses."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

HOST: Final = "127.0.0.1"


class FaultProxy:
    """Forwards a port of its own to `target` on the loopback, in the loop that enters it, from `port` on.

    What goes wrong may be changed at any time and from any thread: `lost_replies` and `resets` are the fractions of
    pieces, each a small request or reply, that meet this fate; `latency` is added to each request, in seconds; while
    `swallows` holds, nothing passes. `faults` counts what was lost or reset. A lost reply closes the connection after
    the server has acted; a reset comes before the request is forwarded, or after.
    """

    def __init__(self, target: int, *, seed: int = 0) -> None:
        self.lost_replies = self.resets = self.latency = 0.0
        self.swallows = False
        self.marker = b""
        self.faults = self.marked = self.port = 0
        self._target: Final = target
        self._random: Final = random.Random(seed)  # noqa: S311 -- no secret
        self._connections: Final[set[asyncio.Task[object]]] = set()

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.refuse()

    async def accept(self) -> None:
        """Opens the port, the same one as before."""
        self._server = await asyncio.start_server(self._serve, HOST, self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Closes the port and cuts every connection."""
        self._server.close()
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The server's own task ends here: what asyncio.streams logs when one is cancelled is no news.
        connection = asyncio.ensure_future(self._connect(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pumps: list[asyncio.Future[None]] = []
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self._target)
            pumps = [
                asyncio.ensure_future(self._pass_requests(reader, far_writer)),
                asyncio.ensure_future(self._pass_replies(far_reader, writer)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            self.faults += 1
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            _reset(writer)

    async def _pass_requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(65_536):
                self.marked += self.marker in piece
                await asyncio.sleep(self.latency)
                await self._wait()
                is_reset = self._happens(self.resets)
                if not is_reset or self._random.random() < 0.5:
                    writer.write(piece)
                    await writer.drain()
                if is_reset:
                    return
        finally:
            writer.close()

    async def _pass_replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65_536):
            await self._wait()
            if self._happens(self.lost_replies):
                return
            writer.write(piece)
            await writer.drain()
        # What the server ended, its client sees end, and not cut.
        writer.close()
        await writer.wait_closed()

    async def _wait(self) -> None:
        while self.swallows:  # noqa: ASYNC110 -- another thread may set it
            await asyncio.sleep(0.01)

    def _happens(self, fraction: float) -> bool:
        happens = self._random.random() < fraction
        self.faults += happens
        return happens


def _reset(writer: asyncio.StreamWriter) -> None:
    """Cuts a connection with RST, as a crashed machine or a firewall does."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
