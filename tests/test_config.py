"""The configuration: what loads, what is refused, and that no message repeats a value."""

from __future__ import annotations

import json
import math
import tempfile
import traceback
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import coo_middleware.config
from coo_middleware.config import (
    Config,
    ConfigError,
    ConfigSource,
    MetricsPolicy,
    Policy,
    Storage,
    StorageApi,
    config_schema,
    load_config,
    make_config,
)
from coo_middleware.core.exports import Admin, Exporters, OtelExport, PrometheusExport
from coo_middleware.core.policy import CachePolicy, CallerPolicy
from coo_middleware.core.providers import (
    FallbackPolicy,
    HybridWeights,
    KeyLimits,
    KeySettings,
    LLMProvider,
    Pricing,
    RetryPolicy,
)
from coo_middleware.core.quotas import LimitRule, LimitsPolicy
from coo_middleware.core.routes import RoutePolicy
from coo_middleware.sections import find_section, section_fields
from coo_middleware.stores import StoreSettings

CANARY = "hunter2canary"
SCHEMA = Path(coo_middleware.config.__file__).with_name("coo.schema.json")

# The storage guide's blocks, character for character.
GUIDE_REDIS = """\
storage:
  runtime:
    type: "redis"
    addr: "localhost:6379"
    password: "${REDIS_PASSWORD}"
"""
GUIDE_MEMORY = """\
storage:
  runtime:
    type: "memory"
"""
GUIDE_HTTP = """\
storage:
  runtime:
    type: "http"
    addr: "https://api.example.com/storage"
    api_key: "${STORAGE_API_KEY}"
"""
GUIDE_FILE = """\
storage:
  runtime:
    type: "file"
    path: "./storage/data.json"
"""
GUIDE_CACHE = """\
policy:
  cache:
    enabled: true
    ttl_seconds: 10
"""
GUIDE_RUNTIME = """\
storage:
  runtime:
    type: "redis"  # redis, memory, http, file
    addr: "localhost:6379"
    password: ""
    api_key: ""
"""

EVERY_FIELD = """\
storage:
  runtime:
    type: redis
    addr: "rediss://cache:6380/1"
    mode: sentinel
    master_name: "m"
    username: "u"
    password: "p"
    sentinel_password: "q"
    tls_ca_file: "ca.pem"
    tls_cert_file: "cert.pem"
    tls_key_file: "key.pem"
    key_prefix: "coo:"
    max_connections: 7
    connect_timeout_seconds: 2
    timeout_seconds: 3
    api_key: "k"
    path: "x"
    usage_ttl_seconds: 30
    max_bytes: 70000
    max_entries: 5
    read_deadline_seconds: 0.2
    write_deadline_seconds: 0.4
    probe_seconds: 2
    journal: "j"
    compress: zstd
    encryption_keys: ["000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"]
  api:
    api_key: "a"
    max_request_bytes: 2048
policy:
  cache:
    enabled: false
    mode: shadow
    shadow_share: 0.5
    ttl_seconds: 0.5
    stale_while_revalidate_seconds: 3
    stale_if_error_seconds: 4
    collapse_replicas: false
    collapse_lease_seconds: 9
    namespace: "n"
    scope: "header:x-tenant"
    scope_headers: [x-user]
    key_headers:
      - x-flavour
    normalize: loose
    cross_shape: false
    per_input: false
    store_unclosed: true
    store_finish_reasons: [stop]
    max_entry_bytes: 2048
    local_max_bytes: 1024
    collapse: false
    collapse_max_followers: 3
    collapse_wait_seconds: 4
    callers:
      controls: [no-cache, x-coo-ttl]
      max_ttl_seconds: 20
      max_tags: 3
      max_name_length: 9
    compat_headers: true
  metrics:
    enabled: false
    include_usage: false
    max_keys: 7
    estimate_tokens: o200k_base
    max_models: 8
    series: false
    max_series: 99
    flush_seconds: 1
  limits:
    rules:
      - name: "per-caller"
        per: [caller, key]
        path: "/v1/*"
        model: "gpt-*"
        provider: "p*"
        window_seconds: 3600
        requests: 60
        tokens: 100000
        input_tokens: 60000
        output_tokens: 40000
        cost: 2.5
        concurrency: 8
        count_hits: true
    on_store_error: closed
    expected_replicas: 4
    lease_seconds: 20
    default_output_tokens: 500
    headers: false
  algorithm: hybrid
  priority: cost
  hybrid_weights:
    token_ratio: 0.1
    req_ratio: 0.3
    error_score: 0.4
    latency: 0.5
    cost_ratio: 1
  fallback:
    enabled: false
    max_providers: 1
    providers: [anthropic, p1]
  retry:
    max_attempts: 5
  cooldown_seconds: 2
  cooldown_max_seconds: 60
  routes:
    - path: "/x/*"
      model: "m?"
      provider: "p"
      format: tgi
    - path: "/y/*"
      enabled: false
      ttl_seconds: 9
      stale_while_revalidate_seconds: 0
      stale_if_error_seconds: 8
      scope: "header:X-Team"
      normalize: loose
  max_request_bytes: 4096
  on_disconnect: cancel
  on_disconnect_max: 5
  on_disconnect_seconds: 6
  secret: "s"
exporters:
  prometheus:
    enabled: true
    path: "/scrape"
    fleet_path: "/scrape/all"
    token: "a-token-of-16-characters"
    models: ["gpt-*"]
    max_series: 12
  otel:
    spans: true
    metrics: true
  log: true
admin:
  enabled: true
  path: "/ops"
  read_token: "another-token-of-16"
  write_token: "a-third-token-of-16"
llm_providers:
  - id: "p1"
    type: "anthropic"
    base_url: "https://api.example.com/v1"
    model: "m"
    api_keys: ["s1", "s2"]
    keys:
      - id: "k"
        secret: "s3"
        limits:
          req_per_min: 6
    limits:
      req_per_min: 60
      tokens_per_min: 1000
      concurrency: 4
      session_limit: 9000
      session_type: "5h"
      max_tokens: 800
    pricing:
      input_token_cost: 0.001
      output_token_cost: 0.002
      cache_read_token_cost: 0.0005
      currency: USD
"""

