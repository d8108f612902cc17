"""At rest: how stored responses lie in the store, as the settings want it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coo_middleware.config import ConfigError
from coo_middleware.core.sealing import FRAME_BYTES, Sealer, read_key

if TYPE_CHECKING:
    from coo_middleware.config import Config


def open_sealer(config: Config) -> Sealer:
    """The Sealer that `config` asks for. Raises ConfigError where a library that it needs is not installed."""
    runtime = config.storage.runtime
    try:
        return Sealer(
            [read_key(key) for key in runtime.encryption_keys],
            compress=runtime.compress == "zstd",
            most_bytes=config.policy.cache.max_entry_bytes + FRAME_BYTES,
        )
    except ImportError as error:
        name, extra = ("compress", "codings") if error.name == "zstd" else ("encryption_keys", "encryption")
    message = f"storage.runtime.{name}: a library that it needs is missing: pip install 'coo-middleware[{extra}]'"
    raise ConfigError(message)
