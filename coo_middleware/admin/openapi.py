"""The OpenAPI 3.1 description of the admin API, made of its routes; the shapes of its answers are told here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from coo_middleware.admin.lines import METRICS
from coo_middleware.core.labels import ALL, KINDS, MOST_AT_ONCE
from coo_middleware.core.series import LABELS
from coo_middleware.core.window import LONGEST_WINDOW
from coo_middleware.stores.http_layout import JSON_TYPE, Parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coo_middleware.admin.routes import Route
    from coo_middleware.core.document import Json

_ABOUT: Final = """What an operator may see of coo_middleware, and do to it.

Times are seconds, moments seconds since 1970, costs US dollars; null is unknown. Figures are one second old at most.
The files of the dashboard lie below the same path and need no token; GET /tables takes the token as the password of
HTTP Basic too."""


def _object(required: dict[str, Json], **optional: Json) -> Parts:
    return {"type": "object", "required": [*required], "properties": {**required, **optional}}


def _list(items: Json) -> Parts:
    return {"type": "array", "items": items}


def _refer(name: str) -> Parts:
    return {"$ref": f"#/components/schemas/{name}"}


def _map(values: Json) -> Parts:
    return {"type": "object", "additionalProperties": values}


_TEXT: Final[Parts] = {"type": "string"}
_FLAG: Final[Parts] = {"type": "boolean"}
_COUNT: Final[Parts] = {"type": "integer", "minimum": 0}
_NUMBER: Final[Parts] = {"type": "number"}
_MAYBE: Final[Parts] = {"type": ["number", "null"]}
_MAYBE_TEXT: Final[Parts] = {"type": ["string", "null"]}
_MAYBE_OBJECT: Final[Parts] = {"type": ["object", "null"]}
_MAYBE_COUNT: Final[Parts] = {"type": ["integer", "null"]}
_WINDOW: Final[Parts] = {"type": "integer", "minimum": 1, "maximum": LONGEST_WINDOW}
_COMPLETE: Final[Parts] = {"is_complete": {**_FLAG, "description": "Whether nothing had to be left out."}}
_OWNER: Final[Parts] = {"provider": _TEXT, "key": _TEXT}
_STEPS: Final[Parts] = {"window_seconds": _WINDOW, "begins": _MAYBE, "step_seconds": _COUNT}
_USAGE: Final[Parts] = {"usage": _list(_object({**_OWNER, "metrics": _map(_NUMBER)})), **_COMPLETE}
_COUNTS: Final = (
    *("requests", "hits", "stale", "collapsed", "misses", "bypassed"),
    *("failures", "tokens", "tokens_saved"),
)
_TIMES: Final = ("duration", "duration_reused", "duration_forwarded", "first_chunk")
_FIGURES: Final[Parts] = {
    **dict.fromkeys(_COUNTS, _COUNT),
    **dict.fromkeys(("hit_ratio", "error_ratio"), _MAYBE),
    **dict.fromkeys(("statuses", "errors", "tokens_by_type"), _map(_COUNT)),
    **dict.fromkeys(("cost", "cost_saved"), _NUMBER),
    **dict.fromkeys(_TIMES, _refer("Times")),
}
_LIMIT: Final = _object(
    {"label": _TEXT, "limit": _NUMBER, "window_seconds": _NUMBER, "used": _MAYBE, "reset_seconds": _MAYBE}
)
_NAME: Final = "[ -~]{1,256}"
_LABELS: Final[Parts] = {
    **_list({"type": "string", "pattern": f"^({ALL}|namespace:|({'|'.join(KINDS)}):{_NAME})$"}),
    "minItems": 1,
    "maxItems": MOST_AT_ONCE,
}
_RULE: Final[Parts] = {**dict.fromkeys(("name", "path", "model", "provider"), _TEXT), "per": _list(_TEXT)}

_SCHEMAS: Final[Parts] = {
    "Health": _object(
        {"status": {"const": "ok"}},
        store=_object({"type": _TEXT, "status": {"enum": ["ok", "away"]}, "seconds": _MAYBE}),
    ),
    "Ready": _object({"status": {"enum": ["ok", "degraded"]}}),
    "Usage": _object(_USAGE),
    "WindowUsage": _object({"window_seconds": _WINDOW, **_USAGE}),
    "Totals": _object(
        {"totals": _list(_object({**_OWNER, "metric": _TEXT, "labels": _map(_TEXT), "value": _NUMBER})), **_COMPLETE}
    ),
    "Times": _object({"count": _COUNT, "mean": _MAYBE, "p50": _MAYBE, "p95": _MAYBE}),
    "Figures": _object(_FIGURES),
    "Summary": _object(
        {
            **_STEPS,
            **_COMPLETE,
            "choices": _object({"providers": _list(_TEXT), "keys": _list(_object(_OWNER)), "models": _list(_TEXT)}),
            "all": _refer("Figures"),
            "providers": _list(_object({"provider": _TEXT, **_FIGURES})),
            "keys": _list(_object({**_OWNER, **_FIGURES})),
            "models": _list(_object({"model": _TEXT, **_FIGURES})),
        }
    ),
    "Series": _object(
        {
            **dict.fromkeys(("metric", "by"), _TEXT),
            **_STEPS,
            "times": _list(_NUMBER),
            "lines": _list(_object({"label": _TEXT, "values": _list(_MAYBE)})),
            **_COMPLETE,
        }
    ),
    "Limits": _object(
        {
            "is_kept": _FLAG,
            "keys": _list(_object({**_OWNER, "limits": _list(_LIMIT)})),
            "rules": _list(_object({**_RULE, "limits": _list(_LIMIT)})),
        }
    ),
    "Cache": _object(
        {
            "process": _map(_COUNT),
            "hit_ratio": _MAYBE,
            "entries": {**_object({"count": _COUNT, **_COMPLETE}), "type": ["object", "null"]},
        }
    ),
    "Entries": _object({"entries": _list(_refer("Entry")), "cursor": _TEXT}),
    "Entry": _object(
        {
            "key": _TEXT,
            "status": {"enum": ["fresh", "stale", "expired", "purged", "unreadable"]},
            **dict.fromkeys(("model", "provider", "format", "caller", "namespace"), _MAYBE_TEXT),
            **dict.fromkeys(("created", "ttl", "age"), _MAYBE),
            **dict.fromkeys(("size", "generation"), _MAYBE_COUNT),
            "is_stream": {"type": ["boolean", "null"]},
            "tags": {"type": ["array", "null"], "items": _TEXT},
        }
    ),
    "Description": {"type": "object"},
    "Samples": {
        **_object({"a": {"type": "object"}}, b=_MAYBE_OBJECT, answer=_MAYBE_OBJECT, show_text=_FLAG),
        "additionalProperties": False,
    },
    "Explained": _object(
        {
            "a": {"type": "object"},
            **dict.fromkeys(("b", "answer"), _MAYBE_OBJECT),
            "equal": {"type": ["boolean", "null"]},
            "differences": _list({"type": "object"}),
            "left_off": _COUNT,
        }
    ),
    "Labels": {**_object({"labels": _LABELS}, dry_run=_FLAG, count=_FLAG), "additionalProperties": False},
    "Purged": _object({"generation": _MAYBE_COUNT, "matched": _MAYBE_COUNT, "unreadable": _COUNT, **_COMPLETE}),
    "Fault": _object({"error": {**_TEXT, "description": "What is wrong, without any value."}}),
}
_PARAMETERS: Final[Parts] = {
    "window": _WINDOW,
    "seconds": _WINDOW,
    "metric": {"enum": [*METRICS]},
    "by": {"enum": ["", "provider", "key", *dict.fromkeys(label for name in METRICS for label in LABELS[name])]},
}
_FAULTS: Final = {
    "400": "The client left before its request was complete.",
    "401": "The token is missing or wrong.",
    "403": "The token may look, and not do this.",
    "404": "Nothing is stored under this key, or not any more.",
    "413": "The request is too long.",
    "422": "A parameter or a member is not valid; the text names it.",
    "500": "It failed; the server's log says how.",
    "501": "This store cannot list that.",
    "503": "The store failed, or did not answer in time.",
}


def describe(routes: Mapping[tuple[str, str], Route]) -> Parts:
    """The description of these routes."""
    paths: dict[str, Json] = {}
    for (method, path), route in routes.items():
        paths[path] = {method.lower(): _describe_route(path, route)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "coo_middleware admin API", "version": "1", "description": _ABOUT},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic"},
            },
            "schemas": _SCHEMAS,
        },
    }


def _describe_route(path: str, route: Route) -> Parts:
    faults = {status: _describe_answer(about, "Fault") for status, about in _FAULTS.items()}
    names: list[Json] = [_describe_parameter(name, "query") for name in route.parameters]
    names += [_describe_parameter(name, "path") for name in re.findall(r"\{(\w+)\}", path)]
    operation: Parts = {
        "summary": route.about,
        "parameters": names,
        "responses": {"200": _describe_answer("Done.", route.answer, route.media_type), **faults},
    }
    if route.request:
        operation["requestBody"] = {"required": True, "content": {JSON_TYPE: {"schema": _refer(route.request)}}}
    if route.needs == "none":
        operation["security"] = []
    return operation


def _describe_answer(about: str, schema: str, media_type: str = JSON_TYPE) -> Json:
    content: Json = {"schema": _refer(schema)} if schema else {"schema": _TEXT}
    return {"description": about, "content": {media_type: content}}


def _describe_parameter(name: str, place: str) -> Json:
    schema = _PARAMETERS.get(name, _TEXT)
    return {"name": name, "in": place, "required": place == "path", "schema": schema}
