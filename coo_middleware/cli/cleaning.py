"""`coo purge`: has the configured store purge, and says what came of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from coo_middleware.at_rest import open_sealer
from coo_middleware.cli.shared_store import open_shared
from coo_middleware.purging import COUNT_SECONDS, Purged, purge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.config import Config


async def purge_store(config: Config, labels: Sequence[str], *, dry_run: bool, count: bool) -> Purged:
    """Purges the store of `config`. Raises ValueError and StoreError."""
    async with open_shared(config) as store:
        return await purge(store, open_sealer(config), labels, dry_run=dry_run, count=count)


def show_purged(purged: Purged) -> None:
    """A line for what was done, and one for each thing to know about the count."""
    done = "would be purged" if purged.generation is None else "purged"
    amount = "all that match" if purged.matched is None else f"{purged.matched} stored responses"
    print(f"{done}: {amount}")  # noqa: T201
    for line in _remarks(purged):
        print(line)  # noqa: T201


def show_purged_json(purged: Purged) -> None:
    """One document with the fields of Purged."""
    print(json.dumps(asdict(purged), indent=2))  # noqa: T201


def _remarks(purged: Purged) -> list[str]:
    if purged.matched is None:
        return ["they were not counted"]
    remarks = []
    if purged.unreadable:
        remarks.append(f"beside them, {purged.unreadable} cannot be read with this configuration's keys: not counted")
    if not purged.is_complete:
        remarks.append(f"the count ended after {COUNT_SECONDS:g} s: there are more")
    return remarks
