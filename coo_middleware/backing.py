"""What a middleware stands on: its store, guarded where that is elsewhere, and the outbox before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.outbox import Outbox
from coo_middleware.stores import RuntimeStore, open_store
from coo_middleware.stores.guard import Guard

if TYPE_CHECKING:
    from coo_middleware.stores import StoreSettings


class Backing:
    """The `store` that was passed, which its owner opens and closes, or one of our own by `settings`."""

    __slots__ = ("_is_open", "_is_ours", "guarded", "outbox", "store")

    def __init__(self, store: RuntimeStore | None, settings: StoreSettings) -> None:
        self._is_ours: Final = store is None
        self._is_open = False
        self.store: Final = open_store(settings) if store is None else store
        self.guarded: Final = _guard(self.store, settings)
        self.outbox: Final = Outbox(self.guarded, settings.journal)

    async def open(self) -> None:
        """Opens it, once. Raises StoreError."""
        if self._is_open:
            return
        if self._is_ours:
            await self.guarded.open()
        self._is_open = True
        await self.outbox.open()

    async def close(self) -> None:
        """Closes what was opened. Raises StoreError."""
        if not self._is_open:
            return
        self._is_open = False
        await self.outbox.close()
        if self._is_ours:
            await self.guarded.close()
        elif isinstance(self.guarded, Guard):
            await self.guarded.stop()


def _guard(store: RuntimeStore, settings: StoreSettings) -> RuntimeStore:
    """The store behind deadlines and a breaker, unless it is in this process."""
    if store.in_process:
        return store
    return Guard(
        store,
        read_deadline_seconds=settings.read_deadline_seconds,
        write_deadline_seconds=settings.write_deadline_seconds,
        probe_seconds=settings.probe_seconds,
    )