Load = Callable[[str], Config]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Loads a text from a file that messages call `coo.yaml`."""
    monkeypatch.chdir(tmp_path)

    def load_text(text: str) -> Config:
        Path("coo.yaml").write_text(text, encoding="utf-8")
        return load_config("coo.yaml")

    return load_text


@pytest.fixture
def refuse(load: Load) -> Callable[[str], list[str]]:
    """The lines of the error that a text ends in."""

    def refuse_text(text: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(text)
        return str(caught.value).splitlines()

    return refuse_text


Refuse = Callable[[str], list[str]]


def runtime(**settings: object) -> dict[str, object]:
    return {"storage": {"runtime": settings}}


def cache(**settings: object) -> dict[str, object]:
    return {"policy": {"cache": settings}}


def outcome_of(source: ConfigSource) -> str:
    """The representation of a configuration, or the error's text."""
    try:
        return repr(make_config(source))
    except ConfigError as error:
        return str(error)


def refusal_of(source: Mapping[str, object] | Config) -> str:
    with pytest.raises(ConfigError) as caught:
        make_config(source)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GUIDE_REDIS, StoreSettings(type="redis", addr="localhost:6379", password="from-env")),
        (GUIDE_MEMORY, StoreSettings(type="memory")),
        (GUIDE_HTTP, StoreSettings(type="http", addr="https://api.example.com/storage", api_key="key-from-env")),
        (GUIDE_FILE, StoreSettings(type="file", path="./storage/data.json")),
        (GUIDE_RUNTIME, StoreSettings(type="redis", addr="localhost:6379")),
    ],
)
def test_the_guides_storage_blocks_load_as_they_stand(
    text: str, expected: StoreSettings, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file written for the storage guide needs no change."""
    monkeypatch.setenv("REDIS_PASSWORD", "from-env")
    monkeypatch.setenv("STORAGE_API_KEY", "key-from-env")
    assert Config(storage=Storage(runtime=expected)) == load(text)


def test_the_guides_cache_block_loads_as_it_stands(load: Load) -> None:
    """The same for the cache's settings, alone and beside a store's."""
    assert Config() == load(GUIDE_CACHE)
    assert load(GUIDE_RUNTIME) == load(GUIDE_RUNTIME + GUIDE_CACHE)


def test_every_field_can_be_set(load: Load) -> None:
    """What stands in the file is what the settings hold, lists as tuples and whole seconds as floats."""
    assert load(EVERY_FIELD) == Config(
        storage=Storage(
            StoreSettings(
                type="redis",
                addr="rediss://cache:6380/1",
                mode="sentinel",
                master_name="m",
                username="u",
                password="p",
                sentinel_password="q",
                tls_ca_file="ca.pem",
                tls_cert_file="cert.pem",
                tls_key_file="key.pem",
                key_prefix="coo:",
                max_connections=7,
                connect_timeout_seconds=2.0,
                timeout_seconds=3.0,
                api_key="k",
                path="x",
                usage_ttl_seconds=30.0,
                max_bytes=70_000,
                max_entries=5,
                read_deadline_seconds=0.2,
                write_deadline_seconds=0.4,
                probe_seconds=2.0,
                journal="j",
                compress="zstd",
                encryption_keys=(bytes(range(32)).hex(),),
            ),
            StorageApi("a", 2048),
        ),
        policy=Policy(
            cache=CachePolicy(
                enabled=False,
                mode="shadow",
                shadow_share=0.5,
                ttl_seconds=0.5,
                stale_while_revalidate_seconds=3.0,
                stale_if_error_seconds=4.0,
                collapse_replicas=False,
                collapse_lease_seconds=9.0,
                namespace="n",
                scope="header:x-tenant",
                scope_headers=("x-user",),
                key_headers=("x-flavour",),
                normalize="loose",
                cross_shape=False,
                per_input=False,
                store_unclosed=True,
                store_finish_reasons=("stop",),
                max_entry_bytes=2048,
                local_max_bytes=1024,
                collapse=False,
                collapse_max_followers=3,
                collapse_wait_seconds=4.0,
                callers=CallerPolicy(("no-cache", "x-coo-ttl"), 20.0, 3, 9),
                compat_headers=True,
            ),
            metrics=MetricsPolicy(
                enabled=False,
                include_usage=False,
                max_keys=7,
                estimate_tokens="o200k_base",
                max_models=8,
                series=False,
                max_series=99,
                flush_seconds=1.0,
            ),
            limits=LimitsPolicy(
                rules=(
                    LimitRule(
                        name="per-caller",
                        per=("caller", "key"),
                        path="/v1/*",
                        model="gpt-*",
                        provider="p*",
                        window_seconds=3600.0,
                        requests=60,
                        tokens=100_000,
                        input_tokens=60_000,
                        output_tokens=40_000,
                        cost=2.5,
                        concurrency=8,
                        count_hits=True,
                    ),
                ),
                on_store_error="closed",
                expected_replicas=4,
                lease_seconds=20.0,
                default_output_tokens=500,
                headers=False,
            ),
            algorithm="hybrid",
            priority="cost",
            hybrid_weights=HybridWeights(0.1, 0.3, 0.4, 0.5, 1.0),
            fallback=FallbackPolicy(enabled=False, max_providers=1, providers=("anthropic", "p1")),
            retry=RetryPolicy(max_attempts=5),
            cooldown_seconds=2.0,
            cooldown_max_seconds=60.0,
            routes=(
                RoutePolicy("/x/*", "m?", "p", "tgi"),
                RoutePolicy("/y/*", "*", "", "", False, 9.0, 0.0, 8.0, "header:X-Team", "loose"),
            ),
            max_request_bytes=4096,
            on_disconnect="cancel",
            on_disconnect_max=5,
            on_disconnect_seconds=6.0,
            secret="s",
        ),
        exporters=Exporters(
            PrometheusExport(True, "/scrape", "/scrape/all", "a-token-of-16-characters", ("gpt-*",), 12),
            OtelExport(spans=True, metrics=True),
            log=True,
        ),
        admin=Admin(True, "/ops", "another-token-of-16", "a-third-token-of-16"),
        llm_providers=(
            LLMProvider(
                id="p1",
                type="anthropic",
                base_url="https://api.example.com/v1",
                model="m",
                api_keys=("s1", "s2"),
                keys=(KeySettings("k", "s3", KeyLimits(req_per_min=6)),),
                limits=KeyLimits(60, 1000, 4, 9000, "5h", 800),
                pricing=Pricing(0.001, 0.002, 0.0005),
            ),
        ),
    )
    assert isinstance(load(EVERY_FIELD).policy.metrics.flush_seconds, float)


def test_null_in_a_rule_says_nothing(load: Load) -> None:
    """A setting of a rule that is null is as good as one that is left out."""
    assert (RoutePolicy("/y/*"),) == load(
        'policy: {routes: [{path: "/y/*", ttl_seconds: null, scope: ~}]}'
    ).policy.routes


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ({"scope": "everyone"}, "scope: must be credentials, shared or header:<name>, got a text"),
        ({"scope": "header:"}, "scope: must be credentials, shared or header:<name>, got a text"),
        ({"ttl_seconds": 0}, "ttl_seconds: must be greater than 0, got zero"),
        ({"normalize": "none"}, "normalize: must be one of 'strict', 'text' or 'loose', got a text"),
        (
            {"model": "gpt-*", "ttl_seconds": 5},
            "model: settings of the cache go by the path alone; give them a rule without a model",
        ),
    ],
)
def test_a_rule_that_cannot_be_followed_is_refused(rule: dict[str, object], text: str) -> None:
    """A wrong setting of a rule is told with its place."""
    with pytest.raises(ConfigError) as caught:
        make_config({"policy": {"routes": [{"path": "/x"}, rule]}})

    assert f"config: policy.routes[1].{text}" == str(caught.value)


def names_of(section: type | None) -> set[str]:
    """Every name of a section, of those within it and of their lists' items."""
    kinds = section_fields(section) if section else {}
    return {each for name, kind in kinds.items() for each in {name} | names_of(find_section(kind))}


def name_in(line: str) -> str:
    return line.partition(":")[0].strip(" -")


def test_the_sample_leaves_no_field_out() -> None:
    """A new field must be added to the sample above, and so to what the tests break."""
    assert names_of(Config) == {name_in(line) for line in EVERY_FIELD.splitlines() if ":" in line}


def test_the_defaults_are_a_valid_configuration() -> None:
    """Nothing, an empty mapping and a bare Config are the same, and pass their own checks."""
    assert Config() == make_config(None)
    assert Config() == make_config({})
    assert Config() == make_config(Config())


@pytest.mark.parametrize(
    "text", ["policy:", "policy: {}", "storage:\n  runtime:\npolicy:\n  cache: ~\n  metrics: null"]
)
def test_an_empty_section_has_its_defaults(text: str, load: Load) -> None:
    """A section of which nothing is said is as good as one that is left out."""
    assert Config() == load(text)


def test_a_mapping_holds_what_python_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any mapping, tuples and paths will do, and a dollar in a mapping is a dollar."""
    monkeypatch.setenv("COO_PASSWORD", "wrong")
    source = MappingProxyType(
        {
            "storage": {"runtime": {"type": "file", "path": Path("data.json"), "password": "${COO_PASSWORD}$$"}},
            "policy": MappingProxyType({"cache": {"key_headers": ("x-a",)}, "metrics": None}),
        }
    )
    expected = StoreSettings(type="file", path="data.json", password="${COO_PASSWORD}$$")
    assert make_config(source) == Config(Storage(expected), Policy(CachePolicy(key_headers=("x-a",))))


def test_a_path_is_loaded(tmp_path: Path) -> None:
    """The middleware takes a file's path as text and as a Path."""
    path = tmp_path / "coo.yaml"
    path.write_text(GUIDE_FILE)
    assert load_config(path) == make_config(path) == make_config(str(path))


def test_settings_are_frozen() -> None:
    """Nobody changes a setting under a running middleware."""
    with pytest.raises(FrozenInstanceError):
        Config().policy.max_request_bytes = 1  # type: ignore[misc]


def test_a_config_built_by_hand_is_checked() -> None:
    """A Config is only a value; the middleware reads it as strictly as a file."""
    wrong = Config(policy=Policy(cache=CachePolicy(ttl_seconds=-1)))
    assert refusal_of(wrong) == "config: policy.cache.ttl_seconds: must be greater than 0, got a negative number"


def test_all_faults_are_told_at_once(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    """One run shows everything there is to mend, in the order of the lines."""
    monkeypatch.delenv("COO_UNSET", raising=False)
    text = """\
storage:
  runtime:
    type: rediss
    password: 12345
    max_bytes: 10
policy:
  cache:
    ttl_secnds: 3
    enabled: yes
    ttl_seconds: -1
    ttl_seconds: 5
    normalize: ${COO_UNSET}
    key_headers: [a, 5]
    scope_headers: x-user
    max_entry_bytes: 1_000
  metrics: 5
  secret:
"""
    known = "'memory', 'redis', 'http', 'file' or 'sqlite'"
    unset = "the environment variable COO_UNSET is not set; set it, or write ${COO_UNSET:-default}"
    assert refuse(text) == [
        f"coo.yaml:3: storage.runtime.type: must be one of {known}, got a text",
        "coo.yaml:4: storage.runtime.password: must be a text in quotes, got a whole number",
        "coo.yaml:5: storage.runtime.max_bytes: must be at least 65536, got a whole number",
        "coo.yaml:8: policy.cache.ttl_secnds: unknown name; did you mean ttl_seconds?",
        "coo.yaml:9: policy.cache.enabled: must be true or false, without quotes, got a text",
        "coo.yaml:10: policy.cache.ttl_seconds: must be greater than 0, got a negative number",
        "coo.yaml:11: policy.cache.ttl_seconds: stands on line 10 and again on line 11; remove one",
        f"coo.yaml:12: policy.cache.normalize: {unset}",
        "coo.yaml:13: policy.cache.key_headers[1]: must be a text in quotes, got a whole number",
        "coo.yaml:14: policy.cache.scope_headers: must be a list such as [a, b], got a text",
        "coo.yaml:15: policy.cache.max_entry_bytes: must be a whole number such as 10, without quotes, got a text",
        "coo.yaml:16: policy.metrics: must be a section of names and values, got a whole number",
        "coo.yaml:17: policy.secret: must be a text in quotes, got null",
    ]


def test_an_empty_file_is_told_what_to_write(refuse: Refuse) -> None:
    """An empty file is more likely a mistake than a wish for the defaults."""
    assert refuse("") == [
        "coo.yaml: is empty; write `storage:` or `policy:`, or give no configuration to get the defaults"
    ]


@pytest.mark.parametrize(
    "ttl", ["-1", "0", ".inf", ".nan", "1e99", '"60"', "1_000", "0o17", "12:30", "31622401", "9" * 400]
)
def test_a_lifetime_out_of_range_is_refused(ttl: str, refuse: Refuse) -> None:
    """The commonest setting accepts plain decimal numbers within its range and nothing that merely looks like one."""
    (line,) = refuse(f"policy:\n  cache:\n    ttl_seconds: {ttl}\n")
    assert line.startswith("coo.yaml:3: policy.cache.ttl_seconds: must be ")


@pytest.mark.parametrize("value", [math.nan, math.inf, 10**400, b"10", {1, 2}])
def test_a_mappings_foreign_values_are_refused(value: object) -> None:
    """What no file could hold is refused by its field."""
    assert refusal_of(cache(ttl_seconds=value)).startswith("config: policy.cache.ttl_seconds: must be a Unicode text,")


def test_what_is_no_section_is_refused() -> None:
    """A list in a section's place is told at the section."""
    assert refusal_of({"policy": []}) == "config: policy: must be a section of names and values, got a list"


@pytest.mark.parametrize("scope", ["credentials", "shared", "header:x-tenant", "header:!#$%&'*+.^_`|~"])
def test_known_scopes_are_accepted(scope: str) -> None:
    """The three forms of a scope, with any token of RFC 9110, section 5.6.2."""
    assert scope == make_config(cache(scope=scope)).policy.cache.scope


@pytest.mark.parametrize(
    "scope", ["", "Shared", "none", "header", "header:", "header:a b", "header:é", "header:a\n", "x-a"]
)
def test_other_scopes_are_refused(scope: str) -> None:
    """A misspelt scope never falls back to another one."""
    expected = "config: policy.cache.scope: must be credentials, shared or header:<name>, got a text"
    assert expected == refusal_of(cache(scope=scope))


def test_a_route_names_a_known_format() -> None:
    """A misspelt format is told with its place and those that are known."""
    routes = [{"format": "chat"}, {"path": "/x", "format": "chatt"}]

    assert "policy.routes[1].format: must be one of agents, assistants, " in refusal_of({"policy": {"routes": routes}})


def test_a_misspelt_name_in_a_route_is_told() -> None:
    """A name in a list's item is looked for among the names of its kind."""
    assert "policy.routes[0].modle: " in refusal_of({"policy": {"routes": [{"modle": "m"}]}})


@pytest.mark.parametrize("name", ["scope_headers", "key_headers"])
@pytest.mark.parametrize("header", ["", "a b", "a:", "é", "a\r\n"])
def test_headers_have_valid_names(name: str, header: str) -> None:
    """A name that no request can carry would silently never count."""
    assert refusal_of(cache(**{name: ["x-a", header]})).startswith(
        f"config: policy.cache.{name}[1]: must be a header's name"
    )


@pytest.mark.parametrize(("store", "name"), [("redis", "addr"), ("http", "addr"), ("file", "path"), ("sqlite", "path")])
def test_a_store_has_its_place(store: str, name: str, refuse: Refuse) -> None:
    """A store without its address or path is refused at its section."""
    (line,) = refuse(f"storage:\n  runtime:\n    type: {store}\n")
    assert line.startswith(f"coo.yaml:2: storage.runtime.{name}: the {store} store needs it; say ")


@pytest.mark.parametrize(
    ("store", "addr"),
    [
        ("redis", "localhost:6379"),
        ("redis", "localhost"),
        ("redis", "[::1]:6379"),
        ("redis", f"redis://:{CANARY}@host:6379/2"),
        ("redis", f"rediss://user:{CANARY}@host"),
        ("redis", "unix:///run/redis.sock?db=1"),
        ("http", "http://127.0.0.1:8080"),
        ("http", "https://api.example.com/storage"),
    ],
)
def test_an_address_is_kept_and_not_shown(store: str, addr: str) -> None:
    """Every form of address is kept as it stands, and a representation shows none, for it may hold a password."""
    config = make_config(runtime(type=store, addr=addr))
    assert addr == config.storage.runtime.addr
    assert addr not in repr(config)


@pytest.mark.parametrize("key", ["", CANARY, "ab" * 31, "ab" * 32, "€" * 64, "0" * 64])
def test_an_encryption_key_that_is_none_is_refused_and_not_repeated(key: str) -> None:
    """A passphrase, a key of another length and a placeholder are told with their place, and how to make a good one."""
    keys = [bytes(range(32)).hex(), key]
    expected = (
        "config: storage.runtime.encryption_keys[1]: must be 32 random bytes in base64 or hexadecimal; "
        "openssl rand -base64 32 makes one"
    )
    assert expected == refusal_of(runtime(encryption_keys=keys))


def test_the_number_of_encryption_keys_is_bounded() -> None:
    """Each further key may cost a miss one more look-up."""
    keys = [bytes(range(32)).hex()] * 5

    assert "config: storage.runtime.encryption_keys: must have at most 4 items, got a list" == refusal_of(
        runtime(encryption_keys=keys)
    )


@pytest.mark.parametrize(
    ("store", "addr", "text"),
    [
        ("redis", "http://host", "must begin with redis://, rediss://, unix://,"),
        ("redis", "host:port", "must name a host and a valid port"),
        ("redis", "host:0", "must name a host and a valid port"),
        ("redis", "host:65536", "must name a host and a valid port"),
        ("redis", "redis://", "must name a host and a valid port"),
        ("redis", "redis://[", "must name a host and a valid port"),
        ("redis", f"redis://:{CANARY}#1@host:6379", "must name a host and a valid port"),
        ("http", "api.example.com", "must begin with http://, https://,"),
        ("http", "file:///etc/passwd", "must begin with http://, https://,"),
        ("http", "gopher://host", "must begin with http://, https://,"),
        ("http", "https://", "must name a host and a valid port"),
        ("http", f"https://user:{CANARY}@host", "must hold no user or password; use api_key"),
        ("http", f"https://host?key={CANARY}", "must be printable ASCII without query"),
    ],
)
def test_a_wrong_address_is_refused_and_not_repeated(store: str, addr: str, text: str) -> None:
    """The client that would stumble over the address later might put the password into its message."""
    refusal = refusal_of(runtime(type=store, addr=addr))
    assert refusal.startswith(f"config: storage.runtime.addr: {text}")
    assert CANARY not in refusal


SECRETIVE = [
    runtime(type="redis", addr=f"redis://:{CANARY}#@h", password=CANARY),
    runtime(type=CANARY, password=CANARY, max_bytes=CANARY, api_key=[CANARY]),
    runtime(password={CANARY * 2: CANARY}, api_key=CANARY.encode()),
    runtime(encryption_keys=[CANARY, "00" * 32]),
    runtime(encryption_keys=[CANARY] * 5),
    {"policy": {"secret": [CANARY], CANARY * 2: CANARY, "cache": CANARY}},
    cache(scope=CANARY, namespace=CANARY * 20, key_headers=[f"{CANARY} x"], normalize=CANARY, ttl_seconds=CANARY),
    {"llm_providers": [{"id": CANARY * 20, "type": [CANARY], "base_url": CANARY, "api_keys": [CANARY, [CANARY]]}]},
    {"llm_providers": [{"id": "p", "api_keys": [f"{CANARY}\n"], "keys": [{"id": "p-1", "secret": f" {CANARY}"}]}]},
    {"llm_providers": [{"id": CANARY}, {"id": CANARY, "base_url": f"https://{CANARY}@h", "keys": {CANARY: CANARY}}]},
    {
        "llm_providers": [{"id": "p", "limits": {"session_type": CANARY}}],
        "policy": {"fallback": {"providers": [CANARY]}},
    },
    {
        "policy": {
            "limits": {"rules": [{"name": f"{CANARY} x", "per": [CANARY]}, {CANARY * 2: CANARY}]},
            "retry": CANARY,
        }
    },
    {"storage": f"{CANARY}\ud800", "policy": {"metrics": [CANARY]}},
]


@pytest.mark.parametrize("source", SECRETIVE)
@pytest.mark.parametrize("written", [False, True])
def test_no_error_repeats_a_value(source: dict[str, object], written: bool, tmp_path: Path) -> None:
    """Neither the text nor the printed traceback nor a chained error holds anything of the source's values."""
    given_source: object = source
    if written:
        given_source = tmp_path / "coo.yaml"
        given_source.write_text(json.dumps(source, default=list))
    with pytest.raises(ConfigError) as caught:
        make_config(given_source)  # type: ignore[arg-type]
    error = caught.value
    assert error.__context__ is None
    assert error.__cause__ is None
    assert CANARY not in "".join(traceback.format_exception(error)) + repr(error)


def test_no_representation_shows_a_secret() -> None:
    """Settings may be logged."""
    keys = (CANARY,)
    settings = StoreSettings(
        type="redis", addr=f"redis://:{CANARY}@h", password=CANARY, api_key=CANARY, encryption_keys=keys
    )
    provider = LLMProvider("p", api_keys=keys, keys=(KeySettings("k", CANARY),))
    scrapes = Exporters(PrometheusExport(token=CANARY))
    admin = Admin(read_token=CANARY, write_token=CANARY)
    config = Config(Storage(settings), Policy(secret=CANARY), scrapes, admin, (provider,))
    assert CANARY not in repr(config)


LINES = EVERY_FIELD.splitlines()
NAMED = [number for number, line in enumerate(LINES, 1) if ":" in line]


@settings(deadline=None)
@given(st.sampled_from(NAMED), st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,30}", fullmatch=True) | st.text(max_size=30))
@example(14, "ttl_secnds")
@example(1, "<<")
@example(4, "__class__")
@example(12, "\U0001f600")
def test_a_changed_name_is_told_with_its_line(number: int, name: str) -> None:
    """Wherever a name is wrong, the message has its line."""
    assume(name not in names_of(Config))
    line = LINES[number - 1]
    begin = line[: line.index(name_in(line))]
    changed = f"{begin}{json.dumps(name)}:{line.partition(':')[2]}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "coo.yaml")
        path.write_text("\n".join([*LINES[: number - 1], changed, *LINES[number:]]))
        with pytest.raises(ConfigError) as caught:
            load_config(path)
        assert f"{path}:{number}: " in f"{caught.value}"


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet="storagepolicy:{}[]$\\\"'\n -", max_size=80).map(str.encode))
def test_any_bytes_are_a_configuration_or_a_config_error(raw: bytes) -> None:
    """No file makes the start fail in another way."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "coo.yaml")
        path.write_bytes(raw)
        assert outcome_of(path).startswith(("Config(", f"{path}:"))


KEYS = st.sampled_from(sorted(names_of(Config))) | st.text(max_size=5) | st.integers() | st.none()
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(max_size=9)
TREES = st.recursive(LEAVES, lambda leaf: st.lists(leaf, max_size=3) | st.dictionaries(KEYS, leaf, max_size=4))


@given(st.dictionaries(KEYS, TREES, max_size=3))
def test_any_mapping_is_a_configuration_or_a_config_error(source: dict[str, object]) -> None:
    """No mapping does either."""
    assert outcome_of(source).startswith(("Config(", "config: "))


def test_the_published_schema_is_the_current_one() -> None:
    """`coo.schema.json` is `json.dumps(config_schema(), indent=2)` and a line's end."""
    assert json.dumps(config_schema(), indent=2) + "\n" == SCHEMA.read_text()


