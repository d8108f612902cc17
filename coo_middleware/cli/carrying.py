"""`coo export` and `coo import`: from the configured store to a file, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coo_middleware.at_rest import open_sealer
from coo_middleware.cli.exporting import Exported, Exporter
from coo_middleware.cli.files import open_progress, open_source, open_target, read_lines
from coo_middleware.cli.importing import Imported, Importer
from coo_middleware.cli.shared_store import open_shared

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from coo_middleware.config import Config
    from coo_middleware.core.transfer import What


async def export_store(config: Config, path: Path, what: Sequence[What]) -> Exported:
    """Exports to the file at `path`. Raises ValueError, StoreError and OSError."""
    async with open_shared(config) as store:
        with open_target(path) as file, open_progress() as progress:
            task = progress.add_task("exporting", total=None)
            return await Exporter(store, open_sealer(config), lambda: progress.advance(task)).export(file, what)


async def import_store(config: Config, path: Path) -> Imported:
    """Imports the file at `path`. Raises ValueError, StoreError and OSError."""
    with open_source(path) as file:
        async with open_shared(config) as store:
            return await Importer(store, open_sealer(config)).import_lines(read_lines(file, "importing"))
