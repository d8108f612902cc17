"""Who steers the cache: a request by its header fields, the app by those of its answer, both read strictly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from coo_middleware.core.aliases import MODE, NAMESPACE, TAGS, TTL, translate_field
from coo_middleware.core.directives import NO_WISHES, Directives, read_directives, read_seconds, split_directives
from coo_middleware.core.structured import parse_dictionary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from coo_middleware.core.policy import CachePolicy
    from coo_middleware.core.request import Headers
    from coo_middleware.core.structured import Item

    Reader: TypeAlias = Callable[[Directives, Sequence[bytes], CachePolicy], Directives]

TARGETED: Final = b"coo-cache-control"
LONGEST_NAME: Final = 200
MOST_TAGS: Final = 64

_OFF: Final = Directives(no_store=True, no_cache=True)
_ANEW: Final = Directives(no_cache=True)
_MODES: Final = {
    b"on": NO_WISHES,
    b"off": _OFF,
    b"read": Directives(no_write=True),
    b"write": _ANEW,
    b"refresh": _ANEW,
}


@dataclass(frozen=True, slots=True)
class AnswerWishes:
    """What the app says of its answer, all times in seconds, None where it leaves them to the policy.

    `private`: it may be stored for its own caller only. `age`: so old it was when it came.
    """

    ttl: float | None = None
    no_store: bool = False
    private: bool = False
    stale_while_revalidate: float | None = None
    stale_if_error: float | None = None
    tags: tuple[str, ...] = ()
    age: float = 0.0


def read_wishes(fields: Headers, policy: CachePolicy) -> Directives:
    """What the steering fields of a request ask for, as far as the policy lets its caller. Where several speak, the
    strictest counts.
    """
    if not fields:
        return NO_WISHES
    said: dict[str, list[bytes]] = {}
    for field, value in fields:
        name, translated = translate_field(field, value)
        said.setdefault(name, []).append(translated)
    wishes = _read_standard(said, policy)
    for name, read in _READERS.items():
        if name in said and name in policy.callers.controls:
            wishes = read(wishes, said[name], policy)
    return wishes


def answer_wishes(headers: Headers) -> AnswerWishes:
    """What `Coo-Cache-Control` says, a targeted field (RFC 9213): where it is there, Cache-Control is not for us. Of
    Cache-Control itself only what forbids counts, since freshness is the policy's own. `Age` counts either way.
    """
    targeted, ages = b", ".join(_values(headers, TARGETED)), _values(headers, b"age")
    told = _read_targeted(targeted) if targeted.strip(b" \t,") else _read_control(_values(headers, b"cache-control"))
    return replace(told, age=_age(ages)) if ages else told


def effective_ttl(policy: CachePolicy, wishes: Directives, answer: AnswerWishes, ttl: float | None) -> float:
    """The freshness lifetime of an answer in seconds, its age when it came included; 0 where it must not be stored, or
    is no longer fresh. `ttl` is the handler's, which counts before the answer's own; either may be shortened by the
    request.
    """
    if wishes.no_store or wishes.no_write or answer.no_store:
        return 0.0
    told = answer.ttl if ttl is None else ttl
    known = [seconds for seconds in (told, wishes.ttl) if seconds is not None]
    lifetime = min(known, default=policy.ttl_seconds)
    return lifetime if lifetime > answer.age else 0.0


def effective_grace(
    policy: CachePolicy, answer: AnswerWishes, *, revalidate: float | None, error: float | None
) -> tuple[float, float]:
    """How long after its lifetime an answer may still be reused while it is revalidated, and where the upstream fails,
    in seconds. `revalidate` and `error` are the handler's, which count before the answer's own.
    """
    told = [
        (revalidate, answer.stale_while_revalidate, policy.stale_while_revalidate_seconds),
        (error, answer.stale_if_error, policy.stale_if_error_seconds),
    ]
    swr, sie = (next((each for each in row if each is not None), 0.0) for row in told)
    return swr, sie


def effective_tags(wishes: Directives, answer: AnswerWishes, tags: Sequence[str]) -> tuple[str, ...]:
    """The tags of an answer as it is stored: the request's, its own and the handler's, each once."""
    return _distinct((*wishes.tags, *answer.tags, *tags))


def is_name(text: str, longest: int = LONGEST_NAME) -> bool:
    """Whether a text may be a namespace or a tag: printable, without outer space, of 1 to `longest` characters."""
    return 0 < len(text) <= longest and text.isprintable() and text == text.strip()


def _read_standard(said: dict[str, list[bytes]], policy: CachePolicy) -> Directives:
    control = b", ".join(said.get("cache-control", ()))
    if control:
        return read_directives(control, policy.callers.controls)
    # RFC 9111 section 5.4: Pragma speaks where Cache-Control is silent, and has one word to say.
    pragma = b", ".join(said.get("pragma", ()))
    names = split_directives(pragma)
    asked = pragma and (names is None or "no-cache" in names) and "no-cache" in policy.callers.controls
    return _ANEW if asked else NO_WISHES


def _read_mode(wishes: Directives, values: Sequence[bytes], policy: CachePolicy) -> Directives:
    del policy
    modes = [_MODES.get(word.strip(b" \t").lower(), _OFF) for word in b",".join(values).split(b",")]
    return replace(
        wishes,
        no_store=wishes.no_store or any(mode.no_store for mode in modes),
        no_cache=wishes.no_cache or any(mode.no_cache for mode in modes),
        no_write=wishes.no_write or any(mode.no_write for mode in modes),
    )


def _read_ttl(wishes: Directives, values: Sequence[bytes], policy: CachePolicy) -> Directives:
    said = [read_seconds(value.decode("latin-1").strip(" \t")) or 0.0 for value in values]
    # What is no time, and no time at all, keep the answer out.
    if not all(said):
        return replace(wishes, no_write=True)
    return replace(wishes, ttl=min(*said, max(policy.ttl_seconds, policy.callers.max_ttl_seconds)))


def _read_namespace(wishes: Directives, values: Sequence[bytes], policy: CachePolicy) -> Directives:
    names = {_text(value) for value in values}
    if len(names) != 1 or not is_name(name := names.pop(), policy.callers.max_name_length):
        # Under no name that was meant, the answer would be found by others than was meant.
        return replace(wishes, no_store=True, no_cache=True)
    return replace(wishes, namespace=name)


def _read_tags(wishes: Directives, values: Sequence[bytes], policy: CachePolicy) -> Directives:
    tags = _distinct(tag for value in values for tag in map(str.strip, _text(value).split(",")) if tag)
    callers = policy.callers
    if len(tags) > callers.max_tags or not all(is_name(tag, callers.max_name_length) for tag in tags):
        # Without its tag it would outlive a purge that is meant for it.
        return replace(wishes, no_write=True)
    return replace(wishes, tags=tags)


_READERS: Final[dict[str, Reader]] = {
    MODE: _read_mode,
    TTL: _read_ttl,
    NAMESPACE: _read_namespace,
    TAGS: _read_tags,
}


def _read_control(values: Iterable[bytes]) -> AnswerWishes:
    names: set[str] = set()
    for value in values:
        told = split_directives(value)
        if told is None:
            return AnswerWishes(no_store=True)
        names |= told.keys()
    grace = _forbidden_grace(names)
    return AnswerWishes(None, "no-store" in names, "private" in names, grace, grace)


def _read_targeted(value: bytes) -> AnswerWishes:
    members = parse_dictionary(value)
    if members is None:
        return AnswerWishes(no_store=True)
    told = {name for name, member in members.items() if member is not False}
    ttl, tags = _time(members, "max-age"), _tags(members.get("tags", ()))
    grace = _forbidden_grace(told)
    return AnswerWishes(
        ttl=ttl,
        # A response that must be revalidated each time (`no-cache`) is of no use to us: there is nothing to ask with.
        no_store=not told.isdisjoint({"no-store", "no-cache"}) or ttl == 0 or tags is None,
        private="private" in told,
        stale_while_revalidate=_time(members, "stale-while-revalidate") if grace is None else grace,
        stale_if_error=_time(members, "stale-if-error") if grace is None else grace,
        tags=tags or (),
    )


def _forbidden_grace(names: set[str]) -> float | None:
    """RFC 9111 section 5.2.2.2: what must be revalidated is never reused stale."""
    return None if names.isdisjoint({"must-revalidate", "proxy-revalidate"}) else 0.0


def _age(values: Sequence[bytes]) -> float:
    """How old an answer is that says so other than in one whole number, nobody knows."""
    seconds = read_seconds(values[0].decode("latin-1").strip(" \t")) if len(values) == 1 else None
    return float("inf") if seconds is None else seconds


def _time(members: dict[str, Item], name: str) -> float | None:
    """A member's seconds, 0 for what is no time, None where nothing is said."""
    if name not in members:
        return None
    member = members[name]
    return read_seconds(str(member)) or 0.0 if type(member) is int else 0.0


def _tags(member: Item) -> tuple[str, ...] | None:
    items = member if isinstance(member, tuple) else (member,)
    tags = _distinct(item for item in items if isinstance(item, str) and is_name(item))
    return tags if len(tags) == len(set(items)) and len(tags) <= MOST_TAGS else None


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def _text(value: bytes) -> str:
    """What is not UTF-8 becomes unprintable, and so no name."""
    return value.strip(b" \t").decode(errors="surrogateescape")


def _values(headers: Headers, name: bytes) -> list[bytes]:
    return [value for field, value in headers if field.lower() == name]