def properties_of(schema: object, definition: str) -> dict[str, dict[str, object]]:
    """A section's fields, in the schema as JSON reads it."""
    read = json.loads(json.dumps(schema))
    section = read["$defs"].get(definition, read)
    found: dict[str, dict[str, object]] = section["properties"]
    return found


def test_the_schema_knows_every_field_and_describes_it() -> None:
    """An editor offers each name, with its sentence, and marks any other."""
    schema = config_schema()
    cache_sections = (CachePolicy, CallerPolicy, RoutePolicy)
    provider_sections = (LLMProvider, KeySettings, KeyLimits, Pricing, HybridWeights, FallbackPolicy, RetryPolicy)
    export_sections = (Exporters, PrometheusExport, OtelExport, Admin)
    sharing_sections = (LimitsPolicy, LimitRule, *provider_sections)
    plain_sections = (Config, Storage, StorageApi, Policy, MetricsPolicy, StoreSettings)
    sections = (*plain_sections, *cache_sections, *sharing_sections, *export_sections)
    for section in sections:
        properties = properties_of(schema, section.__name__)
        assert [each.name for each in fields(section)] == list(properties)
        assert all(str(each["description"]).endswith(".") for each in properties.values())
    assert json.dumps(schema).count('"additionalProperties": false') == len(sections)


def test_the_schema_allows_what_the_reader_allows() -> None:
    """A number, a boolean and a choice may be a variable, a section may be null, and limits are kept."""
    variable = {"type": "string", "pattern": r"\$\{"}
    cache_fields = properties_of(config_schema(), "CachePolicy")
    assert cache_fields["enabled"]["anyOf"] == [{"type": "boolean"}, variable]
    assert cache_fields["ttl_seconds"]["anyOf"] == [
        {"type": "number", "exclusiveMinimum": 0, "maximum": 31_622_400},
        variable,
    ]
    assert cache_fields["normalize"]["anyOf"] == [{"type": "string", "enum": ["strict", "text", "loose"]}, variable]
    assert cache_fields["key_headers"]["type"] == "array"
    nullable = properties_of(config_schema(), "Policy")["hybrid_weights"]["anyOf"]
    assert nullable == [{"$ref": "#/$defs/HybridWeights"}, {"type": "null"}]
    assert properties_of(config_schema(), "Config")["policy"]["anyOf"] == [{"$ref": "#/$defs/Policy"}, {"type": "null"}]
