"""The header fields by which requests steer: our own, and those of other gateways in our words."""

from __future__ import annotations

from typing import Final, TypeAlias

MODE: Final = "x-coo-cache"
TTL: Final = "x-coo-ttl"
NAMESPACE: Final = "x-coo-namespace"
TAGS: Final = "x-coo-tags"

Words: TypeAlias = dict[bytes, bytes]

# The values that a field has, in ours. A value that is not among them stays as it is, and so agrees to nothing.
_AS_IT_IS: Final[Words] = {}
_ENABLES: Final[Words] = {b"true": b"on", b"false": b"off"}
_SKIPS: Final[Words] = {b"true": b"off", b"false": b"on"}
_REFRESHES: Final[Words] = {b"true": b"refresh", b"false": b"on"}

ALIASES: Final[dict[bytes, tuple[str, Words]]] = {
    # developers.cloudflare.com/ai-gateway/features/caching. A client's own key never stands in for ours, it adds to it.
    b"cf-aig-skip-cache": (MODE, _SKIPS),
    b"cf-aig-cache-ttl": (TTL, _AS_IT_IS),
    b"cf-aig-cache-key": (NAMESPACE, _AS_IT_IS),
    # docs.helicone.ai/features/advanced-usage/caching
    b"helicone-cache-enabled": (MODE, _ENABLES),
    b"helicone-cache-save": (MODE, {b"true": b"write", b"false": b"on"}),
    b"helicone-cache-read": (MODE, {b"true": b"read", b"false": b"on"}),
    b"helicone-cache-seed": (NAMESPACE, _AS_IT_IS),
    # portkey.ai/docs/product/ai-gateway/cache-simple-and-semantic
    b"x-portkey-cache-force-refresh": (MODE, _REFRESHES),
    b"x-portkey-cache-namespace": (NAMESPACE, _AS_IT_IS),
    b"x-portkey-debug": (MODE, _ENABLES),
    # braintrust.dev/docs/deploy/ai-proxy
    b"x-bt-use-cache": (MODE, {b"auto": b"on", b"always": b"on", b"never": b"off"}),
    b"x-bt-cache-ttl": (TTL, _AS_IT_IS),
    # openrouter.ai/docs/guides/features/response-caching
    b"x-openrouter-cache": (MODE, _ENABLES),
    b"x-openrouter-cache-ttl": (TTL, _AS_IT_IS),
    b"x-openrouter-cache-clear": (MODE, _REFRESHES),
}


def steering_fields(*, compat: bool) -> frozenset[bytes]:
    """The names of the fields that steer, in lower case; with `compat` those of other gateways too."""
    own = (b"cache-control", b"pragma", *(name.encode() for name in (MODE, TTL, NAMESPACE, TAGS)))
    return frozenset(own).union(ALIASES if compat else ())


def translate_field(name: bytes, value: bytes) -> tuple[str, bytes]:
    """A field in our words; `name` is one of `steering_fields`."""
    told = ALIASES.get(name)
    if told is None:
        return name.decode("latin-1"), value
    return told[0], told[1].get(value.strip(b" \t").lower(), value)
