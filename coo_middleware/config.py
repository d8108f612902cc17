"""The configuration: frozen settings, read strictly; an error names the file, the line and the field, never a value."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, TypeAlias, cast

from annotated_types import Ge, Gt, Le
from pydantic import TypeAdapter, ValidationError

from coo_middleware.core.policy import STRICT, CachePolicy, StrictSettings
from coo_middleware.core.routes import RoutePolicy
from coo_middleware.core.rules import cache_settings
from coo_middleware.core.sealing import read_key
from coo_middleware.faults import Fault, Source, explain_name, explain_rule, find_foreign
from coo_middleware.formats.router import FORMAT_NAMES
from coo_middleware.stores import StoreSettings, http_address, redis_address
from coo_middleware.yaml_source import read_yaml

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from coo_middleware.core.document import Json
    from coo_middleware.faults import FieldPath

ConfigSource: TypeAlias = "str | os.PathLike[str] | Mapping[str, object] | Config | None"

_VARIABLE: Final[dict[str, Json]] = {"type": "string", "pattern": r"\$\{"}
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CHECKS: Final = {"redis": redis_address.find_faults, "http": http_address.find_faults}


@dataclass(frozen=True, slots=True)
class MetricsPolicy:
    """Settings under `policy.metrics`."""

    __pydantic_config__: ClassVar[StrictSettings] = STRICT

    enabled: bool = True
    """Record usage per provider and key."""
    include_usage: bool = True
    """Ask a streaming OpenAI call for its usage, and take out of the answer what the client did not ask for."""
    max_keys: Annotated[int, Ge(1), Le(1_000_000)] = 1000
    """Provider keys beyond this many are counted under `other`."""
    estimate_tokens: Literal["off", "o200k_base"] = "off"
    """Estimate the tokens of answers for which the provider tells none, by this encoding; needs the extra `tokens`."""
    max_models: Annotated[int, Ge(1), Le(1_000_000)] = 1000
    """Models beyond this many are recorded as `other`."""
    flush_seconds: Annotated[float, Ge(0.001), Le(10)] = 0.05
    """How long increments gather before they leave in one batch, in seconds."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Settings under `policy`."""

    __pydantic_config__: ClassVar[StrictSettings] = STRICT

    cache: CachePolicy = field(default_factory=CachePolicy)
    """What is stored and reused."""
    metrics: MetricsPolicy = field(default_factory=MetricsPolicy)
    """What is counted."""
    on_disconnect: Literal["finish", "cancel"] = "finish"
    """What becomes of a call when its last client has left: `finish` lets it end, so that its usage is counted and its
    answer stored; `cancel` ends it."""
    on_disconnect_max: Annotated[int, Ge(0), Le(1_000_000)] = 100
    """So many calls may go on without a client at the same time, those that refresh stale responses among them; what
    comes beyond is cancelled."""
    on_disconnect_seconds: Annotated[float, Gt(0), Le(86_400)] = 120.0
    """How long a call may go on without a client before it is cancelled."""
    routes: tuple[RoutePolicy, ...] = ()
    """Which paths speak what, and whose models are whose, where their names do not tell."""
    max_request_bytes: Annotated[int, Ge(1024), Le(1_073_741_824)] = 10_485_760
    """A longer request is streamed through uncached."""
    secret: str = field(default="", repr=False)
    """Keys the digests of credentials, so that nobody without it can test a guess against a store's keys."""


@dataclass(frozen=True, slots=True)
class StorageApi:
    """Settings under `storage.api`: how `python -m coo_middleware.storage_api` serves the store."""

    __pydantic_config__: ClassVar[StrictSettings] = STRICT

    api_key: str = field(default="", repr=False)
    """The bearer token that clients must present, of at least 16 characters."""
    max_request_bytes: Annotated[int, Ge(1024), Le(1_073_741_824)] = 8_388_608
    """A longer request is refused."""


