"""Limits in Redis: a reservation, however many limits it spans and choices it has, is one script of the server's."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, cast

from coo_middleware.core.limits import Admission, Level
from coo_middleware.stores.redis_connect import Connections
from coo_middleware.stores.redis_layout import Layout, load_script

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from coo_middleware.core.limits import Settlement, Takes
    from coo_middleware.stores.redis_connect import Argument
    from coo_middleware.stores.redis_layout import Script

_RESERVE: Final = load_script("redis_tally", "redis_reserve")
_SETTLE: Final = load_script("redis_tally", "redis_settle")
_RENEW: Final = load_script("redis_tally", "redis_renew")

# What a script does at once nobody else may do in between: so many takes need some milliseconds.
_AT_ONCE: Final = 250


@dataclass(frozen=True, slots=True)
class Limits:
    """Asks the scripts; what is asked was checked. `now` is the moment in seconds, "" for the server's own."""

    connections: Connections
    layout: Layout

    async def reserve(self, now: str, ticket: str, choices: Sequence[Takes], lease_seconds: float) -> Admission:
        """As RuntimeStore.reserve."""
        places: dict[str, int] = {}
        arguments: list[Argument] = [now, ticket, lease_seconds]
        for takes in choices:
            arguments.append(len(takes))
            for take in takes:
                place = places.setdefault(take.name, len(places) + 1)
                arguments += (place, take.window_seconds, take.limit, take.amount)
        reply = await self.connections.evaluate(_RESERVE, self.layout.limits(places), arguments)
        return _read(cast("list[bytes]", reply), choices)

    async def settle(self, now: str, settlements: Iterable[Settlement]) -> None:
        """As RuntimeStore.settle."""
        await self._tell(_SETTLE, [now], settlements)

    async def renew(self, now: str, settlements: Iterable[Settlement], lease_seconds: float) -> None:
        """As RuntimeStore.renew."""
        await self._tell(_RENEW, [now, lease_seconds], settlements)

    async def _tell(self, script: Script, head: list[Argument], settlements: Iterable[Settlement]) -> None:
        takes = ((settlement.ticket, take) for settlement in settlements for take in settlement.takes)
        while some := list(islice(takes, _AT_ONCE)):
            places: dict[str, int] = {}
            arguments = [*head]
            for ticket, take in some:
                arguments += (places.setdefault(take.name, len(places) + 1), ticket, take.amount)
            await self.connections.evaluate(script, self.layout.limits(places), arguments)


def _read(reply: list[bytes], choices: Sequence[Takes]) -> Admission:
    choice, wait, *levels = reply
    numbers = map(float, levels)
    read = (Level(used, reset) for used, reset in zip(numbers, numbers, strict=True))
    return Admission(int(choice), float(wait), tuple(tuple(islice(read, len(takes))) for takes in choices))
