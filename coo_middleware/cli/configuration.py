"""`coo config`: whether a configuration can be used, what it comes to, and what there is to configure."""

from __future__ import annotations

import sys
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Final

import yaml

from coo_middleware.at_rest import open_sealer
from coo_middleware.cli.terminal import write_json
from coo_middleware.config import ConfigError, load_config

if TYPE_CHECKING:
    from pathlib import Path

    from coo_middleware.config import Config

MASK: Final = "***"


def check_configuration(path: Path) -> list[str]:
    """Every fault of the configuration, a line for each; none where it can be used."""
    try:
        open_sealer(load_config(path))
    except ConfigError as error:
        return str(error).splitlines()
    return []


def show_faults(path: Path, faults: list[str], *, as_json: bool) -> None:
    """The faults, or that there is none."""
    if as_json:
        write_json({"status": "fault" if faults else "ok", "faults": faults})
    else:
        sys.stdout.write("".join(f"{each}\n" for each in faults or [f"{path}: can be used"]))


def show_configuration(config: Config, *, as_json: bool) -> None:
    """Every setting as it counts, each secret masked; as YAML it is a configuration itself, but for these."""
    shown = mask(config)
    if as_json and isinstance(shown, dict):
        write_json(shown)
    else:
        yaml.safe_dump(_escape(shown), sys.stdout, sort_keys=False, allow_unicode=True, width=120)


def mask(value: object) -> object:
    """Settings as plain values. What their texts leave out is a secret, but for an address without credentials."""
    if is_dataclass(value):
        return {each.name: _mask_field(each.name, getattr(value, each.name), shown=each.repr) for each in fields(value)}
    return [mask(each) for each in value] if isinstance(value, tuple) else value


def _mask_field(name: str, value: object, *, shown: bool) -> object:
    if shown or not value:
        return mask(value)
    if isinstance(value, tuple):
        return [MASK] * len(value)
    is_address = name == "addr" and isinstance(value, str) and not {"@", "?"}.intersection(value)
    return value if is_address else MASK


def _escape(value: object) -> object:
    """What the reader of a configuration takes for a variable, written so that it does not."""
    if isinstance(value, dict):
        return {name: _escape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_escape(each) for each in value]
    return value.replace("$", "$$") if isinstance(value, str) else value
