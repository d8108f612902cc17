"""docs/metrics.md lists every metric, label, attribute, event, log message and field, and nothing that is not there."""

from __future__ import annotations

import ast
import re
from typing import get_args

from coo_middleware import COOMiddleware
from coo_middleware.call import _COUNTS
from coo_middleware.core import conventions, families, record, trial
from coo_middleware.core.record import CacheStatus, ErrorType
from coo_middleware.exporters.logs import _LINE as REQUEST_LINE
from coo_middleware.exporters.logs import FIELDS
from coo_middleware.reservations import _AWAY, _LIMITLESS
from tests.asgi import ANSWER, Client, Script, answer, ask, content, make_scope
from tests.test_docs import ROOT
from tests.test_house import FILES

PAGE = re.sub(r"^```.*?^```$", "", (ROOT / "docs" / "metrics.md").read_text(), flags=re.MULTILINE | re.DOTALL)
LEVELS = ("debug", "info", "warning", "error", "exception", "critical")


def rows(heading: str, table: int = 0) -> list[list[str]]:
    """The cells of one table below a heading, without its head."""
    section = PAGE.partition(f"{heading}\n")[2].partition("\n## ")[0]
    found = [each.splitlines()[2:] for each in re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)][table]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in found]


def quoted(*cells: str) -> set[str]:
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def constants(module: object) -> set[str]:
    """The texts that are public constants of a module, or the values of one that is a table."""
    found = [value for name, value in vars(module).items() if name.isupper() and not name.startswith("_")]
    texts = [text for value in found for text in (value.values() if isinstance(value, dict) else [value])]
    return {text for text in texts if isinstance(text, str)}


def texts_of(node: ast.AST) -> set[str]:
    return {each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)}


def test_the_counters_are_all_there() -> None:
    """The first table has the metrics that the middleware counts in the store."""
    assert constants(record) | constants(trial) == quoted(*(row[0] for row in rows("# Metrics")))


def test_the_metrics_are_all_there() -> None:
    """Each metric of Prometheus stands in its view's column with its labels."""
    told = {(*quoted(row[0]), *quoted(row[1]), row[2]) for row in rows("## Prometheus")}
    shared = {(f"coo_{each.name}", f"coo_fleet_{each.name}", show(each.labels)) for each in families.SHARED_FAMILIES}
    own = {(f"coo_{each.name}", show(each.labels)) for each in families.OWN_FAMILIES}

    assert shared | own | {(families.BUILD_INFO, "`version`")} == told


def show(labels: tuple[str, ...]) -> str:
    return " ".join(f"`{label}`" for label in labels)


def test_the_labels_are_all_there() -> None:
    """Each label has its row, and those with words of our own have these."""
    told = {row[0].strip("`"): quoted(row[1]) for row in rows("## Prometheus", 1)}
    labels = {label for each in (*families.SHARED_FAMILIES, *families.OWN_FAMILIES) for label in each.labels}

    assert labels - {"event"} == {*told}
    assert {*get_args(CacheStatus)} == told["cache"]
    assert {*get_args(ErrorType)} - {"", "limited"} == told["error_type"]


def test_the_attributes_are_all_there() -> None:
    """The names of core/conventions.py are those of the page."""
    section = PAGE.partition("## OpenTelemetry")[2].partition("\n## ")[0]

    names = {name for name in quoted(section) if re.fullmatch(r"(gen_ai|coo|error)\.[a-z_.]+", name)}
    assert constants(conventions) == names


def test_the_events_are_all_there() -> None:
    """What is counted under a name of its own, in any module, is an event of the page."""
    counted = {*_COUNTS.values(), "misses", "refreshes", "limited", "bypass.", "unstored."}
    for path in FILES:
        counted |= {text for node in ast.walk(ast.parse(path.read_text())) for text in counted_at(node)}

    assert counted == {re.sub("<.*", "", name) for row in rows("## Events") for name in quoted(row[0])}


def counted_at(node: ast.AST) -> set[str]:
    """The names in `counts["…"]` and in `report("…", error)`."""
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute) and node.value.attr == "counts":
        return texts_of(node.slice)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "report" and node.args:
        return texts_of(node.args[0])
    return set()


def test_the_log_messages_are_all_there() -> None:
    """Each message that the package logs stands on the page with its level."""
    logged = {("warning", text) for text in (*_AWAY.values(), _LIMITLESS)}
    for path in FILES:
        logged |= {told for node in ast.walk(ast.parse(path.read_text())) for told in logged_at(node)}

    assert logged == {(row[0], text) for row in rows("## Logs") for text in quoted(row[1])}
    assert f"`{REQUEST_LINE}`" in PAGE


def logged_at(node: ast.AST) -> set[tuple[str, str]]:
    """The texts in `logger.<level>("…", …)`, with the level."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in LEVELS:
        return set()
    is_ours = ast.unparse(node.func.value) == "logger"
    return {(node.func.attr, text) for text in texts_of(node.args[0])} if is_ours else set()


def test_the_fields_of_the_log_are_all_there() -> None:
    """The `extra` fields of a request are those of the page."""
    section = PAGE.partition("## Logs")[2].partition("\n## ")[0]

    assert {*FIELDS} == {name for name in quoted(section) if re.fullmatch(r"coo_(?!middleware)\w+", name)}


async def test_the_response_fields_are_all_there() -> None:
    """What a miss, a hit and a refusal say beyond the app's own fields is on the page, and nothing else is."""
    rule = {"name": "callers", "per": ["caller"], "requests": 1, "tokens": 100_000}
    middleware = COOMiddleware(Script(*answer(ANSWER)), {"policy": {"limits": {"rules": [rule]}}})
    seen = set()
    for prompt in ("one", "one", "two"):
        client = Client(*content(ask(prompt)))
        await middleware(make_scope(), client.receive, client.send)
        await middleware.drain()
        seen |= {name.decode().lower() for name in client.fields}

    told = {name.lower() for name in quoted(*(row[0] for row in rows("## Response fields")))}
    assert seen - {"content-type", "content-length"} == told - {"x-should-retry"}
