"""Why two requests have one cache key or two, part by part, and why a request or its answer is not for the cache.

Made of the very parts that the digest is made of, so that it cannot tell another story. Credentials are nowhere in it,
and texts only where that is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from coo_middleware.core.aliases import NAMESPACE, translate_field
from coo_middleware.core.contrast import ABSENT, WITHHELD, Found, contrast, path_of
from coo_middleware.core.document import read_json
from coo_middleware.core.plan import Parts, Plan, Target
from coo_middleware.core.reasons import Reason, explain_bypass
from coo_middleware.core.request import HeadReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coo_middleware.core.contrast import Contrast
    from coo_middleware.core.document import Document
    from coo_middleware.core.format import Route
    from coo_middleware.core.plan import Planner
    from coo_middleware.core.request import Headers

Verdict: TypeAlias = Literal["counts", "normalized", "left-out"]

CALLER: Final = "request caller"
_NAMED: Final = "request named"
_FIELD: Final = "field "
_MEMBER: Final = "member "
# The tag of a member that a path can say as well, and the members that the shape of the answer is asked for with.
_STREAM: Final = "stream"
_SHAPE: Final = (_STREAM, "stream_options")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came, what is planned for it, and the parts of its key, none where it bypasses."""

    target: Target
    plan: Plan
    parts: Parts


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a key: what it is, in the words of Difference, and its length in bytes."""

    name: str
    length: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """One request: `key` is "" where `bypass` says why it has none. `caller` is a short keyed digest. `wishes` are what
    its header section asks of the cache.
    """

    key: str
    provider: str
    model: str
    format: str
    stream: bool
    caller: str
    bypass: Reason | None
    wishes: tuple[str, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where two requests differ: a path in the content, `header <name>`, `request path`, `request query`,
    `request caller` and other parts of a key, or `request content` where only the spelling of its JSON does.

    `verdict`: it `counts`, or it does not, because it was `normalized` away or is `left-out` of the key. `is_order`:
    only the order of members differs. Credentials are withheld, and so are header fields that do not count.
    """

    where: str
    verdict: Verdict
    a: Found
    b: Found
    is_order: bool = False


def ask(planner: Planner, route: Route, target: Target, content: bytes, fault: str = "") -> Asked:
    """One request, planned as the middleware would."""
    return Asked(target, *planner.plan_in_parts(route, target, content, fault))


def explain(asked: Asked) -> Explanation:
    """What a request is to the cache."""
    plan = asked.plan
    return Explanation(
        key="" if plan.bypass else plan.key,
        provider=plan.provider,
        model=plan.model,
        format=plan.format.name,
        stream=plan.shape.stream,
        caller=plan.caller,
        bypass=explain_bypass(plan.bypass) if plan.bypass else None,
        wishes=tuple(_read_wishes(plan)),
        parts=tuple(Part(_name(tag.decode()), len(part)) for tag, part in asked.parts),
    )


def explain_untouched(reason: str) -> Explanation:
    """A request that is no business of the middleware's."""
    return Explanation("", "", "", "", stream=False, caller="", bypass=explain_bypass(reason), wishes=(), parts=())


def compare(a: Asked, b: Asked) -> list[Difference]:
    """Where two requests differ, what counts first; nothing where one of them has no key to compare."""
    if not a.parts or not b.parts:
        return []
    selecting, identifying = map(set.union, _read_head(a), _read_head(b))
    counting = list(_compare_parts(a.parts, b.parts, identifying))
    return [*counting, *_compare_contents(a, b, counting), *_compare_heads(a, b, counting, selecting, identifying)]


def _read_wishes(plan: Plan) -> Iterator[str]:
    wishes = plan.directives
    for name in ("no_store", "no_cache", "no_write", "only_if_cached"):
        if getattr(wishes, name):
            yield name.replace("_", "-")
    for name in ("max_age", "min_fresh", "max_stale", "stale_if_error", "ttl"):
        if getattr(wishes, name) is not None:
            yield f"{name.replace('_', '-')}={getattr(wishes, name):g}"


