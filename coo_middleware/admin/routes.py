"""What the admin API does at each path and method. A further one is a line in ROUTES, and a shape in openapi.py."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from starlette.responses import Response

from coo_middleware.admin.entries import answer_entries, answer_entry
from coo_middleware.admin.explain import answer_explain
from coo_middleware.admin.gate import Right
from coo_middleware.admin.lines import answer_series
from coo_middleware.admin.openapi import describe
from coo_middleware.admin.purge import answer_purge
from coo_middleware.admin.room import Asked, Room
from coo_middleware.admin.standings import answer_limits
from coo_middleware.admin.status import answer_cache, answer_health, answer_ready
from coo_middleware.admin.summary import answer_summary
from coo_middleware.admin.tables import answer_tables
from coo_middleware.admin.usage import answer_totals, answer_usage, answer_window

# Answers with a JSON object, or a response of its own. ValueError for a request that is at fault, without its values.
Handler: TypeAlias = Callable[[Room, Asked], Awaitable[Mapping[str, object] | Response]]

_FILTERS: Final = ("provider", "key", "model")
_ENTRIES: Final = "/entries/"


@dataclass(frozen=True, slots=True)
class Route:
    """What answers, in words and in code; `answer` and `request` are schemas of openapi.py. Without the right that it
    needs nothing is answered.
    """

    about: str
    handler: Handler
    answer: str
    needs: Right = "read"
    parameters: tuple[str, ...] = ()
    request: str = ""
    media_type: str = "application/json"


async def _describe(_room: Room, _asked: Asked) -> Mapping[str, object]:
    return describe(ROUTES)


ROUTES: Final[Mapping[tuple[str, str], Route]] = {
    ("GET", "/health"): Route("That it answers; with a token also how its store is", answer_health, "Health", "none"),
    ("GET", "/ready"): Route("Whether requests can be served", answer_ready, "Ready", "none"),
    ("GET", "/usage"): Route("The current period", answer_usage, "Usage", parameters=("provider", "key")),
    ("GET", "/usage/window"): Route(
        "The last seconds", answer_window, "WindowUsage", parameters=("seconds", "provider", "key")
    ),
    ("GET", "/totals"): Route(
        "Every counter since the store was created", answer_totals, "Totals", parameters=_FILTERS
    ),
    ("GET", "/summary"): Route("A window in figures", answer_summary, "Summary", parameters=("window", *_FILTERS)),
    ("GET", "/series"): Route(
        "What was counted when", answer_series, "Series", parameters=("window", "metric", "by", *_FILTERS)
    ),
    ("GET", "/limits"): Route("The limits, and how they stand", answer_limits, "Limits"),
    ("GET", "/cache"): Route("What this process reused, and how much is stored", answer_cache, "Cache"),
    ("GET", "/entries"): Route("Stored responses, without content", answer_entries, "Entries", parameters=("cursor",)),
    ("GET", "/entries/{key}"): Route("One of them", answer_entry, "Entry"),
    ("GET", "/tables"): Route(
        "The summary as a page", answer_tables, "", parameters=("window", *_FILTERS), media_type="text/html"
    ),
    ("GET", "/openapi.json"): Route("This description", _describe, "Description"),
    ("POST", "/explain"): Route("Where two requests differ", answer_explain, "Explained", request="Samples"),
    ("POST", "/purge"): Route("Make stored responses unusable", answer_purge, "Purged", "write", request="Labels"),
}


def find_routes(path: str) -> tuple[dict[str, Route], str]:
    """The routes at a path below the mount by their method, and the name in it; none for a path that is not there."""
    template, name = path, ""
    if path.startswith(_ENTRIES) and len(path) > len(_ENTRIES):
        template, name = _ENTRIES + "{key}", path.removeprefix(_ENTRIES)
    return {method: route for (method, each), route in ROUTES.items() if each == template and "/" not in name}, name
