"""A request's head, sorted once by what each field means to us."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from coo_middleware.core.policy import CachePolicy

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]

_CREDENTIALS: Final = (
    b"authorization",
    b"x-api-key",
    b"api-key",
    b"x-goog-api-key",
    b"cookie",
    b"openai-organization",
    b"openai-project",
    b"anthropic-workspace-id",
    b"x-goog-user-project",
)
# Fields that change the answer. A second operation under another idempotency key is meant to be another one.
_SELECTING: Final = (b"anthropic-version", b"anthropic-beta", b"openai-beta", b"accept-language", b"idempotency-key")
_LISTS: Final = frozenset({b"anthropic-beta", b"openai-beta"})


@dataclass(frozen=True, slots=True)
class Head:
    """The fields of one request that we act on, names in lower case, repeated ones kept. `tenant` are the values of
    the field that the policy's `header:<name>` scope names.
    """

    credentials: tuple[tuple[bytes, bytes], ...]
    selecting: tuple[tuple[bytes, bytes], ...]
    tenant: tuple[bytes, ...]
    cache_control: bytes
    content_types: tuple[bytes, ...]
    encoded: bool
    ranged: bool


class HeadReader:
    """Reads heads by one policy: every field name is looked up once, in one pass."""

    __slots__ = ("_roles", "_tenant")

    def __init__(self, policy: CachePolicy) -> None:
        # The later rule wins: a field that says who is asking counts as a credential, whatever else names it.
        roles = dict.fromkeys((*_SELECTING, *_names(policy.key_headers)), "selecting")
        roles |= dict.fromkeys((*_CREDENTIALS, *_names(policy.scope_headers)), "credential")
        roles |= {b"cache-control": "control", b"content-type": "type", b"content-encoding": "encoding"}
        self._roles: Final = roles | {b"range": "range", b"if-range": "range"}
        self._tenant: Final = policy.scope.removeprefix("header:").lower().encode()

    def read(self, headers: Iterable[tuple[bytes, bytes]]) -> Head:
        """The head of one request."""
        found: dict[str, list[tuple[bytes, bytes]]] = {}
        for raw, value in headers:
            name = raw.lower()
            role = self._roles.get(name)
            if role is not None:
                found.setdefault(role, []).append((name, value))
            if name == self._tenant:
                found.setdefault("tenant", []).append((name, value))
        return Head(
            credentials=tuple(found.get("credential", ())),
            selecting=_select(found.get("selecting", ())),
            tenant=tuple(value for _, value in found.get("tenant", ())),
            cache_control=b", ".join(value for _, value in found.get("control", ())),
            content_types=tuple(value for _, value in found.get("type", ())),
            encoded=any(value.strip().lower() not in (b"", b"identity") for _, value in found.get("encoding", ())),
            ranged="range" in found,
        )


def is_json(head: Head) -> bool:
    """Whether the content is said to be JSON in UTF-8 (RFC 8259 section 8.1) and nothing else beside it."""
    if len(head.content_types) != 1:
        return False
    media, _, parameters = head.content_types[0].lower().partition(b";")
    charset = parameters.strip().removeprefix(b"charset=").strip(b'"')
    return media.strip() == b"application/json" and charset in (b"", b"utf-8", b"utf8")


def _names(names: Iterable[str]) -> list[bytes]:
    return [name.lower().encode() for name in names]


def _select(fields: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    """Sorted by name, for the order of fields says nothing; nor does the order of features in a list of them."""
    return tuple(sorted((name, _sort_list(value) if name in _LISTS else value) for name, value in fields))


def _sort_list(value: bytes) -> bytes:
    return b",".join(sorted(item.strip() for item in value.split(b",")))
