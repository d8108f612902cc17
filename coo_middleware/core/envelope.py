"""What is known of a request before its content: who asks whom, by which settings, and where its cache key begins."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from coo_middleware.core.directives import Directives
from coo_middleware.core.format import Route
from coo_middleware.core.key import (
    ANONYMOUS,
    SCHEMA,
    ScopeError,
    caller_digest,
    caller_identity,
    frame_parts,
    public_query,
)
from coo_middleware.core.policy import CachePolicy
from coo_middleware.core.request import Head, is_json, is_multipart
from coo_middleware.core.rules import Rules
from coo_middleware.core.steering import read_wishes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.core.format import Format
    from coo_middleware.core.plan import Parts, Target
    from coo_middleware.core.routes import RoutePolicy


@dataclass(frozen=True, slots=True)
class Stem:
    """The parts with which a cache key begins, and what of its digest they make."""

    parts: tuple[tuple[bytes, bytes], ...]
    framed: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """One request without its content. No credential is in it.

    `path` is decoded. `caller` is a short keyed digest of the credentials, fit to be shown. `coding` is the value of
    Content-Encoding. `fault` says why no document may be read in the content, `scope_fault` why nobody knows who asks;
    "" where there is no reason. `stems` are for a body and for a stream.
    """

    route: Route
    path: str
    policy: CachePolicy
    directives: Directives
    caller: str
    coding: bytes
    fault: str
    scope_fault: str
    stems: tuple[Stem, Stem]


class EnvelopeReader:
    """Reads envelopes by one policy, and by what its routes say instead."""

    __slots__ = ("_rules", "_secret", "known")

    def __init__(self, policy: CachePolicy, routes: Sequence[RoutePolicy], secret: bytes) -> None:
        self._rules: Final = Rules(policy, routes)
        self._secret: Final = secret
        self.known: Final = self._rules.known
        """The names of all header fields that an envelope depends on, in lower case."""

    def read(self, route: Route, target: Target) -> Envelope:
        """The envelope of one request."""
        path = unquote(target.path.decode("latin-1"))
        ruling = self._rules.find(path)
        policy, head = ruling.policy, ruling.heads.read(target.headers)
        wishes = read_wishes(head.steering, policy)
        caller, scope, scope_fault = self._caller(policy, head, target.query)
        # Beside the policy's namespace and never in its place: no caller gets out of the one, nor into it by its name.
        named = ((b"named", wishes.namespace.encode()),) if wishes.namespace else ()
        who = ((b"caller", scope), *named)
        return Envelope(
            route=route,
            path=path,
            policy=policy,
            directives=wishes,
            caller=caller,
            coding=head.coding,
            fault=_head_fault(route.format, head),
            scope_fault=scope_fault,
            stems=_make_stems(policy, route, target, head, who),
        )

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


def _make_stems(policy: CachePolicy, route: Route, target: Target, head: Head, who: Parts) -> tuple[Stem, Stem]:
    fmt = route.format
    first = (
        (b"schema", SCHEMA),
        (b"namespace", policy.namespace.encode()),
        (b"scope", policy.scope.encode()),
        *who,
        (b"format", fmt.name.encode()),
        (b"normalize", policy.normalize.encode()),
        (b"path", target.path),
        (b"query", public_query(target.query)),
    )
    fields = tuple([(b"field " + name, value) for name, value in head.selecting])
    if policy.cross_shape and fmt.rendering is not None and route.stream is None:
        both = _make_stem((*first, (b"stream", b""), *fields))
        return both, both
    return _make_stem((*first, (b"stream", b"0"), *fields)), _make_stem((*first, (b"stream", b"1"), *fields))


def _make_stem(parts: Parts) -> Stem:
    return Stem(parts, frame_parts(parts))


def _head_fault(fmt: Format, head: Head) -> str:
    if head.ranged:
        return "range"
    if is_json(head) or (fmt.untyped and not head.content_types):
        return ""
    return "multipart" if is_multipart(head) else "content-type"