def _name(tag: str) -> str:
    if tag.startswith(_MEMBER):
        return path_of(tag.removeprefix(_MEMBER))
    if tag.startswith(_FIELD):
        return f"header {tag.removeprefix(_FIELD)}"
    return tag if tag == _STREAM else f"request {tag}"


def _read_head(asked: Asked) -> tuple[set[bytes], set[bytes]]:
    """The names of the fields that select an answer, and of those that say who is asking."""
    policy = asked.plan.policy
    head = HeadReader(policy).read(asked.target.headers)
    tenant = policy.scope.removeprefix("header:").lower().encode()
    return {name for name, _ in head.selecting}, {tenant, *(name for name, _ in head.credentials)}


def _group(parts: Parts) -> dict[str, list[bytes]]:
    """The parts by tag: a header field may be there more than once."""
    grouped: dict[str, list[bytes]] = {}
    for tag, part in parts:
        grouped.setdefault(tag.decode(), []).append(part)
    return grouped


def _compare_parts(a: Parts, b: Parts, identifying: set[bytes]) -> Iterator[Difference]:
    secret = {CALLER, *(f"header {name.decode('latin-1')}" for name in identifying)}
    ours, theirs = _group(a), _group(b)
    for tag in [*ours, *(tag for tag in theirs if tag not in ours)]:
        name, one, other = _name(tag), ours.get(tag), theirs.get(tag)
        if one == other:
            continue
        if tag.startswith(_MEMBER):
            yield from (_difference(each, "counts") for each in contrast(_json(one), _json(other), name))
        elif name in secret:
            yield Difference(name, "counts", WITHHELD, WITHHELD)
        else:
            yield Difference(name, "counts", _text(one), _text(other))


def _json(parts: list[bytes] | None) -> Found:
    return ABSENT if parts is None else read_json(parts[0])


def _text(parts: list[bytes] | None) -> Found:
    return ABSENT if parts is None else b", ".join(parts).decode("latin-1")


def _difference(each: Contrast, verdict: Verdict) -> Difference:
    return Difference(each.path, verdict, each.a, each.b, each.is_order)


def _compare_contents(a: Asked, b: Asked, counting: list[Difference]) -> Iterator[Difference]:
    """Where the contents differ as they came, but for what counts."""
    ours, theirs = _read(a), _read(b)
    keyed = {tag for tag, _ in (*a.parts, *b.parts)}
    places = [each.where for each in counting]
    is_spelling = a.plan.content != b.plan.content
    for name in {**ours, **theirs}:
        is_keyed = f"{_MEMBER}{name}".encode() in keyed and name not in _SHAPE
        found = contrast(ours.get(name, ABSENT), theirs.get(name, ABSENT), path_of(name))
        for each in (each for each in found if not each.is_order):
            is_spelling = False
            if not any(_leads(place, each.path) or _leads(each.path, place) for place in places):
                yield _difference(each, "normalized" if is_keyed else "left-out")
    if is_spelling and not places:
        yield Difference("request content", "normalized", WITHHELD, WITHHELD)


def _read(asked: Asked) -> Document:
    document = read_json(asked.plan.content)
    return document if isinstance(document, dict) else {}


def _leads(outer: str, inner: str) -> bool:
    """Whether the place `inner` is `outer` or lies in it."""
    return inner.startswith(outer) and inner[len(outer) : len(outer) + 1] in ("", ".", "[")


def _compare_heads(
    a: Asked, b: Asked, counting: list[Difference], selecting: set[bytes], identifying: set[bytes]
) -> Iterator[Difference]:
    """The header fields that differ and do not count."""
    places = {each.where for each in counting}
    ours, theirs = _fields(a.target.headers), _fields(b.target.headers)
    for name in sorted({*ours, *theirs}):
        where = f"header {name.decode('latin-1')}"
        told = where in places or (CALLER in places and name in identifying)
        told = told or (_NAMED in places and translate_field(name, b"")[0] == NAMESPACE)
        if ours.get(name) != theirs.get(name) and not told:
            yield Difference(where, "normalized" if name in selecting else "left-out", WITHHELD, WITHHELD)


def _fields(headers: Headers) -> dict[bytes, list[bytes]]:
    fields: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        fields.setdefault(name.lower(), []).append(value)
    return fields
