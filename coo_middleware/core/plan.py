"""From a request to a cache key, or to the reason why it bypasses the cache."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import unquote

from coo_middleware.core.coding import CodingError, decode_content
from coo_middleware.core.directives import Directives
from coo_middleware.core.document import Document, DocumentError, canonical_json, parse_document
from coo_middleware.core.format import Format, Route
from coo_middleware.core.key import (
    ANONYMOUS,
    SCHEMA,
    ScopeError,
    caller_digest,
    caller_identity,
    digest_parts,
    public_query,
)
from coo_middleware.core.naming import Naming
from coo_middleware.core.policy import CachePolicy
from coo_middleware.core.request import Head, Headers, is_json, is_multipart
from coo_middleware.core.rules import Rules
from coo_middleware.core.shape import Shape, wanted_shape
from coo_middleware.core.steering import read_wishes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.core.routes import RoutePolicy

_LONGEST_MODEL: Final = 256
_MOST_BYTES: Final = 10_485_760
_NO_RULES: Final = Naming()
# What the tags of the parts that a document makes begin with.
MEMBER: Final = b"member "

Parts: TypeAlias = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked of whom: the path as it came (RFC 9110 section 7.1), the query without its question mark."""

    path: bytes
    query: bytes
    headers: Headers


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with a request. `digest` is its cache key's, b"" where `bypass` says why there is none.

    `policy` are the settings for its path. `caller` is a short keyed digest of the credentials, fit to be shown.
    `shape` is what the client wants. `content` is decoded, b"" where there is none to be read; `asking` is it with
    usage asked for, or what of it is left to be asked for; None where the app gets what came.
    """

    format: Format
    provider: str
    model: str
    shape: Shape
    caller: str
    directives: Directives
    policy: CachePolicy
    digest: bytes
    bypass: str
    content: bytes
    asking: bytes | None

    @property
    def asked(self) -> Shape:
        """The shape that the app is asked for."""
        return Shape(self.shape.stream, self.shape.usage or (self.shape.stream and self.asking is not None))

    @property
    def key(self) -> str:
        """The cache key in the store: its schema's version and the digest in hexadecimal. What observing keeps is no
        response, so it lies under a key where nobody looks for one.
        """
        return ("o1" if self.policy.mode == "observe" else "1") + self.digest.hex()


class Planner:
    """Plans requests by one policy, and by what its routes say instead."""

    __slots__ = ("_ask", "_limit", "_naming", "_rules", "_secret")

    def __init__(
        self,
        policy: CachePolicy,
        naming: Naming = _NO_RULES,
        *,
        secret: str = "",
        ask_usage: bool = True,
        max_bytes: int = _MOST_BYTES,
        routes: Sequence[RoutePolicy] = (),
    ) -> None:
        self._naming: Final = naming
        self._rules: Final = Rules(policy, routes)
        self._secret: Final = secret.encode()
        self._ask: Final = ask_usage
        self._limit: Final = max_bytes

    def plan(self, route: Route, target: Target, content: bytes, fault: str = "") -> Plan:
        """The plan for a request. `fault` says why `content` is not all of it, "" when it is."""
        return self.plan_in_parts(route, target, content, fault)[0]

    def plan_in_parts(self, route: Route, target: Target, content: bytes, fault: str = "") -> tuple[Plan, Parts]:
        """The plan, and the parts that its digest is made of: none where it has no digest."""
        fmt, path = route.format, unquote(target.path.decode("latin-1"))
        ruling = self._rules.find(path)
        policy, head = ruling.policy, ruling.heads.read(target.headers)
        wishes = read_wishes(head.steering, policy)
        caller, scope, scope_fault = self._caller(policy, head, target.query)
        content, document, content_fault = (b"", {}, fault) if fault else self._read(route, head, content)
        stream = route.stream if route.stream is not None else document.get("stream", fmt.streams) is True
        shape = wanted_shape(fmt, document, stream=stream)
        provider, model = self._naming.name(route.provider, path, route.model or _model(document))
        bypass = _policy_fault(policy) or content_fault or fmt.bypass(document) or scope_fault
        asks = self._ask and stream and provider not in fmt.telling
        # Beside the policy's namespace and never in its place: no caller gets out of the one, nor into it by its name.
        named = ((b"named", wishes.namespace.encode()),) if wishes.namespace else ()
        who = ((b"caller", scope), *named)
        parts = () if bypass else _make_parts(policy, route, target, head, document, who=who, stream=stream)
        plan = Plan(
            format=fmt,
            provider=provider,
            model=model,
            shape=shape,
            caller=caller,
            directives=wishes,
            policy=policy,
            digest=digest_parts(parts) if parts else b"",
            bypass=bypass,
            content=content,
            asking=fmt.ask(content, document) if asks and fmt.ask else None,
        )
        return plan, parts

    def _caller(self, policy: CachePolicy, head: Head, query: bytes) -> tuple[str, bytes, str]:
        """Who is asking (shown), in which scope, and why not."""
        try:
            identity = caller_identity(head, query)
        except ScopeError:
            return "ambiguous", b"", "credentials"
        mark = caller_digest(identity, self._secret)
        shown = mark.hex()[:12] if identity else ANONYMOUS
        if policy.scope == "credentials":
            return shown, mark, ""
        if policy.scope == "shared":
            return shown, b"", ""
        # Any other number of values than one would let a caller choose its scope.
        tenant = head.tenant[0] if len(head.tenant) == 1 else b""
        return shown, hashlib.sha256(tenant).digest(), "" if tenant else "scope"

    def _read(self, route: Route, head: Head, content: bytes) -> tuple[bytes, Document, str]:
        """The content decoded, the document in it and "", or an empty one and the reason."""
        fault = _head_fault(route.format, head)
        if fault:
            return content, {}, fault
        try:
            content = decode_content(content, head.coding, self._limit)
            document = parse_document(content)
        except (CodingError, DocumentError) as error:
            return content, {}, error.reason
        fault = _member_fault(route, document)
        return content, {} if fault else document, fault


def make_member_parts(fmt: Format, policy: CachePolicy, document: Document) -> Parts:
    """The parts of a cache key that a document makes, behind all others."""
    members = _without_usage(fmt, fmt.normalize(document, policy.normalize))
    return tuple(
        (MEMBER + name.encode(), canonical_json(value, ordered=name in fmt.ordered))
        for name, value in sorted(members.items())
        if name != "stream" and name not in fmt.left_out
    )


def _policy_fault(policy: CachePolicy) -> str:
    return "" if policy.enabled else "disabled"


def _make_parts(
    policy: CachePolicy, route: Route, target: Target, head: Head, document: Document, *, who: Parts, stream: bool
) -> Parts:
    fmt = route.format
    both = policy.cross_shape and fmt.rendering is not None and route.stream is None
    return (
        (b"schema", SCHEMA),
        (b"namespace", policy.namespace.encode()),
        (b"scope", policy.scope.encode()),
        *who,
        (b"format", fmt.name.encode()),
        (b"normalize", policy.normalize.encode()),
        (b"path", target.path),
        (b"query", public_query(target.query)),
        (b"stream", b"" if both else b"%d" % stream),
        *((b"field " + name, value) for name, value in head.selecting),
        *make_member_parts(fmt, policy, document),
    )


def _head_fault(fmt: Format, head: Head) -> str:
    if head.ranged:
        return "range"
    if is_multipart(head):
        return "multipart"
    is_assumed = fmt.untyped and not head.content_types
    return "" if is_assumed or is_json(head) else "content-type"


def _member_fault(route: Route, document: Document) -> str:
    """Members that every format gives one meaning; another kind of value there is the upstream's to judge."""
    named = route.model or not route.format.names_model
    model = document.get("model", "m" if named else "")
    if not isinstance(model, str) or not 0 < len(model) <= _LONGEST_MODEL or not model.isprintable():
        return "model"
    if not isinstance(document.get("messages", []), list):
        return "messages"
    return "" if isinstance(document.get("stream", False), bool) else "stream"


def _without_usage(fmt: Format, document: Document) -> Document:
    """The document without `include_usage`, which says how an answer comes and not what it is."""
    options = document.get("stream_options")
    if fmt.strip is None or not isinstance(options, dict):
        return document
    others = {name: value for name, value in options.items() if name != "include_usage"}
    kept = {name: value for name, value in document.items() if name != "stream_options"}
    return {**kept, "stream_options": others} if others else kept


def _model(document: Document) -> str:
    model = document.get("model")
    return model if isinstance(model, str) else ""
