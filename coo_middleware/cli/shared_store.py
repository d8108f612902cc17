"""The configured store, as a command sees it that runs beside the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coo_middleware.stores import open_store

if TYPE_CHECKING:
    from coo_middleware.config import Config
    from coo_middleware.stores import RuntimeStore


def open_shared(config: Config) -> RuntimeStore:
    """The store of `config`, not opened yet. Raises ValueError for a store in memory, which no other process can see,
    and StoreError.
    """
    store = open_store(config.storage.runtime)
    if store.in_process:
        raise ValueError("storage.runtime.type memory lies in the service itself: ask its admin API (docs/cli.md)")
    return store
