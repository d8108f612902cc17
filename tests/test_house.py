"""The house keeps its floors, its pure core, its small functions and its public names."""

from __future__ import annotations

import ast
import re
import statistics
from pathlib import Path

import pytest

import coo_middleware

PACKAGE = Path(coo_middleware.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# Dotted prefixes, the longest that fits counts. core may not import formats, so it lies half a floor below.
FLOORS = {
    "coo_middleware.core": 0,
    "coo_middleware.formats": 0.5,
    "coo_middleware.stores.__init__": 1,
    "coo_middleware.stores.checks": 1,
    "coo_middleware.stores.settings": 1,
    "coo_middleware.stores": 2,
    "coo_middleware.testing": 3,
    "coo_middleware.yaml_source": 3,
    "coo_middleware.faults": 3,
    "coo_middleware.config": 3,
    "coo_middleware.config_checks": 3,
    "coo_middleware.sections": 3,
    "coo_middleware.context": 4.35,
    "coo_middleware.at_rest": 4,
    "coo_middleware.cache": 4,
    "coo_middleware.estimator": 4,
    "coo_middleware.explainer": 4,
    "coo_middleware.purge_view": 3.5,
    "coo_middleware.purging": 4,
    "coo_middleware.admin": 4.6,
    "coo_middleware.exporters": 4.6,
    "coo_middleware.annex": 4.7,
    "coo_middleware.adoption": 4.3,
    "coo_middleware.inquiries": 4,
    "coo_middleware.outbox": 4,
    "coo_middleware.backing": 4.1,
    "coo_middleware.making": 4.4,
    "coo_middleware.reply": 4,
    "coo_middleware.board": 4,
    "coo_middleware.following": 4.1,
    "coo_middleware.lead": 4.1,
    "coo_middleware.replicas": 4.2,
    "coo_middleware.recorder": 4.2,
    "coo_middleware.portions": 4.3,
    "coo_middleware.call": 4.5,
    "coo_middleware.prices": 3.5,
    "coo_middleware.forecasts": 4,
    "coo_middleware.timer": 4,
    "coo_middleware.settlements": 4.3,
    "coo_middleware.reservations": 4.3,
    "coo_middleware.limiter": 4.3,
    "coo_middleware.balancer": 4.3,
    "coo_middleware.attempts": 4.3,
    "coo_middleware.passage": 4.4,
    "coo_middleware.accounts": 4.5,
    "coo_middleware.finder": 4.6,
    "coo_middleware.gate": 4.6,
    "coo_middleware.timing": 4,
    "coo_middleware.channels": 4.4,
    "coo_middleware.flight_log": 4.5,
    "coo_middleware.follower": 4.7,
    "coo_middleware.flight": 4.7,
    "coo_middleware.peers": 4.7,
    "coo_middleware.flights": 4.7,
    "coo_middleware.sharing": 4.8,
    "coo_middleware.storage_api": 5,
    "coo_middleware.middleware": 5,
    "coo_middleware.doctor": 5,
    "coo_middleware.cli": 6,
    "coo_middleware.__main__": 6,
    "coo_middleware.__init__": 7,
}
IMPURE = {"asyncio", "anyio", "time", "logging", "starlette", "redis", "httpx", "yaml"}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


def floor_of(name: str) -> float:
    fitting = [prefix for prefix in FLOORS if name == prefix or name.startswith(prefix + ".")]
    return FLOORS[max(fitting, key=len)]


def imports_of(tree: ast.AST) -> list[str]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return names


def faults_of(name: str, source: str) -> list[str]:
    """The upward and the impure imports of one module."""
    floor = floor_of(name)
    faults = []
    for imported in imports_of(ast.parse(source)):
        if imported.startswith("coo_middleware"):
            whole = imported + ".__init__" if imported in {"coo_middleware", "coo_middleware.stores"} else imported
            faults += [f"{name} imports {imported}"] if floor_of(whole) > floor else []
        elif floor < 1 and imported.partition(".")[0] in IMPURE:
            faults.append(f"{name} imports {imported}")
    return faults


def functions_of(path: Path) -> list[tuple[str, int]]:
    sizes = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            size = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            sizes.append((f"{path.name}:{node.name}", size))
    return sizes


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_run_downwards_only(path: Path) -> None:
    """No module imports from a floor above its own, and floor 0 does no input or output."""
    assert [] == faults_of(name_of(path), path.read_text())


def test_an_upward_import_would_be_seen() -> None:
    """The floor test can fail: an upward import and a clock in the core are both found."""
    source = "import time\nfrom coo_middleware.config import Config\n"

    assert 2 == len(faults_of("coo_middleware.core.key", source))


def test_functions_are_small() -> None:
    """The median function has at most 6 lines, nine of ten at most 20, and none over 40."""
    sizes = [size for path in FILES for _, size in functions_of(path)]

    assert [] == [name for path in FILES for name, size in functions_of(path) if size > 40]
    assert statistics.median(sizes) <= 6
    assert statistics.quantiles(sizes, n=10)[-1] <= 20


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_are_small_and_finished(path: Path) -> None:
    """A file has at most 300 lines and promises nothing for later."""
    text = path.read_text()

    assert text.count("\n") <= 300
    assert [] == re.findall(r"\b(?:TODO|FIXME|XXX|NotImplementedError)\b", text)


def test_the_public_names_are_pinned() -> None:
    """What users import is this list and changes on purpose only."""
    assert [
        "COOMiddleware",
        "Config",
        "ConfigError",
        "CooContext",
        "Record",
        "RuntimeStore",
        "StoreError",
        "Usage",
        "load_config",
        "open_store",
    ] == sorted(coo_middleware.__all__)


def test_every_public_name_says_what_it_promises() -> None:
    """Public classes and functions of the package have a docstring."""
    bare = [
        f"{path.name}:{node.name}"
        for path in FILES
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]

    assert [] == bare
