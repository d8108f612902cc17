"""The commands: each reads its arguments, has the work done, and says what came of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Final

import typer

from coo_middleware.cli.diagnosis import show_json, show_lines
from coo_middleware.config import ConfigError, load_config
from coo_middleware.doctor import examine
from coo_middleware.doctor.finding import fault

app: Final = typer.Typer(name="coo", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

ConfigPath = Annotated[Path, typer.Option("--config", help="The configuration file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of lines.")]


@app.callback()
def describe() -> None:
    """Look after coo_middleware: its configuration and its store."""


@app.command()
def doctor(config: ConfigPath = Path("coo.yaml"), as_json: AsJson = False) -> None:
    """Look for what is wrong with the store, and say what to do.

    Exit code 0: all well, warnings included. 1: a fault. 2: the configuration cannot be used.
    """
    show = show_json if as_json else show_lines
    try:
        findings = asyncio.run(examine(load_config(config)))
    except ConfigError as error:
        remedy = "correct what is named; docs/configuration.md has every field"
        show([fault("configuration", line, remedy) for line in str(error).splitlines()])
        raise typer.Exit(2) from None
    show(findings)
    raise typer.Exit(any(each.level == "fault" for each in findings))
