"""What the handlers of the admin API work with."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from coo_middleware.admin.gate import Right
from coo_middleware.at_rest import open_sealer
from coo_middleware.config import Config
from coo_middleware.core.sealing import Sealer
from coo_middleware.explainer import Explainer
from coo_middleware.stores import RuntimeStore, open_store

Counts: TypeAlias = Callable[[], Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Room:
    """A configuration, the store that it speaks of, and what is made of both. `counts` tells what this process has
    counted itself since it started, nothing where the middleware is elsewhere.
    """

    config: Config
    store: RuntimeStore
    sealer: Sealer
    explainer: Explainer
    counts: Counts


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: the name in its path if that has one, its parameters, its content, and what its token allows."""

    name: str
    parameters: Mapping[str, str]
    content: bytes
    right: Right


class NotListedError(Exception):
    """The store cannot list what was asked for."""


def make_room(config: Config, store: RuntimeStore, counts: Counts = dict) -> Room:
    """The room for a configuration and its store. Raises ConfigError."""
    return Room(config, store, open_sealer(config), Explainer(config.policy), counts)


def open_shared(config: Config) -> RuntimeStore:
    """The configured store, not opened yet. Raises ValueError for one in memory, which nobody else would see."""
    store = open_store(config.storage.runtime)
    if store.in_process:
        raise ValueError("store: lies in memory, where nobody sees another one; pass the one of COOMiddleware")
    return store


def encode(document: Mapping[str, object]) -> bytes:
    """`document` as JSON in ASCII, whatever the names in it are made of."""
    return json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
