"""From a request to a cache key, or to the reason why it bypasses the cache."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from coo_middleware.core.directives import Directives, read_directives
from coo_middleware.core.document import Document, DocumentError, canonical_json, parse_document
from coo_middleware.core.format import Format
from coo_middleware.core.key import SCHEMA, ScopeError, caller_digest, caller_identity, digest_parts, public_query
from coo_middleware.core.request import Head, Headers, HeadReader, is_json

if TYPE_CHECKING:
    from coo_middleware.core.policy import CachePolicy

_LONGEST_MODEL: Final = 256


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked of whom: the path as it came (RFC 9110 section 7.1), the query without its question mark."""

    path: bytes
    query: bytes
    headers: Headers


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with a request. `digest` is its cache key's, b"" where `bypass` says why there is none.

    `caller` is a short keyed digest of the credentials, fit to be shown. `asking` is the content with usage asked
    for, None where the app gets what came.
    """

    format: Format
    model: str
    stream: bool
    caller: str
    directives: Directives
    digest: bytes
    bypass: str
    asking: bytes | None

    @property
    def key(self) -> str:
        """The cache key in the store: its schema's version and the digest in hexadecimal."""
        return "1" + self.digest.hex()


class Planner:
    """Plans requests by one policy."""

    __slots__ = ("_ask", "_heads", "_policy", "_secret")

    def __init__(self, policy: CachePolicy, *, secret: str = "", ask_usage: bool = True) -> None:
        self._policy: Final = policy
        self._heads: Final = HeadReader(policy)
        self._secret: Final = secret.encode()
        self._ask: Final = ask_usage

    def plan(self, fmt: Format, target: Target, content: bytes, fault: str = "") -> Plan:
        """The plan for a request. `fault` says why `content` is not all of it, "" when it is."""
        head = self._heads.read(target.headers)
        caller, scope, scope_fault = self._caller(head, target.query)
        document, content_fault = ({}, fault) if fault else _read_content(head, content)
        stream = document.get("stream") is True
        bypass = self._policy_fault() or content_fault or fmt.bypass(document) or scope_fault
        return Plan(
            format=fmt,
            model=_model(document),
            stream=stream,
            caller=caller,
            directives=read_directives(head.cache_control),
            digest=b"" if bypass else self._digest(fmt, target, head, scope, document),
            bypass=bypass,
            asking=fmt.ask(content, document) if self._ask and stream and fmt.ask else None,
        )

    def _policy_fault(self) -> str:
        return "" if self._policy.enabled else "disabled"

    def _caller(self, head: Head, query: bytes) -> tuple[str, bytes, str]:
        """Who is asking (shown), in which scope, and why not."""
        try:
            identity = caller_identity(head, query)
        except ScopeError:
            return "ambiguous", b"", "credentials"
        mark = caller_digest(identity, self._secret)
        shown = mark.hex()[:12] if identity else "anonymous"
        if self._policy.scope == "credentials":
            return shown, mark, ""
        if self._policy.scope == "shared":
            return shown, b"", ""
        # Any other number of values than one would let a caller choose its scope.
        tenant = head.tenant[0] if len(head.tenant) == 1 else b""
        return shown, hashlib.sha256(tenant).digest(), "" if tenant else "scope"

    def _digest(self, fmt: Format, target: Target, head: Head, scope: bytes, document: Document) -> bytes:
        policy = self._policy
        members = [
            (name, canonical_json(value, ordered=name in fmt.ordered))
            for name, value in sorted(fmt.normalize(document, policy.normalize).items())
            if name != "stream" and name not in fmt.left_out
        ]
        parts = [
            (b"schema", SCHEMA),
            (b"namespace", policy.namespace.encode()),
            (b"scope", policy.scope.encode()),
            (b"caller", scope),
            (b"format", fmt.name.encode()),
            (b"normalize", policy.normalize.encode()),
            (b"path", target.path),
            (b"query", public_query(target.query)),
            (b"stream", b"1" if document.get("stream") else b"0"),
            *((b"field " + name, value) for name, value in head.selecting),
            *((b"member " + name.encode(), value) for name, value in members),
        ]
        return digest_parts(parts)


def _read_content(head: Head, content: bytes) -> tuple[Document, str]:
    """The document and "", or an empty one and the reason."""
    fault = _head_fault(head)
    if fault:
        return {}, fault
    try:
        document = parse_document(content)
    except DocumentError as error:
        return {}, error.reason
    fault = _member_fault(document)
    return ({}, fault) if fault else (document, "")


def _head_fault(head: Head) -> str:
    if head.encoded:
        return "content-encoding"
    if head.ranged:
        return "range"
    return "" if is_json(head) else "content-type"


def _member_fault(document: Document) -> str:
    """Members that every format gives one meaning; another kind of value there is the upstream's to judge."""
    model = document.get("model")
    if not isinstance(model, str) or not 0 < len(model) <= _LONGEST_MODEL or not model.isprintable():
        return "model"
    if not isinstance(document.get("messages", []), list):
        return "messages"
    return "" if isinstance(document.get("stream", False), bool) else "stream"


def _model(document: Document) -> str:
    model = document.get("model")
    return model if isinstance(model, str) else ""
