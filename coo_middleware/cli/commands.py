"""The commands: each reads its arguments, has the work done, and says what came of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Final

import typer

from coo_middleware.cli.cleaning import purge_store, show_purged, show_purged_json
from coo_middleware.cli.diagnosis import show_json, show_lines
from coo_middleware.cli.explanation import read_headers, show_report_json, show_report_lines
from coo_middleware.config import ConfigError, load_config
from coo_middleware.core.dump import DEFAULT_PATH, DumpError, read_answer, read_asked
from coo_middleware.doctor import examine
from coo_middleware.doctor.finding import fault
from coo_middleware.explainer import Explainer
from coo_middleware.stores import StoreError

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


@app.command()
def explain(
    a: Annotated[
        Path, typer.Argument(help="A request: its content, or an object with method, path, headers and body.")
    ],
    b: Annotated[Path | None, typer.Argument(help="Another one to compare it with.")] = None,
    *,
    answer: Annotated[Path | None, typer.Option(help="What came for it, to say whether it is stored.")] = None,
    content_type: Annotated[str, typer.Option(help="The answer's media type; guessed where none is given.")] = "",
    path: Annotated[str, typer.Option(help="Where a request went that does not say so.")] = DEFAULT_PATH,
    header: Annotated[list[str] | None, typer.Option(help="A field of both requests, as 'name: value'.")] = None,
    show_text: Annotated[bool, typer.Option("--show-text", help="Show the texts that differ.")] = False,
    config: ConfigPath = Path("coo.yaml"),
    as_json: AsJson = False,
) -> None:
    """Say what a request's cache key is made of, where two requests differ, and why something is not cached.

    Exit code 0: one key, and nothing against storing. 1: two keys, a bypass, or an answer that is not stored. 2: the
    files or the configuration cannot be used.
    """
    try:
        fields = read_headers(header or ())
        dumps = [read_asked(each.read_bytes(), path, fields) for each in (a, b) if each is not None]
        came = read_answer(answer.read_bytes(), content_type) if answer else None
        report = Explainer(load_config(config).policy).report(dumps, came, texts=show_text)
    except (ConfigError, DumpError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    (show_report_json if as_json else show_report_lines)(report, [each.name for each in (a, b) if each])
    raise typer.Exit(not report.is_clear)


@app.command()
def purge(
    labels: Annotated[
        list[str], typer.Argument(help="tag:…, caller:…, model:…, namespace:…, key:… or all; one of several is enough.")
    ],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be purged.")] = False,
    count: Annotated[bool, typer.Option(help="Count, which looks at every stored response.")] = True,
    config: ConfigPath = Path("coo.yaml"),
    as_json: AsJson = False,
) -> None:
    """Make stored responses unusable at once, in every process that shares the store.

    Exit code 0: it is done. 1: the store failed. 2: the labels or the configuration cannot be used.
    """
    try:
        purged = asyncio.run(purge_store(load_config(config), labels, dry_run=dry_run, count=count))
    except (ValueError, StoreError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1 if isinstance(error, StoreError) else 2) from None
    (show_purged_json if as_json else show_purged)(purged)
