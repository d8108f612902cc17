"""`python -m coo_middleware.storage_api --config coo.yaml`: the configured store as a server."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import TYPE_CHECKING

from coo_middleware.config import load_config
from coo_middleware.storage_api import storage_api
from coo_middleware.stores import StoreError, open_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp


def main(arguments: Sequence[str] | None = None) -> None:
    """Serves until it is told to stop. Exits with a message and status 2 when something is missing or wrong."""
    parser = ArgumentParser(prog="python -m coo_middleware.storage_api", description="Serve a store over HTTP.")
    parser.add_argument("--config", required=True, help="YAML file with storage.runtime and storage.api")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        import uvicorn

        app = _load_app(options.config)
    except ImportError:
        parser.exit(2, "uvicorn, which serves the API, is not installed: pip install uvicorn\n")
    except (ValueError, StoreError) as error:
        parser.exit(2, f"{error}\n")
    # The paths hold the names of keys, so requests are not logged.
    uvicorn.run(app, host=options.host, port=options.port, access_log=False, server_header=False, ws="none")


def _load_app(path: str) -> ASGIApp:
    storage = load_config(path).storage
    return storage_api(
        open_store(storage.runtime), api_key=storage.api.api_key, max_request_bytes=storage.api.max_request_bytes
    )


if __name__ == "__main__":
    main()
