"""The OpenAPI 3.1 description of the storage API, as served at GET /openapi.json."""

from __future__ import annotations

from typing import Final

from coo_middleware.core.document import MAX_NUMBER, Json
from coo_middleware.core.window import LONGEST_WINDOW
from coo_middleware.stores import MAX_KEY_BYTES
from coo_middleware.stores.checks import MOST_COUNTERS
from coo_middleware.stores.http_layout import JSON_TYPE, Parts
from coo_middleware.stores.http_limits import MOST_SETTLEMENTS

_ABOUT: Final = f"""Usage counters and stored responses of coo_middleware.

A counter is named by provider, key and metric, {MAX_KEY_BYTES} bytes of UTF-8 together; a response by a key of as many.
A name in a path is percent-encoded. One that a proxy might change (empty, dots only, with a slash, backslash, percent
sign, semicolon, question mark, number sign or control character, or beginning with ~) is sent as ~ followed by
base64url of its UTF-8, without padding.

Every metric is a sum but `latency`, which is the mean of its samples in milliseconds."""


def _object(required: dict[str, Json], **optional: Json) -> Parts:
    return {"type": "object", "required": [*required], "properties": {**required, **optional}}


def _content(schema: str) -> Parts:
    return {JSON_TYPE: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _operation(summary: str, *, answer: str = "Done", request: str = "", missing: str = "") -> Json:
    """An operation with the schemas of its answer, its request, and its answer where there is nothing."""
    responses: Parts = {"200": {"description": "Done.", "content": _content(answer)}}
    if missing:
        responses["404"] = {"description": "Nothing is stored, or not any more.", "content": _content(missing)}
    responses |= {status: {"$ref": f"#/components/responses/{name}"} for status, name in _FAULTS.items()}
    operation: Parts = {"summary": summary, "responses": responses}
    return operation | {"requestBody": {"required": True, "content": _content(request)}} if request else operation


def _parameter(name: str, about: str, *, place: str = "path", schema: Parts | None = None) -> Json:
    return {"name": name, "in": place, "required": True, "description": about, "schema": schema or {"type": "string"}}


def _fault(about: str) -> Json:
    return {"description": about, "content": _content("Fault")}


_FAULTS: Final = {"401": "Unauthorized", "413": "TooLong", "422": "Invalid", "503": "StoreFailed"}
_COUNTER: Final[list[Json]] = [
    _parameter("provider", "Whose traffic it is, such as openai."),
    _parameter("key_id", "Which of the provider's keys."),
    _parameter("metric", "What is counted, such as req, tokens or latency."),
]
_CURSOR: Final = _parameter("cursor", "Empty, sent as ~, for the first page; else what the page before said.")
_KEY: Final[list[Json]] = [_parameter("key", "The response's key.")]
_OWNER: Final = _parameter("owner", "Who wants to lead.")
_WINDOW: Final[Parts] = {"type": "integer", "minimum": 1, "maximum": LONGEST_WINDOW}
_SECONDS: Final = _parameter("seconds", "How far back.", place="query", schema=_WINDOW)
_SINCE: Final[Parts] = {
    "name": "since",
    "in": "query",
    "description": "With GET: the generation up to which all is known.",
    "schema": {"type": "integer", "minimum": 0},
}
_NUMBER: Final[Parts] = {"type": "number"}
_TEXT: Final[Parts] = {"type": "string"}
_COUNT: Final[Parts] = {"type": "integer", "minimum": 1, "maximum": MAX_NUMBER}
_NEXT: Final[Parts] = {**_TEXT, "description": "The next page's, empty at the end."}
_NAMES: Final[dict[str, Json]] = {"provider": _TEXT, "key_id": _TEXT, "metric": _TEXT}
_WRITER: Final[dict[str, Json]] = {
    "writer": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_BYTES // 4, "description": "Who sends this."},
    "sequence": {**_COUNT, "description": "The writer's own number for this; what is not above its last does nothing."},
}
_RESPONSE: Final[dict[str, Json]] = {
    "value": {"type": "string", "description": "The response's bytes, as `encoding` says."},
    "ttl_seconds": {"type": "number", "description": "Its time to live; in an answer what is left, 0 where unknown."},
}
_TICKET: Final[dict[str, Json]] = {"ticket": {"type": "string", "description": "Names a reservation; used once."}}
_TAKE: Final = _object(
    {
        "name": {"type": "string", "minLength": 1, "maxLength": 1024, "description": "What is limited, in ASCII."},
        "limit": {"type": "number", "description": "How much there may be, above 0."},
        "window_seconds": {"type": "number", "minimum": 0, "maximum": LONGEST_WINDOW, "description": "0: at once."},
        "amount": {"type": "number", "minimum": 0, "description": "How much is taken, or was used."},
    }
)
_TAKES: Final[Parts] = {"type": "array", "items": _TAKE}
_SETTLEMENTS: Final[dict[str, Json]] = {
    "settlements": {"type": "array", "maxItems": MOST_SETTLEMENTS, "items": _object({**_TICKET, "takes": _TAKES})}
}
_LEASE: Final[dict[str, Json]] = {
    "lease_seconds": {"type": "number", "description": "For how long, above 0; asking again renews it."}
}
_LEVEL: Final = _object({"used": _NUMBER, "reset_seconds": _NUMBER})
_ADMISSION: Final[dict[str, Json]] = {
    "choice": {"type": "integer", "minimum": -1, "description": "Which choice was taken, as a whole; -1 is none."},
    "wait_seconds": {"type": "number", "minimum": 0, "description": "After how long the first one passes."},
    "levels": {"type": "array", "items": {"type": "array", "items": _LEVEL}, "description": "Of each choice's takes."},
    "kept": {"const": False, "description": "Alone, where this store keeps no limits."},
}
_POINTS: Final[dict[str, Json]] = {
    "begins": {"type": "number", "description": "When the first bucket began, in seconds since 1970."},
    "step_seconds": {**_COUNT, "description": "How long a bucket is: 1, 60 or 3600 s."},
    "values": {
        "type": "array",
        "items": {"type": "array", "items": _NUMBER},
        "description": "Of each counter, the oldest bucket first; all left out where this store cannot tell them.",
    },
}
_ENCODING: Final[Parts] = {"type": "string", "enum": ["utf-8", "base64"], "default": "utf-8"}
_INCREMENT: Final = _object(
    {**_NAMES, "delta": _NUMBER},
    samples={**_COUNT, "default": 1, "description": "How many increments `delta` is the sum of."},
    age={"type": "number", "minimum": 0, "maximum": LONGEST_WINDOW, "default": 0, "description": "Seconds ago."},
)

_PATHS: Final[dict[str, Json]] = {
    "/usage/{provider}/{key_id}/{metric}": {
        "parameters": _COUNTER,
        "get": _operation("The counter's value in the current period", answer="Number"),
        "put": _operation("Set the counter and start its period anew", request="Number"),
    },
    "/usage/{provider}/{key_id}/{metric}/increment": {
        "parameters": _COUNTER,
        "post": _operation(
            "Add to the counter, its windows and its total, once for a writer's number", request="Delta"
        ),
    },
    "/usage/{provider}/{key_id}/{metric}/window": {
        "parameters": [*_COUNTER, _SECONDS],
        "get": _operation("The increments of the last seconds", answer="Number"),
    },
    "/usage/{provider}/{key_id}/{metric}/total": {
        "parameters": _COUNTER,
        "get": _operation("Every increment that the store has kept", answer="Number"),
    },
    "/cache/{key}": {
        "parameters": _KEY,
        "get": _operation("The stored response", answer="Response", missing="Nothing"),
        "put": _operation("Store a response", request="Response"),
        "delete": _operation("Forget a stored response, if there is one"),
    },
    "/purges": {
        "parameters": [_SINCE],
        "get": _operation("What was purged", answer="Purges"),
        "post": _operation("Purge all responses that have one of some labels", request="Labels", answer="Purged"),
    },
    "/responses/{cursor}": {
        "parameters": [_CURSOR],
        "get": _operation("Some of the stored responses: their keys, and how each begins", answer="Page"),
    },
    "/totals/{cursor}": {
        "parameters": [_CURSOR],
        "get": _operation("Some of the counters with their totals, each on one page", answer="Totals"),
    },
    "/points": {
        "post": _operation("The increments of the last seconds, bucket by bucket", answer="Points", request="Counters"),
    },
    "/claim/{key}/{owner}": {
        "parameters": [*_KEY, _OWNER],
        "put": _operation("Lead the work on a response, unless somebody does", answer="Leader", request="Lease"),
        "delete": _operation("End that lead, if it is this owner's"),
    },
    "/limits/reserve": {
        "post": _operation(
            "Take the first choice of which every limit has room", answer="Admission", request="Reservation"
        )
    },
    "/limits/settle": {"post": _operation("Put what was used in the place of what was taken", request="Settlements")},
    "/limits/renew": {"post": _operation("Let the leases of reservations run on", request="Renewal")},
    "/batch": {"post": _operation("Apply a batch of increments, as a whole and once", request="Batch")},
    "/health": {"get": _operation("Whether the store answers", answer="Health")},
    "/openapi.json": {"get": _operation("This description", answer="Done")},
}

DESCRIPTION: Final[Parts] = {
    "openapi": "3.1.0",
    "info": {"title": "coo_middleware storage API", "version": "1", "description": _ABOUT},
    "security": [{"token": []}],
    "paths": _PATHS,
    "components": {
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        "schemas": {
            "Number": _object({"value": _NUMBER}),
            "Delta": {
                **_object({"delta": _NUMBER}, **_WRITER),
                "dependentRequired": {"writer": ["sequence"], "sequence": ["writer"]},
            },
            "Response": _object(_RESPONSE, encoding=_ENCODING),
            "Nothing": _object({"value": {"type": "null"}}),
            "Labels": _object({"labels": {"type": "array", "items": _TEXT, "description": "all, tag:…, model:…"}}),
            "Purged": _object({"generation": _COUNT}),
            "Purges": _object({"generation": _COUNT, "floor": _COUNT, "labels": {"type": "object"}}),
            "Page": _object(
                {"cursor": _NEXT},
                responses={
                    "type": "array",
                    "items": _object({"key": _TEXT, "value": _TEXT}, encoding=_ENCODING),
                    "description": "Left out where this store cannot list them.",
                },
            ),
            "Totals": _object(
                {"cursor": _NEXT},
                totals={
                    "type": "array",
                    "items": _object({**_NAMES, "value": _NUMBER}),
                    "description": "Left out where this store cannot list them.",
                },
            ),
            "Counters": _object(
                {
                    "counters": {"type": "array", "maxItems": MOST_COUNTERS, "items": _object(_NAMES)},
                    "seconds": {**_WINDOW, "description": "How far back; it decides how long a bucket is."},
                }
            ),
            "Points": _object({}, **_POINTS),
            "Lease": _object(_LEASE),
            "Leader": _object({"owner": {"type": "string", "description": "Who leads now, whoever asked."}}),
            "Reservation": _object({**_TICKET, **_LEASE, "choices": {"type": "array", "minItems": 1, "items": _TAKES}}),
            "Admission": _object({}, **_ADMISSION),
            "Settlements": _object(_SETTLEMENTS),
            "Renewal": _object({**_SETTLEMENTS, **_LEASE}),
            "Batch": _object({**_WRITER, "increments": {"type": "array", "items": _INCREMENT}}),
            "Health": _object({"status": {"const": "ok"}}),
            "Fault": _object({"error": {"type": "string", "description": "What is wrong, without any value."}}),
            "Done": {"type": "object"},
        },
        "responses": {
            "Unauthorized": _fault("The bearer token is missing or wrong."),
            "TooLong": _fault("The request is longer than storage.api.max_request_bytes."),
            "Invalid": _fault("A name, a parameter or a member is not valid; the text names it."),
            "StoreFailed": _fault("The store failed; increments may be sent again under their number."),
        },
    },
}
