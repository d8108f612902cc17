"""core/envelope.py: what is known of a request before its content."""

from __future__ import annotations

import pytest

from coo_middleware.core.envelope import Envelope, EnvelopeReader
from coo_middleware.core.key import ANONYMOUS, frame_parts
from coo_middleware.core.plan import Target
from coo_middleware.core.policy import CachePolicy
from coo_middleware.core.routes import RoutePolicy
from coo_middleware.formats import recognise
from tests.plans import BEARER, HEADERS, JSON_TYPE

PATH = b"/v1/chat/completions"


def read(*fields: tuple[bytes, bytes], policy: CachePolicy | None = None, path: bytes = PATH) -> Envelope:
    route = recognise(path.decode())
    assert route is not None
    return EnvelopeReader(policy or CachePolicy(), (), b"").read(route, Target(path, b"key=sk-in-query", fields))


def test_no_credential_is_in_it() -> None:
    """Whoever looks at an envelope finds a digest of its credentials, and none of them."""
    envelope = read(JSON_TYPE, BEARER, (b"x-api-key", b"sk-in-field"))

    assert 12 == len(envelope.caller)
    assert not any(secret in repr(envelope) for secret in ("Bearer k", "sk-in-query", "sk-in-field"))


@pytest.mark.parametrize(
    ("fields", "fault", "scope_fault"),
    [
        ([JSON_TYPE], "", ""),
        ([(b"content-type", b"Application/JSON; charset=UTF-8")], "", ""),
        ([], "content-type", ""),
        ([(b"content-type", b"multipart/form-data; boundary=x")], "multipart", ""),
        ([JSON_TYPE, (b"range", b"bytes=0-1")], "range", ""),
        ([JSON_TYPE, BEARER, BEARER], "", "credentials"),
    ],
)
def test_faults_are_told(fields: list[tuple[bytes, bytes]], fault: str, scope_fault: str) -> None:
    """What is against reading the content, and against knowing who asks, is told apart."""
    envelope = read(*fields)

    assert (fault, scope_fault) == (envelope.fault, envelope.scope_fault)


def test_stems_differ_where_a_stream_has_a_key_of_its_own() -> None:
    """A body's stem and a stream's are one where a stored answer serves both, and two where it does not."""
    one, other = read(*HEADERS).stems
    apart = read(*HEADERS, policy=CachePolicy(cross_shape=False)).stems

    assert one is other
    assert [(b"stream", b"0"), (b"stream", b"1")] == [stem.parts[-1] for stem in apart]
    assert [stem.framed for stem in (one, *apart)] == [frame_parts(stem.parts) for stem in (one, *apart)]


def test_known_fields_are_those_of_every_path() -> None:
    """The fields on which an envelope depends are those of the policy and of each route's scope."""
    policy = CachePolicy(scope_headers=("X-User",), key_headers=("X-Mode",))
    routes = (RoutePolicy("/a/*", scope="header:X-Team"), RoutePolicy("/b/*", scope="header:X-Dept"))
    known = EnvelopeReader(policy, routes, b"").known

    assert {b"x-user", b"x-mode", b"x-team", b"x-dept", b"authorization", b"content-type", b"cache-control"} <= known
    assert b"x-request-id" not in known
    assert {b"x-team", b"x-dept"}.isdisjoint(EnvelopeReader(policy, (), b"").known)


def test_nobody_is_anonymous() -> None:
    """Without any credential the caller has the one name that says so."""
    route = recognise(PATH.decode())
    assert route is not None
    reader = EnvelopeReader(CachePolicy(), (), b"")

    assert ANONYMOUS == reader.read(route, Target(PATH, b"", (JSON_TYPE,))).caller
