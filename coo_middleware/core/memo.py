"""What was planned for requests that came before, so that a repeated one is not parsed again.

A plan is found under all that it depends on: the content as it came, and a digest of the route, the path, the query and
every header field that a plan reads, credentials among them. So no caller finds a plan that was made for another, and
no credential is kept. The settings are those of one planner. Nothing in a plan changes or ages, so it may be shared.
"""

from __future__ import annotations

import hashlib
import marshal
from typing import TYPE_CHECKING, Final, TypeAlias

from coo_middleware.core.batch import make_batch
from coo_middleware.core.generations import Generations

if TYPE_CHECKING:
    from coo_middleware.core.batch import Batch
    from coo_middleware.core.envelope import Envelope
    from coo_middleware.core.format import Route
    from coo_middleware.core.plan import Plan, Planner, Target

    _Key: TypeAlias = tuple[bytes, bytes]

MAX_BYTES: Final = 16_777_216
"""What the contents of all plans that are kept may take."""
MAX_PLANS: Final = 4096
LONGEST: Final = 1_048_576
"""A longer content is not kept, in bytes."""

_ENVELOPE_BYTES: Final = 2_097_152
_MOST_ENVELOPES: Final = 1024
# What is taken beside texts.
_OVERHEAD: Final = 1024
# The last version that writes the same bytes for equal values, whatever else refers to them.
_PLAIN: Final = 2


class Memo:
    """The plans of one planner. Neither are batches kept, nor what may not be: requests that bypass the cache, those
    with `no-store` (RFC 9111 section 5.2.1.5), and all of them where it only observes.
    """

    __slots__ = ("_envelopes", "_known", "_planner", "_plans")

    def __init__(self, planner: Planner) -> None:
        self._planner: Final = planner
        self._known: Final = planner.known
        self._plans: Generations[_Key, Plan] = Generations(MAX_PLANS, MAX_BYTES)
        self._envelopes: Generations[bytes, Envelope] = Generations(_MOST_ENVELOPES, _ENVELOPE_BYTES)

    def plan(self, route: Route, target: Target, content: bytes, fault: str = "") -> tuple[Plan, Batch | None]:
        """The planner's plan for a request and the batch that it is. `fault` says why `content` is not all of it, ""
        when it is.
        """
        digest = self._digest(route, target)
        key = digest, content
        plan = None if fault else self._plans.find(key)
        if plan is not None:
            return plan, None
        envelope = self._envelopes.find(digest) or self._read(digest, route, target)
        plan, parts = self._planner.plan_content(envelope, content, fault)
        batch = make_batch(plan, parts)
        if batch is None and _may_be_kept(plan) and len(content) <= LONGEST:
            self._plans.add(key, plan, _OVERHEAD + len(content) + len(plan.content) + len(plan.asking or b""))
        return plan, batch

    def _digest(self, route: Route, target: Target) -> bytes:
        fields = [(name, value) for raw, value in target.headers if (name := raw.lower()) in self._known]
        told = (route.format.name, route.provider, route.model, route.stream, target.path, target.query, fields)
        return hashlib.sha256(marshal.dumps(told, _PLAIN)).digest()

    def _read(self, digest: bytes, route: Route, target: Target) -> Envelope:
        envelope = self._planner.read_envelope(route, target)
        if not envelope.directives.no_store:
            self._envelopes.add(digest, envelope, _OVERHEAD + 4 * len(envelope.stems[0].framed))
        return envelope


def _may_be_kept(plan: Plan) -> bool:
    return bool(plan.digest) and not plan.directives.no_store and plan.policy.mode != "observe"
