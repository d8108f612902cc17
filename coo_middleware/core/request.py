"""A request's head, sorted once by what each field means to us."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Final, TypeAlias

from coo_middleware.core.aliases import steering_fields

if TYPE_CHECKING:
    from coo_middleware.core.policy import CachePolicy

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]

_CREDENTIALS: Final = frozenset(
    {
        b"authorization",
        b"x-api-key",
        b"api-key",
        b"x-goog-api-key",
        b"cookie",
        b"openai-organization",
        b"openai-project",
        b"anthropic-workspace-id",
        b"x-goog-user-project",
        # AWS: of a signature only the access key id lasts, which is no secret; a session's token is one.
        b"x-amz-security-token",
    }
)
# Fields that change the answer. A second operation under another idempotency key is meant to be another one.
_SELECTING: Final = frozenset(
    {
        b"anthropic-version",
        b"anthropic-beta",
        b"openai-beta",
        b"accept-language",
        # Cohere v1 streams events instead of lines where this says so.
        b"accepts",
        b"idempotency-key",
        b"x-amzn-bedrock-accept",
        b"x-amzn-bedrock-guardrailidentifier",
        b"x-amzn-bedrock-guardrailversion",
        b"x-amzn-bedrock-performanceconfig-latency",
        b"x-amzn-bedrock-service-tier",
        b"x-amzn-bedrock-trace",
    }
)
_LISTS: Final = frozenset({b"anthropic-beta", b"openai-beta"})
_RANGES: Final = frozenset({b"range", b"if-range"})
_CONTENT: Final = frozenset({b"content-type", b"content-encoding"})
_JSON_PARAMETERS: Final = frozenset({b"", b"charset=utf-8", b"charset=utf8"})


@dataclass(frozen=True, slots=True)
class Head:
    """The fields of one request that we act on, names in lower case, repeated ones kept. `tenant` are the values of
    the field that the policy's `header:<name>` scope names, `steering` the fields that say how to use the cache.
    """

    credentials: tuple[tuple[bytes, bytes], ...]
    selecting: tuple[tuple[bytes, bytes], ...]
    tenant: tuple[bytes, ...]
    steering: tuple[tuple[bytes, bytes], ...]
    content_types: tuple[bytes, ...]
    coding: bytes
    ranged: bool


class HeadReader:
    """Reads heads by one policy. A field that counts in two ways, as the policy may say, does count in both."""

    __slots__ = ("_credentials", "_selecting", "_steering", "_tenant", "known")

    def __init__(self, policy: CachePolicy) -> None:
        self._credentials: Final = _CREDENTIALS.union(_names(policy.scope_headers))
        self._selecting: Final = _SELECTING.union(_names(policy.key_headers))
        self._steering: Final = steering_fields(compat=policy.compat_headers)
        self._tenant: Final = policy.scope.removeprefix("header:").lower().encode()
        told = self._credentials | self._selecting | self._steering
        self.known: Final = told | _CONTENT | _RANGES | {self._tenant}
        """The names of all fields that a head depends on, in lower case."""

    def read(self, headers: Iterable[tuple[bytes, bytes]]) -> Head:
        """The head of one request."""
        fields = [(name, value) for raw, value in headers if (name := raw.lower()) in self.known]
        names = {name for name, _ in fields}
        return Head(
            credentials=_choose(fields, self._credentials),
            selecting=() if names.isdisjoint(self._selecting) else _select(_choose(fields, self._selecting)),
            tenant=_values(fields, self._tenant) if self._tenant in names else (),
            steering=() if names.isdisjoint(self._steering) else _choose(fields, self._steering),
            content_types=_values(fields, b"content-type"),
            coding=b",".join(_values(fields, b"content-encoding")) if b"content-encoding" in names else b"",
            ranged=not names.isdisjoint(_RANGES),
        )


def keyed_fields(policy: CachePolicy) -> frozenset[bytes]:
    """The names of the fields that a cache key tells apart by this policy, in lower case."""
    selecting = _SELECTING.union(_names(policy.key_headers))
    if policy.scope == "credentials":
        return selecting | _CREDENTIALS.union(_names(policy.scope_headers))
    return selecting | {policy.scope.removeprefix("header:").lower().encode()}


def is_json(head: Head) -> bool:
    """Whether the content is said to be JSON in UTF-8 (RFC 8259 section 8.1) and nothing else beside it."""
    if len(head.content_types) != 1:
        return False
    if head.content_types[0] == b"application/json":
        return True
    media, _, parameters = head.content_types[0].lower().partition(b";")
    return media.strip() == b"application/json" and parameters.replace(b'"', b"").strip() in _JSON_PARAMETERS


def is_multipart(head: Head) -> bool:
    """Whether the content is a form with files in it (RFC 7578)."""
    return any(value.lower().startswith(b"multipart/") for value in head.content_types)


def _names(names: Iterable[str]) -> list[bytes]:
    return [name.lower().encode() for name in names]


def _choose(fields: Headers, names: frozenset[bytes]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple([field for field in fields if field[0] in names])


def _values(fields: Headers, name: bytes) -> tuple[bytes, ...]:
    return tuple([value for field, value in fields if field == name])


def _select(fields: Headers) -> tuple[tuple[bytes, bytes], ...]:
    """Sorted by name alone, for only the order of fields of one name says something (RFC 9110 section 5.3), and the
    order of features in a list of them does not.
    """
    chosen = [(name, _sort_list(value) if name in _LISTS else value) for name, value in fields]
    return tuple(sorted(chosen, key=itemgetter(0)))


def _sort_list(value: bytes) -> bytes:
    return b",".join(sorted(item.strip() for item in value.split(b",")))
