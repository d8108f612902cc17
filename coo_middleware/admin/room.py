"""What the handlers of the admin API work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from coo_middleware.at_rest import open_sealer
from coo_middleware.config import Config, make_config
from coo_middleware.core.sealing import Sealer
from coo_middleware.explainer import Explainer
from coo_middleware.stores import RuntimeStore, open_store

if TYPE_CHECKING:
    from coo_middleware.config import ConfigSource


@dataclass(frozen=True, slots=True)
class Room:
    """A configuration, the store that it speaks of, and what is made of both."""

    config: Config
    store: RuntimeStore
    sealer: Sealer
    explainer: Explainer


# Answers the content of a request with a JSON object; ValueError for a request that is at fault, without its values.
Handler: TypeAlias = Callable[[Room, bytes], Awaitable[Mapping[str, object]]]


def open_room(source: ConfigSource, store: RuntimeStore | None) -> Room:
    """The room for a configuration. Raises ConfigError, and ValueError where the store must be passed."""
    config = make_config(source)
    if store is None:
        store = open_store(config.storage.runtime)
        if store.in_process:
            raise ValueError("store: lies in memory, where nobody sees another one; pass the one of COOMiddleware")
    return Room(config, store, open_sealer(config), Explainer(config.policy))
