"""Requests for the tests of core/plan.py."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from coo_middleware.core.format import Route
from coo_middleware.core.plan import Plan, Planner, Target
from coo_middleware.core.policy import CachePolicy
from coo_middleware.formats.chat import CHAT

if TYPE_CHECKING:
    from coo_middleware.core.document import Document
    from coo_middleware.core.format import Format
    from coo_middleware.core.request import Headers

STRICT = CachePolicy(normalize="strict")
TEXT = CachePolicy()
JSON_TYPE = (b"content-type", b"application/json")
BEARER = (b"authorization", b"Bearer k")
HEADERS = (JSON_TYPE, BEARER)
DOCUMENT: Document = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
CONTENT = json.dumps(DOCUMENT).encode()


def make_plan(
    content: bytes = CONTENT,
    headers: Headers = HEADERS,
    *,
    query: bytes = b"",
    path: bytes = b"/v1/chat/completions",
    fmt: Format = CHAT,
    route: Route | None = None,
    policy: CachePolicy = TEXT,
    secret: str = "",
    fault: str = "",
) -> Plan:
    """The plan for a chat request, in which each part can be another."""
    route = route or Route(fmt, fmt.provider)
    return Planner(policy, secret=secret).plan(route, Target(path, query, headers), content, fault)


def digest(document: Document, policy: CachePolicy = TEXT) -> bytes:
    """The digest for `document`."""
    return make_plan(json.dumps(document).encode(), policy=policy).digest


def asked(*fields: tuple[bytes, bytes], query: bytes = b"", policy: CachePolicy = TEXT) -> bytes:
    """The digest for a request with these fields."""
    return make_plan(headers=(JSON_TYPE, *fields), query=query, policy=policy).digest
