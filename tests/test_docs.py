"""Every code block in README and docs runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from coo_middleware import Config, load_config
from coo_middleware.sections import find_section, section_fields

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "example_app" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [
    pytest.param(page, language, text, id=f"{page.name}-{number}-{language}")
    for page in PAGES
    for number, (language, text) in enumerate(BLOCK.findall(page.read_text()))
]


def run_python(text: str, folder: Path) -> None:
    """A Python block is a program of its own; warnings are errors there too."""
    subprocess.run([sys.executable, "-W", "error", "-c", text], cwd=folder, check=True, timeout=60)


def run_yaml(text: str, folder: Path) -> None:
    """A YAML block is a configuration, but where its first line says what else it is."""
    (folder / "coo.yaml").write_text(text)
    load_config(folder / "coo.yaml")


def run_shell(text: str, folder: Path) -> None:
    """A line of a shell block is one that some check below knows to be true."""
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            assert [name for name, holds in SHELL.items() if re.match(name, line) and holds(line)], line


def is_target(line: str) -> bool:
    target = line.split()[1]
    return f"\n{target}:" in (ROOT / "Makefile").read_text()


def is_our_name(line: str) -> bool:
    return 'name = "coo-middleware"' in (ROOT / "pyproject.toml").read_text()


def imports(line: str) -> bool:
    module, _, name = line.split()[1].partition(":")
    code = f"import {module} as module; assert callable(module.{name})"
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, timeout=60).returncode == 0


def is_command(line: str) -> bool:
    command = [sys.executable, "-m", "coo_middleware", line.split()[1], "--help"]
    return subprocess.run(command, cwd=ROOT, check=False, timeout=60, capture_output=True).returncode == 0


def is_extra(line: str) -> bool:
    return f"\n{line.partition('[')[2].partition(']')[0]} = [" in (ROOT / "pyproject.toml").read_text()


SHELL = {
    r"coo \w+": is_command,
    r"pip install 'coo-middleware\[\w+\]'": is_extra,
    r"make \w+": is_target,
    r"pip install coo-middleware\b": is_our_name,
    r"uvicorn [\w.]+:\w+": imports,
}
RUNNERS = {"python": run_python, "yaml": run_yaml, "sh": run_shell}


@pytest.mark.parametrize(("page", "language", "text"), BLOCKS)
def test_a_code_block_runs(page: Path, language: str, text: str, tmp_path: Path) -> None:
    """A block in a language runs as that language; a block without one is a picture."""
    if language:
        RUNNERS[language](text, tmp_path)


def test_a_block_that_does_not_run_would_be_seen(tmp_path: Path) -> None:
    """The runners can fail, each of them."""
    with pytest.raises(subprocess.CalledProcessError):
        run_python("raise SystemExit(3)", tmp_path)
    with pytest.raises(ValueError, match="ttl_secnds"):
        run_yaml("policy: {cache: {ttl_secnds: 1}}", tmp_path)
    with pytest.raises(AssertionError):
        run_shell("make nothing", tmp_path)
    with pytest.raises(AssertionError):
        run_shell("coo nothing", tmp_path)
    with pytest.raises(AssertionError):
        run_shell("pip install 'coo-middleware[nothing]'", tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """A relative link names a file that is there."""
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())

    assert [] == [link for link in links if not (page.parent / link).exists()]


def test_the_page_shows_every_setting_and_its_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The first block of docs/configuration.md names every setting, each with its default, and the second the rest."""
    for name in ("COO_SECRET", "STORAGE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    shown = [text for _, text in BLOCK.findall((ROOT / "docs" / "configuration.md").read_text())]
    (tmp_path / "coo.yaml").write_text(shown[0])

    assert Config() == load_config(tmp_path / "coo.yaml")
    assert [] == [name for name in setting_names(Config, in_lists=False) if f"{name}:" not in shown[0]]
    assert [] == [name for name in setting_names(Config) if f"{name}:" not in shown[0] + shown[1]]


def setting_names(section: type, *, in_lists: bool = True) -> list[str]:
    """All names in a tree of settings, with or without those of sections that may be missing or many."""
    found = []
    for name, kind in section_fields(section).items():
        within = find_section(kind)
        found += [name, *(setting_names(within, in_lists=in_lists) if within and (in_lists or within is kind) else [])]
    return found
