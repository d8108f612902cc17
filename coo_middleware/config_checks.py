"""What no single setting can say about itself: names that must be known, unlike others, or fit for where they go."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, TypeAlias

from coo_middleware.core.rules import cache_settings
from coo_middleware.core.sealing import read_key
from coo_middleware.core.session import read_session
from coo_middleware.faults import Fault, FieldPath
from coo_middleware.formats.router import FORMAT_NAMES
from coo_middleware.stores import StoreSettings, http_address, redis_address

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coo_middleware.config import Config, Policy
    from coo_middleware.core.policy import CachePolicy
    from coo_middleware.core.providers import LLMProvider
    from coo_middleware.core.quotas import LimitRule
    from coo_middleware.core.routes import RoutePolicy

Faults: TypeAlias = Iterator[Fault]

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_RULE_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
_ADMIN_TOKEN: Final = re.compile(r"[!-~]{16,}")
_PATH: Final = re.compile(r"(/[A-Za-z0-9._-]+)+")
_BASE_URL: Final = re.compile(r"https?://[^\s/@?#]+(/[^\s@?#]*)?")
_AMOUNTS: Final = ("requests", "tokens", "input_tokens", "output_tokens", "cost", "concurrency")
_STORES: Final = {"redis": redis_address.find_faults, "http": http_address.find_faults}


def check_config(config: Config) -> Faults:
    """The faults of settings whose fields are right each by itself."""
    yield from _check_store(config.storage.runtime)
    yield from _check_providers(config.llm_providers)
    yield from _check_policy(config.policy)
    yield from _check_exports(config)
    known = {name for each in config.llm_providers for name in (each.id, each.type)}
    for place, name in enumerate(config.policy.fallback.providers):
        if not name or name not in known:
            path = ("policy", "fallback", "providers", place)
            yield Fault(path, "must be the id or the type of one of llm_providers, got a text")


def _check_store(runtime: StoreSettings) -> Faults:
    section = ("storage", "runtime")
    for place, key in enumerate(runtime.encryption_keys):
        try:
            read_key(key)
        except ValueError as error:
            yield Fault((*section, "encryption_keys", place), str(error))
    if runtime.type in _STORES:
        for name, refusal in _STORES[runtime.type](runtime):
            yield Fault((*section, name), refusal)
    elif runtime.type != "memory" and not runtime.path:
        yield Fault((*section, "path"), f"the {runtime.type} store needs it; say which file keeps the data")


def _check_exports(config: Config) -> Faults:
    admin, scrapes = config.admin, config.exporters.prometheus
    if admin.enabled and not (admin.read_token or admin.write_token):
        yield Fault(("admin", "read_token"), "the admin API needs it or write_token; nobody is let in without")
    tokens = (
        ("admin", "read_token", admin.read_token),
        ("admin", "write_token", admin.write_token),
        ("exporters", "prometheus", "token", scrapes.token),
    )
    for *path, token in tokens:
        if token and not _ADMIN_TOKEN.fullmatch(token):
            yield Fault(tuple(path), "must be at least 16 printable ASCII characters without a space, got a text")
    if admin.read_token and admin.read_token == admin.write_token:
        yield Fault(("admin", "write_token"), "must not be the read_token, which may not write")
    paths = (("admin", "path"), ("exporters", "prometheus", "path"), ("exporters", "prometheus", "fleet_path"))
    values = (admin.path, scrapes.path, scrapes.fleet_path)
    for name, value in zip(paths, values, strict=True):
        if not _PATH.fullmatch(value) and (value or name[-1] != "fleet_path"):
            yield Fault(name, "must begin with / and not end with it: letters, digits, - _ . / alone; got a text")
    if scrapes.path == scrapes.fleet_path:
        yield Fault(("exporters", "prometheus", "fleet_path"), "must not be the path of this process's own metrics")


def _check_providers(providers: tuple[LLMProvider, ...]) -> Faults:
    yield from _check_names((("llm_providers", place, "id"), each.id) for place, each in enumerate(providers))
    for place, provider in enumerate(providers):
        path = ("llm_providers", place)
        if provider.base_url and not _BASE_URL.fullmatch(provider.base_url):
            refusal = "must be an address that begins with http:// or https://, without user, password, query and space"
            yield Fault((*path, "base_url"), f"{refusal}, got a text")
        yield from _check_session((*path, "limits", "session_type"), provider.limits.session_type)
        yield from _check_keys(path, provider)


def _check_keys(path: FieldPath, provider: LLMProvider) -> Faults:
    for place, secret in enumerate(provider.api_keys):
        yield from _check_secret((*path, "api_keys", place), secret)
    # These have names too: those under `keys` must be others.
    counted = [((*path, "api_keys", place), f"{provider.id}-{place + 1}") for place in range(len(provider.api_keys))]
    named = [((*path, "keys", place, "id"), key.id) for place, key in enumerate(provider.keys)]
    yield from _check_names([*counted, *named])
    for place, key in enumerate(provider.keys):
        yield from _check_secret((*path, "keys", place, "secret"), key.secret)
        if key.limits is not None:
            yield from _check_session((*path, "keys", place, "limits", "session_type"), key.limits.session_type)


def _check_secret(path: FieldPath, secret: str) -> Faults:
    if not secret:
        yield Fault(path, "is empty; set the variable that it is read from, or remove the key")
    elif not (secret.isascii() and secret.isprintable()) or secret != secret.strip():
        yield Fault(path, "must be printable ASCII without outer space and line ends, as a header field is, got a text")


def _check_session(path: FieldPath, text: str) -> Faults:
    try:
        read_session(text)
    except ValueError as error:
        yield Fault(path, str(error))


def _check_names(named: Iterable[tuple[FieldPath, str]]) -> Faults:
    """Each is there, can be shown, and is not one before it."""
    seen: set[str] = set()
    for path, name in named:
        if not name.strip() or not name.isprintable():
            yield Fault(path, "must be a printable text that is not empty")
        elif name in seen:
            yield Fault(path, "is the name of one before it; each needs its own")
        seen.add(name)


def _check_policy(policy: Policy) -> Faults:
    for place, route in enumerate(policy.routes):
        yield from _check_route(("policy", "routes", place), route)
    yield from _check_cache(("policy", "cache"), policy.cache)
    rules = policy.limits.rules
    path = ("policy", "limits", "rules")
    yield from _check_names(((*path, place, "name"), rule.name) for place, rule in enumerate(rules))
    for place, rule in enumerate(rules):
        yield from _check_rule((*path, place), rule)
    if policy.cooldown_max_seconds < policy.cooldown_seconds:
        yield Fault(("policy", "cooldown_max_seconds"), "must be at least cooldown_seconds")


def _check_route(path: FieldPath, route: RoutePolicy) -> Faults:
    if route.format and route.format not in FORMAT_NAMES:
        yield Fault((*path, "format"), f"must be one of {', '.join(FORMAT_NAMES)}, got a text")
    if route.scope is not None:
        yield from _check_scope((*path, "scope"), route.scope)
    if route.model != "*" and cache_settings(route):
        refusal = "settings of the cache go by the path alone; give them a rule without a model"
        yield Fault((*path, "model"), refusal)


def _check_cache(path: FieldPath, cache: CachePolicy) -> Faults:
    yield from _check_scope((*path, "scope"), cache.scope)
    for field_name, headers in (("scope_headers", cache.scope_headers), ("key_headers", cache.key_headers)):
        for place, header in enumerate(headers):
            if not _TOKEN.fullmatch(header):
                refusal = "must be a header's name (letters, digits and hyphens), got a text"
                yield Fault((*path, field_name, place), refusal)


def _check_scope(path: FieldPath, scope: str) -> Faults:
    name = scope.removeprefix("header:")
    if scope not in {"credentials", "shared"} and (name == scope or not _TOKEN.fullmatch(name)):
        yield Fault(path, "must be credentials, shared or header:<name>, got a text")


def _check_rule(path: FieldPath, rule: LimitRule) -> Faults:
    if rule.name and not _RULE_NAME.fullmatch(rule.name):
        yield Fault((*path, "name"), "must be letters, digits, hyphens, underscores and points, got a text")
    if not any(getattr(rule, name) for name in _AMOUNTS):
        yield Fault(path, f"limits nothing; give it an amount above 0 of {', '.join(_AMOUNTS)}")
    if rule.count_hits and not rule.requests:
        yield Fault((*path, "count_hits"), "counts requests; give the rule requests above 0")
    if len(set(rule.per)) < len(rule.per):
        yield Fault((*path, "per"), "names one of them twice; remove it")
