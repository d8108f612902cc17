"""Response reuse, automatic metrics and pluggable storage for LLM proxies, as one pure-ASGI middleware."""

from coo_middleware.config import Config, ConfigError, load_config
from coo_middleware.context import CooContext
from coo_middleware.core.outcome import Usage
from coo_middleware.core.record import Record
from coo_middleware.middleware import COOMiddleware
from coo_middleware.stores import RuntimeStore, StoreError, open_store

__all__ = [
    "COOMiddleware",
    "Config",
    "ConfigError",
    "CooContext",
    "Record",
    "RuntimeStore",
    "StoreError",
    "Usage",
    "load_config",
    "open_store",
]
