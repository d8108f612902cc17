"""`coo config`: faults by line, settings without secrets, and the schema."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import yaml

from coo_middleware import load_config
from coo_middleware.cli.configuration import MASK, mask
from coo_middleware.config import Config, config_schema
from coo_middleware.stores import StoreSettings
from tests.commands import CANARY, run, write_config

if TYPE_CHECKING:
    from pathlib import Path


def test_a_configuration_that_can_be_used(tmp_path: Path) -> None:
    """Exit code 0, and a line that says so."""
    config = write_config(tmp_path)

    assert (0, f"{config}: can be used\n", "") == tuple(
        getattr(run("config", "check", "--config", config), name) for name in ("code", "out", "err")
    )
    assert {"status": "ok", "faults": []} == json.loads(run("config", "check", "--json", "--config", config).out)


def test_every_fault_is_told_by_line(tmp_path: Path) -> None:
    """Exit code 2, a line for each, as JSON too, and no value."""
    config = tmp_path / "coo.yaml"
    config.write_text(f"policy:\n  cache: {{ttl_seconds: {CANARY}}}\n  secrt: {CANARY}\n")
    done = run("config", "check", "--config", str(config))

    lines = done.out.splitlines()
    assert (2, "", 2) == (done.code, done.err, len(lines))
    assert lines[0].startswith(f"{config}:2: policy.cache.ttl_seconds: must be a number")
    assert lines[1].startswith(f"{config}:3: policy.secrt: unknown name; did you mean secret?")
    assert {"status": "fault", "faults": lines} == json.loads(
        run("config", "check", "--json", "--config", str(config)).out
    )


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    """It is a fault for check, and ends show with a line on standard error; both exit 2."""
    path = str(tmp_path / "none.yaml")
    checked, shown = run("config", "check", "--config", path), run("config", "show", "--config", path)

    assert (2, 2, "") == (checked.code, shown.code, shown.out)
    assert checked.out == shown.err == f"{path}: cannot be read: No such file or directory\n"


def test_what_is_shown_is_the_configuration(tmp_path: Path) -> None:
    """What is shown loads as what was configured, each secret as its mask; a `$` in a text stays one."""
    source = write_config(tmp_path)
    with open(source, "a") as file:  # noqa: PTH123 -- a text has no path
        file.write("  - {id: b, model: 'costs $$5 and $${HOME}'}\n")
    done = run("config", "show", "--config", source)
    (tmp_path / "shown.yaml").write_text(done.out)
    told = load_config(tmp_path / "shown.yaml")

    assert 0 == done.code
    assert mask(load_config(source)) == mask(told)
    assert (MASK, MASK, (MASK,)) == (told.policy.secret, told.storage.api.api_key, told.llm_providers[0].api_keys)
    assert mask(told) == json.loads(run("config", "show", "--json", "--config", source).out)


@pytest.mark.parametrize(
    ("addr", "shown"),
    [
        ("localhost:6379", "localhost:6379"),
        ("rediss://cache:6379/0", "rediss://cache:6379/0"),
        (f"redis://app:{CANARY}@cache", MASK),
        (f"redis://cache?password={CANARY}", MASK),
        ("", ""),
    ],
)
def test_an_address_is_shown_unless_it_has_credentials(addr: str, shown: str) -> None:
    """An operator wants to see where it is."""
    told = mask(StoreSettings(addr=addr))

    assert isinstance(told, dict)
    assert shown == told["addr"]


def test_no_secret_is_left() -> None:
    """Every setting that its own text leaves out is masked."""
    secrets = StoreSettings(password=CANARY, api_key=CANARY, sentinel_password=CANARY, encryption_keys=(CANARY,))
    config = Config()
    config = replace(config, storage=replace(config.storage, runtime=secrets))

    assert CANARY not in json.dumps(mask(config))


def test_the_schema_is_the_published_one() -> None:
    """`coo config schema` prints what coo.schema.json has."""
    done = run("config", "schema")

    assert (0, config_schema()) == (done.code, json.loads(done.out))


def test_yaml_is_as_plain_as_the_reader_wants(tmp_path: Path) -> None:
    """No tag, no anchor, and the members in the order of the settings."""
    told = yaml.safe_load(run("config", "show", "--config", write_config(tmp_path)).out)

    assert [*mask(Config())] == [*told]  # type: ignore[misc]
