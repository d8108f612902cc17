"""A request with several inputs, each of which is stored and found by itself.

An input has the key of the request that asks for it alone, so that it serves both, and any other batch. Its entry is
the answer to that request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from coo_middleware.core.document import Document, canonical_json, parse_document
from coo_middleware.core.entry import Entry
from coo_middleware.core.format import Portions
from coo_middleware.core.freshness import judge
from coo_middleware.core.key import digest_parts
from coo_middleware.core.plan import MEMBER, Plan, make_member_parts
from coo_middleware.core.shares import add_usage, share_usage
from coo_middleware.core.vectors import Vectors

if TYPE_CHECKING:
    from coo_middleware.core.plan import Parts

# No provider takes more at once, but for Cohere's rerank.
MOST_INPUTS: Final = 2048
_MOST_BYTES: Final = 33_554_432


@dataclass(frozen=True, slots=True)
class Batch:
    """`document` is what `plan` asks, `digests` are those of its inputs in their order, each as if asked alone."""

    plan: Plan
    portions: Portions
    document: Document
    digests: tuple[bytes, ...]

    @property
    def distinct(self) -> tuple[bytes, ...]:
        """The digests, each once."""
        return tuple(dict.fromkeys(self.digests))

    @property
    def limit(self) -> int:
        """The longest answer that is taken apart, in bytes: each input's may be as long as an entry."""
        return max(
            self.plan.policy.max_entry_bytes, min(_MOST_BYTES, len(self.digests) * self.plan.policy.max_entry_bytes)
        )

    def make_plan(self, digest: bytes) -> Plan:
        """The plan under whose key an input's answer is stored."""
        return replace(self.plan, digest=digest)

    def take_apart(self, entry: Entry) -> list[Entry]:
        """What to store of the answer to the whole: an entry for each input, and the answer itself where it cannot be
        taken apart.
        """
        vectors = Vectors()
        answers = self.portions.divide(self.document, vectors.read(entry.content))
        if answers is None:
            return [entry]
        usages = share_usage(entry.usage, self.portions.weigh(self.document))
        entries = {
            digest: replace(entry, digest=digest, usage=usage, content=vectors.write(answer))
            for digest, usage, answer in zip(self.digests, usages, answers, strict=True)
        }
        return [each for each in entries.values() if len(each.content) <= self.plan.policy.max_entry_bytes]

    def merge(self, entries: Mapping[bytes, Entry]) -> Entry | None:
        """The entry that answers the whole, as old as the oldest of its inputs' and fresh as long as all of them are;
        None where one is missing or they do not belong together.
        """
        if not entries.keys() >= set(self.digests):
            return None
        each = [entries[digest] for digest in self.digests]
        vectors = Vectors()
        answers = {digest: vectors.read(entries[digest].content) for digest in self.distinct}
        latest = each.index(max(each, key=_created))
        joined = self.portions.join(self.document, [answers[digest] for digest in self.digests], latest)
        if joined is None:
            return None
        created = min(map(_created, each))
        ends = min(map(_end, each))
        return replace(
            each[0],
            digest=self.plan.digest,
            created=created,
            ttl=ends - created,
            stale_while_revalidate=max(0.0, min(_end(entry) + entry.stale_while_revalidate for entry in each) - ends),
            stale_if_error=max(0.0, min(_end(entry) + entry.stale_if_error for entry in each) - ends),
            usage=add_usage([entry.usage for entry in each]),
            content=vectors.write(joined),
        )

    def choose(self, entries: Mapping[bytes, Entry], now: float) -> Rest | None:
        """What is left to ask for beside the entries that may answer at `now`; None where all of it is to be asked for,
        as it came.
        """
        fresh = {digest: entry for digest, entry in entries.items() if self._serves(entry, now)}
        left = [digest for digest in self.distinct if digest not in fresh]
        asked = self.portions.pick(self.document, [self.digests.index(digest) for digest in left]) if left else {}
        if not left or asked == self.document:
            return None
        content = canonical_json(asked, ordered=True)
        # Of several inputs a digest that no request has, but what is left of another one may have.
        digest = (
            left[0] if len(left) == 1 else digest_parts([(b"inputs of", self.plan.format.name.encode()), *_tag(left)])
        )
        plan = replace(self.plan, digest=digest, content=content, asking=content)
        return Rest(self, Batch(plan, self.portions, asked, tuple(left)), fresh)

    def _serves(self, entry: Entry, now: float) -> bool:
        verdict = judge(entry, self.plan.directives, now)
        return verdict.serves and verdict.fwd == "request"


@dataclass(frozen=True, slots=True)
class Rest:
    """What is `left` of the `whole` request to ask for, as a request of its own; `entries` answer the others."""

    whole: Batch
    left: Batch
    entries: Mapping[bytes, Entry]

    @property
    def saved(self) -> dict[tuple[str, str], int]:
        """The tokens that were not asked for, by the provider and the key that once did the work."""
        saved: dict[tuple[str, str], int] = {}
        for digest in self.whole.digests:
            entry = self.entries.get(digest)
            if entry is not None and entry.usage is not None:
                name = entry.provider, entry.key_id
                saved[name] = saved.get(name, 0) + entry.usage.tokens
        return saved

    def complete(self, content: bytes) -> bytes | None:
        """The answer to the whole from the answer to what was left; None where they do not fit together."""
        vectors, portions, digests = Vectors(), self.whole.portions, self.whole.digests
        told = portions.divide(self.left.document, vectors.read(content))
        if told is None:
            return None
        answers = dict(zip(self.left.digests, told, strict=True))
        answers |= {digest: vectors.read(entry.content) for digest, entry in self.entries.items()}
        place = digests.index(self.left.digests[0])
        joined = portions.join(self.whole.document, [answers[digest] for digest in digests], place)
        return None if joined is None else vectors.write(joined)


def make_batch(plan: Plan, parts: Parts) -> Batch | None:
    """The batch that a request is, whose digest is made of `parts`; None where it has one input, or is not to be taken
    apart.
    """
    portions, policy = plan.format.portions, plan.policy
    if portions is None or not plan.digest or not policy.per_input or policy.mode == "observe":
        return None
    if plan.directives.no_store or b"[" not in plan.content:
        # Without a list there are no inputs to tell apart, and a content is long to parse.
        return None
    document = parse_document(plan.content)
    singles = portions.split(document)
    if singles is None or len(singles) > MOST_INPUTS:
        return None
    fixed = [part for part in parts if not part[0].startswith(MEMBER)]
    digests = [digest_parts((*fixed, *make_member_parts(plan.format, policy, single))) for single in singles]
    return Batch(plan, portions, document, tuple(digests))


def _end(entry: Entry) -> float:
    return entry.created + entry.ttl


def _created(entry: Entry) -> float:
    return entry.created


def _tag(digests: list[bytes]) -> list[tuple[bytes, bytes]]:
    return [(b"input", digest) for digest in digests]
