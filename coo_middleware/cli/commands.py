"""The commands: each reads its arguments, has the work done, and says what came of it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from coo_middleware.cli.admin_usage import fetch_usage
from coo_middleware.cli.carrying import export_store, import_store
from coo_middleware.cli.cleaning import purge_store, show_purged, show_purged_json
from coo_middleware.cli.configuration import check_configuration, show_configuration, show_faults
from coo_middleware.cli.diagnosis import show_json, show_lines
from coo_middleware.cli.estimation import estimate_lines, show_estimate
from coo_middleware.cli.explanation import read_headers, show_report_json, show_report_lines
from coo_middleware.cli.files import open_source, read_lines
from coo_middleware.cli.reading import StoreReader, Wanted
from coo_middleware.cli.shared_store import open_shared
from coo_middleware.cli.terminal import ending, show_fields, write_json
from coo_middleware.cli.top import print_frame, read_load, show_top
from coo_middleware.cli.usage import read_span, read_usage, show_usage
from coo_middleware.config import ConfigError, config_schema, load_config
from coo_middleware.core.dump import DEFAULT_PATH, read_answer, read_asked
from coo_middleware.core.transfer import parse_kinds
from coo_middleware.doctor import examine
from coo_middleware.doctor.finding import fault
from coo_middleware.explainer import Explainer
from coo_middleware.storage_api.__main__ import main as serve_api

app: Final = typer.Typer(name="coo", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
settings: Final = typer.Typer(no_args_is_help=True, help="Look at the configuration.")
app.add_typer(settings, name="config")

ConfigPath = Annotated[Path, typer.Option("--config", help="The configuration file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of lines.")]
Every = Annotated[float, typer.Option(min=0.1, max=3600.0, help="Seconds between one look and the next.")]

# What uvicorn ends with when the app could not start: then the store did not open.
_NOT_STARTED: Final = 3


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
    with ending():
        fields = read_headers(header or ())
        dumps = [read_asked(each.read_bytes(), path, fields) for each in (a, b) if each is not None]
        came = read_answer(answer.read_bytes(), content_type) if answer else None
        report = Explainer(load_config(config).policy).report(dumps, came, texts=show_text)
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
    with ending():
        purged = asyncio.run(purge_store(load_config(config), labels, dry_run=dry_run, count=count))
    (show_purged_json if as_json else show_purged)(purged)


@app.command()
def usage(
    *,
    window: Annotated[str, typer.Option(help="Such as 60, 5m, 1h or 7d, or total.")] = "1h",
    provider: Annotated[str, typer.Option(help="Of this provider alone.")] = "",
    key: Annotated[str, typer.Option(help="Of the provider's key with this name alone.")] = "",
    model: Annotated[str, typer.Option(help="Of this model alone.")] = "",
    watch: Annotated[bool, typer.Option("--watch", help="Show it again and again, until interrupted.")] = False,
    every: Every = 2.0,
    url: Annotated[str, typer.Option(help="Ask the admin API there instead: http://localhost:8000/coo.")] = "",
    token_env: Annotated[str, typer.Option(help="The variable that has its token.")] = "COO_TOKEN",  # noqa: S107
    config: ConfigPath = Path("coo.yaml"),
    as_json: AsJson = False,
) -> None:
    """Show requests, hits, tokens, costs, errors and durations by provider, key and model.

    Exit code 0: they are shown. 1: the store or the admin API failed. 2: the arguments or the configuration cannot be
    used; a store in memory among them, which only the service's admin API can see.
    """
    wanted, show = Wanted(provider, key, model), partial(show_usage, as_json=as_json, every=every if watch else None)

    async def run(seconds: int | None) -> None:
        if url:
            await show(partial(fetch_usage, url, token_env, wanted, seconds), "the admin API")
            return
        async with open_shared(load_config(config)) as store:
            await show(partial(read_usage, StoreReader(store, wanted), seconds), "the store")

    with ending(), suppress(KeyboardInterrupt):
        asyncio.run(run(read_span(window)))


@app.command()
def top(
    *,
    every: Every = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print one screen and end.")] = False,
    config: ConfigPath = Path("coo.yaml"),
) -> None:
    """Show what goes on in this minute, until q is pressed: rates, reuse, tokens, and how far limits are used.

    Exit code 0: it was shown. 1: the store failed. 2: the arguments or the configuration cannot be used, or there is no
    terminal.
    """

    async def run() -> None:
        told = load_config(config)
        title = f"the {told.storage.runtime.type} store"
        async with open_shared(told) as store:
            read = partial(read_load, StoreReader(store, Wanted()), told.llm_providers)
            await (print_frame(read, title) if once else show_top(read, title, every=every))

    with ending(), suppress(KeyboardInterrupt):
        asyncio.run(run())


@app.command()
def estimate(
    file: Annotated[Path, typer.Argument(help="Requests as lines of JSON, in the order of their coming; - is stdin.")],
    *,
    config: ConfigPath = Path("coo.yaml"),
    as_json: AsJson = False,
) -> None:
    """Say what the configured cache would have saved of recorded requests (docs/cli.md has the format).

    Exit code 0: it is said. 2: the file or the configuration cannot be used.
    """
    with ending(), open_source(file) as source:
        told = estimate_lines(load_config(config), read_lines(source, "reading"))
    show_estimate(told, as_json=as_json)


@app.command("export")
def export_(
    file: Annotated[Path, typer.Argument(help="The file to write; - is standard output.")],
    *,
    what: Annotated[str, typer.Option(help="cache, usage, or both with a comma between them.")] = "cache,usage",
    config: ConfigPath = Path("coo.yaml"),
    as_json: AsJson = False,
) -> None:
    """Write what the store has, stored responses and the totals of usage, to a file that proves that it is whole.

    Exit code 0: it is written. 1: the store failed. 2: the arguments or the configuration cannot be used.
    """
    with ending():
        told = asyncio.run(export_store(load_config(config), file, parse_kinds(what)))
    show_fields(told, as_json=as_json, to_stderr=str(file) == "-")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="What `coo export` wrote; - is standard input.")],
    *,
    config: ConfigPath = Path("coo.yaml"),
    as_json: AsJson = False,
) -> None:
    """Put an export into the store. What was interrupted can be done again: nothing is counted twice.

    Exit code 0: it is done. 1: the store failed. 2: the file or the configuration cannot be used; what stands before
    the line that is named is done.
    """
    with ending():
        told = asyncio.run(import_store(load_config(config), file))
    show_fields(told, as_json=as_json)


@app.command("serve-store")
def serve_store(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The port to listen on.")] = 8080,
    config: ConfigPath = Path("coo.yaml"),
) -> None:
    """Serve the store over HTTP to whoever has storage.api.api_key, until it is told to stop.

    Exit code 0: it was told to stop. 1: the store or the address cannot be had. 2: the configuration cannot be used.
    """
    try:
        serve_api(["--config", str(config), "--host", host, "--port", str(port)])
    except SystemExit as end:
        raise typer.Exit(1 if end.code == _NOT_STARTED else int(end.code or 0)) from None


@settings.command()
def check(config: ConfigPath = Path("coo.yaml"), as_json: AsJson = False) -> None:
    """Look for every fault of the configuration, by file and line.

    Exit code 0: it can be used. 2: it cannot.
    """
    faults = check_configuration(config)
    show_faults(config, faults, as_json=as_json)
    raise typer.Exit(2 if faults else 0)


@settings.command()
def show(config: ConfigPath = Path("coo.yaml"), as_json: AsJson = False) -> None:
    """Show every setting as it counts, defaults and variables among them, each secret as ***.

    Exit code 0: it is shown. 2: the configuration cannot be used.
    """
    with ending():
        show_configuration(load_config(config), as_json=as_json)


@settings.command()
def schema() -> None:
    """Print the JSON Schema of a configuration."""
    write_json(config_schema())
