"""The configuration: frozen settings, read strictly; an error names the file, the line and the field, never a value."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, TypeAlias, cast

from annotated_types import Ge, Gt, Le
from pydantic import TypeAdapter, ValidationError

from coo_middleware.config_checks import check_config
from coo_middleware.core.exports import Admin, Exporters
from coo_middleware.core.policy import STRICT, CachePolicy, StrictSettings
from coo_middleware.core.providers import Algorithm, FallbackPolicy, HybridWeights, LLMProvider, Priority, RetryPolicy
from coo_middleware.core.quotas import LimitsPolicy
from coo_middleware.core.routes import RoutePolicy
from coo_middleware.faults import Fault, Source, explain_name, explain_rule, find_foreign
from coo_middleware.sections import fill, names_beside
from coo_middleware.stores import StoreSettings
from coo_middleware.yaml_source import read_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

    from coo_middleware.core.document import Json

ConfigSource: TypeAlias = "str | os.PathLike[str] | Mapping[str, object] | Config | None"

_VARIABLE: Final[dict[str, Json]] = {"type": "string", "pattern": r"\$\{"}


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
    series: bool = True
    """Count by model, cache status, token type and duration too, for the usage API, the dashboard and exporters."""
    max_series: Annotated[int, Ge(10), Le(1_000_000)] = 10_000
    """Beyond so many of these counters in a process, models are counted as `other`."""
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
    limits: LimitsPolicy = field(default_factory=LimitsPolicy)
    """How much callers may ask for."""
    algorithm: Algorithm = "least_loaded"
    """Which of a provider's keys takes the next call: the one whose limits are used least, each in its turn, or by
    `hybrid_weights`."""
    priority: Priority = "balanced"
    """Which weights `hybrid` has where `hybrid_weights` gives none: all alike, or most on the cost, the requests or the
    tokens."""
    hybrid_weights: HybridWeights | None = None
    """The weights of `hybrid`."""
    fallback: FallbackPolicy = field(default_factory=FallbackPolicy)
    """Who is picked when no key of a provider may be."""
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    """How often a request may be tried."""
    cooldown_seconds: Annotated[float, Gt(0), Le(86_400)] = 5.0
    """So long does a key rest that was refused or has failed, in seconds, where the provider does not say how long;
    each further time in a row twice as long."""
    cooldown_max_seconds: Annotated[float, Gt(0), Le(86_400)] = 300.0
    """The longest that a key rests, in seconds, whatever the provider says; so long does one whose credential is
    refused."""
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
    exporters: Exporters = field(default_factory=Exporters)
    """Where metrics go besides the store."""
    admin: Admin = field(default_factory=Admin)
    """The admin API and its dashboard."""
    llm_providers: tuple[LLMProvider, ...] = ()
    """Who does the work, and with which keys."""


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
        choices = cast("list[dict[str, Json]]", member["anyOf"])
        return about | {"anyOf": [*choices, *([] if "$ref" in choices[0] else [_VARIABLE])]}
    if "enum" in member or member["type"] not in {"string", "array"}:
        return about | {"anyOf": [member, _VARIABLE]}
    return about | member


def _build(source: Source) -> Config:
    config, faults = _validate(source.tree)
    if faults := [*source.faults, *faults] or list(check_config(config)):
        raise ConfigError(source.describe(faults))
    return config


def _validate(tree: object) -> tuple[Config, list[Fault]]:
    # Returned and not raised: a ConfigError raised in here would carry pydantic's error, which holds the values.
    if foreign := list(find_foreign(tree)):
        return Config(), foreign
    text = json.dumps(fill(tree, Config), default=_plain)
    try:
        return _ADAPTER.validate_json(text, strict=True), []
    except ValidationError as error:
        return Config(), [_explain(each) for each in error.errors(include_url=False)]


def _explain(error: ErrorDetails) -> Fault:
    path = error["loc"]
    if error["type"] == "unexpected_keyword_argument":
        return explain_name(path, names_beside(path, Config))
    if error["type"] == "missing":
        return Fault(path, "is missing; write it down, for it has no default")
    return explain_rule(error["type"], path, error["input"], error.get("ctx", {}))


def _plain(value: object) -> object:
    return os.fspath(value) if isinstance(value, os.PathLike) else dict(cast("Mapping[str, object]", value))


_ADAPTER: Final = TypeAdapter(Config)