@dataclass(frozen=True, slots=True)
class Storage:
    """Settings under `storage`."""

    __pydantic_config__: ClassVar[StrictSettings] = STRICT

    runtime: StoreSettings = field(default_factory=StoreSettings)
    """Where metrics and stored responses lie."""
    api: StorageApi = field(default_factory=StorageApi)
    """How they are served to others over HTTP."""


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration; every field has a default. What `load_config` and `make_config` return is checked."""

    __pydantic_config__: ClassVar[StrictSettings] = STRICT

    storage: Storage = field(default_factory=Storage)
    """Where the middleware remembers."""
    policy: Policy = field(default_factory=Policy)
    """What the middleware does."""


class ConfigError(ValueError):
    """The configuration cannot be used. The text has one line for each fault: `coo.yaml:7: policy.cache.ttl: …`. It
    shows names, kinds and limits, and no value.
    """


def load_config(path: str | os.PathLike[str]) -> Config:
    """The configuration in the YAML file at `path`. Raises ConfigError with every fault found."""
    return _build(read_yaml(path))


def make_config(source: ConfigSource) -> Config:
    """The configuration that `source` stands for: a YAML file's path, a mapping of the same structure (in which `$`
    means itself), a Config to be checked, or None for the defaults. Raises ConfigError.
    """
    if isinstance(source, str | os.PathLike):
        return load_config(source)
    return _build(Source("config", asdict(source) if isinstance(source, Config) else source or {}))


def config_schema() -> dict[str, Json]:
    """The JSON Schema (2020-12) of a configuration file, as published in `coo.schema.json`. Where a number, a boolean
    or a choice is wanted, a text with `${` is valid as well, and a section may be null.
    """
    schema = _ADAPTER.json_schema()
    for section in (schema, *schema["$defs"].values()):
        section |= {"properties": {name: _loosen(each) for name, each in section["properties"].items()}}
        del section["title"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "coo_middleware", **schema}


def _loosen(member: dict[str, Json]) -> Json:
    about: dict[str, Json] = {name: member.pop(name) for name in ("description", "default") if name in member}
    about["description"] = " ".join(str(about["description"]).split())
    member.pop("title", None)
    if "$ref" in member:
        return about | {"anyOf": [member, {"type": "null"}]}
    if "anyOf" in member:
        return about | {"anyOf": [*cast("list[Json]", member["anyOf"]), _VARIABLE]}
    if "enum" in member or member["type"] not in {"string", "array"}:
        return about | {"anyOf": [member, _VARIABLE]}
    return about | member


def _build(source: Source) -> Config:
    config, faults = _validate(source.tree)
    if faults := [*source.faults, *faults] or list(_check(config)):
        raise ConfigError(source.describe(faults))
    return config


def _validate(tree: object) -> tuple[Config, list[Fault]]:
    # Returned and not raised: a ConfigError raised in here would carry pydantic's error, which holds the values.
    if foreign := list(find_foreign(tree)):
        return Config(), foreign
    text = json.dumps(_fill(tree, Config()), default=_plain)
    try:
        return _ADAPTER.validate_json(text, strict=True), []
    except ValidationError as error:
        return Config(), [_explain(each) for each in error.errors(include_url=False)]


def _explain(error: ErrorDetails) -> Fault:
    path = error["loc"]
    if error["type"] == "unexpected_keyword_argument":
        section: Config | RoutePolicy = Config()
        for name in path[:-1]:
            # The only list whose items have fields is that of the routes.
            section = RoutePolicy() if isinstance(name, int) else cast("Config", getattr(section, name))
        return explain_name(path, [each.name for each in fields(section)])
    return explain_rule(error["type"], path, error["input"], error.get("ctx", {}))


def _fill(value: object, section: object) -> object:
    """A section of which nothing is said, as in `policy:`, is a section with its defaults."""
    if not is_dataclass(section):
        return value
    if isinstance(value, Mapping):
        return {name: _fill(member, getattr(section, name, None)) for name, member in value.items()}
    return {} if value is None else value


def _plain(value: object) -> object:
    return os.fspath(value) if isinstance(value, os.PathLike) else dict(cast("Mapping[str, object]", value))


def _check(config: Config) -> Iterator[Fault]:
    """What no single field can say about itself."""
    yield from _check_store(config.storage.runtime)
    for place, route in enumerate(config.policy.routes):
        if route.format and route.format not in FORMAT_NAMES:
            known = ", ".join(FORMAT_NAMES)
            yield Fault(("policy", "routes", place, "format"), f"must be one of {known}, got a text")
        if route.scope is not None:
            yield from _check_scope(("policy", "routes", place, "scope"), route.scope)
        if route.model != "*" and cache_settings(route):
            refusal = "settings of the cache go by the path alone; give them a rule without a model"
            yield Fault(("policy", "routes", place, "model"), refusal)
    cache = config.policy.cache
    yield from _check_scope(("policy", "cache", "scope"), cache.scope)
    for field_name, headers in (("scope_headers", cache.scope_headers), ("key_headers", cache.key_headers)):
        for place, header in enumerate(headers):
            if not _TOKEN.fullmatch(header):
                path = ("policy", "cache", field_name, place)
                yield Fault(path, "must be a header's name (letters, digits and hyphens), got a text")


def _check_scope(path: FieldPath, scope: str) -> Iterator[Fault]:
    name = scope.removeprefix("header:")
    if scope not in {"credentials", "shared"} and (name == scope or not _TOKEN.fullmatch(name)):
        yield Fault(path, "must be credentials, shared or header:<name>, got a text")


def _check_store(runtime: StoreSettings) -> Iterator[Fault]:
    section = ("storage", "runtime")
    for place, key in enumerate(runtime.encryption_keys):
        try:
            read_key(key)
        except ValueError as error:
            yield Fault((*section, "encryption_keys", place), str(error))
    if runtime.type in _CHECKS:
        for name, refusal in _CHECKS[runtime.type](runtime):
            yield Fault((*section, name), refusal)
    elif runtime.type != "memory" and not runtime.path:
        yield Fault((*section, "path"), f"the {runtime.type} store needs it; say which file keeps the data")


_ADAPTER: Final = TypeAdapter(Config)
