"""`POST /purge`: makes stored responses unusable, by label."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from coo_middleware.purging import purge
from coo_middleware.stores.http_layout import decode_json, read_labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coo_middleware.admin.room import Asked, Room

_SWITCHES: Final = frozenset({"dry_run", "count"})


async def answer_purge(room: Room, asked: Asked) -> Mapping[str, object]:
    """The members of Purged, for `{"labels": ["tag:docs"], "dry_run": false, "count": true}`, all but `labels`
    optional. Raises ValueError and StoreError.
    """
    document = decode_json(asked.content)
    labels, switches = read_labels(document), {name: document[name] for name in _SWITCHES & document.keys()}
    # A misspelt dry_run must not purge.
    if not document.keys() <= _SWITCHES | {"labels"} or not all(type(each) is bool for each in switches.values()):
        raise ValueError("body: must be labels, and perhaps dry_run and count, each true or false")
    told = {name: value is True for name, value in switches.items()}
    return asdict(await purge(room.store, room.sealer, labels, **told))
