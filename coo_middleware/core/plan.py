"""From a request to a cache key, or to the reason why it bypasses the cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from coo_middleware.core.coding import CodingError, decode_content
from coo_middleware.core.directives import Directives
from coo_middleware.core.document import Document, DocumentError, canonical_json, parse_document
from coo_middleware.core.envelope import Envelope, EnvelopeReader
from coo_middleware.core.format import Format, Route
from coo_middleware.core.key import digest_parts
from coo_middleware.core.naming import Naming
from coo_middleware.core.policy import CachePolicy
from coo_middleware.core.request import Headers
from coo_middleware.core.shape import Shape, wanted_shape

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

    __slots__ = ("_ask", "_limit", "_naming", "known", "read_envelope")

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
        self._ask: Final = ask_usage
        self._limit: Final = max_bytes
        envelopes = EnvelopeReader(policy, routes, secret.encode())
        self.read_envelope: Final = envelopes.read
        self.known: Final = envelopes.known
        """The names of all header fields that a plan depends on, in lower case."""

    def plan(self, route: Route, target: Target, content: bytes, fault: str = "") -> Plan:
        """The plan for a request. `fault` says why `content` is not all of it, "" when it is."""
        return self.plan_in_parts(route, target, content, fault)[0]

    def plan_in_parts(self, route: Route, target: Target, content: bytes, fault: str = "") -> tuple[Plan, Parts]:
        """The plan, and the parts that its digest is made of: none where it has no digest."""
        return self.plan_content(self.read_envelope(route, target), content, fault)

    def plan_content(self, envelope: Envelope, content: bytes, fault: str = "") -> tuple[Plan, Parts]:
        """The same for the content of an envelope that this planner has read."""
        route, policy, fmt = envelope.route, envelope.policy, envelope.route.format
        content, document, content_fault = (b"", {}, fault) if fault else self._read(envelope, content)
        stream = route.stream if route.stream is not None else document.get("stream", fmt.streams) is True
        provider, model = self._naming.name(route.provider, envelope.path, route.model or _model(document))
        bypass = content_fault or fmt.bypass(document) or envelope.scope_fault
        bypass = bypass if policy.enabled else "disabled"
        asks = self._ask and stream and provider not in fmt.telling
        stem = envelope.stems[stream]
        members = () if bypass else make_member_parts(fmt, policy, document)
        plan = Plan(
            format=fmt,
            provider=provider,
            model=model,
            shape=wanted_shape(fmt, document, stream=stream),
            caller=envelope.caller,
            directives=envelope.directives,
            policy=policy,
            digest=b"" if bypass else digest_parts(members, stem.framed),
            bypass=bypass,
            content=content,
            asking=fmt.ask(content, document) if asks and fmt.ask else None,
        )
        return plan, () if bypass else (*stem.parts, *members)

    def _read(self, envelope: Envelope, content: bytes) -> tuple[bytes, Document, str]:
        """The content decoded, the document in it and "", or an empty one and the reason."""
        if envelope.fault:
            return content, {}, envelope.fault
        try:
            if envelope.coding:
                content = decode_content(content, envelope.coding, self._limit)
            document = parse_document(content)
        except (CodingError, DocumentError) as error:
            return content, {}, error.reason
        fault = _member_fault(envelope.route, document)
        return content, {} if fault else document, fault


def make_member_parts(fmt: Format, policy: CachePolicy, document: Document) -> Parts:
    """The parts of a cache key that a document makes, behind all others."""
    members = _without_usage(fmt, fmt.normalize(document, policy.normalize))
    return tuple(
        [
            (MEMBER + name.encode(), canonical_json(members[name], ordered=name in fmt.ordered))
            for name in sorted(members)
            if name != "stream" and name not in fmt.left_out
        ]
    )


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
