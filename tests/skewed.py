"""Processes whose wall clocks are wrong, each by its own measure, which ask one store at the same time.

`python -m tests.skewed FOLDER` runs each load in FOLDER (*.load) in a process of its own, and leaves what it saw beside
it (*.calls). The wall clock is exchanged before anything of ours is imported, so that nobody has the right one.
"""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.synchronize import Barrier

    from tests.limiting import Call, Load

_PATIENCE_SECONDS = 60.0

_right = time.time
_skews = [0.0]


def run_skewed(loads: Sequence[Load], folder: Path) -> list[list[Call]]:
    """What each of the processes saw, after all have ended."""
    from tests.limiting import read_calls

    folder.mkdir()
    for number, load in enumerate(loads):
        load.write(folder / f"{number}.load")
    subprocess.run([sys.executable, "-m", "tests.skewed", folder], cwd=Path(__file__).parent.parent, check=True)
    return [read_calls(folder / f"{number}.calls") for number in range(len(loads))]


def _run(path: Path, everybody: Barrier) -> None:
    import asyncio

    from tests.limiting import Driver, Load

    load = Load.read(path)
    _skews[0] = load.skew
    driver = Driver(load)
    everybody.wait(_PATIENCE_SECONDS)
    asyncio.run(driver.run())
    driver.write(path.with_suffix(".calls"))


def _main(folder: Path) -> int:
    time.__dict__["time"] = lambda: _right() + _skews[0]
    # Once, for all of them: a fork of a process without threads.
    import coo_middleware.stores.http
    import coo_middleware.stores.redis
    import coo_middleware.stores.sqlite  # noqa: F401

    context, paths = multiprocessing.get_context("fork"), sorted(folder.glob("*.load"))
    everybody = context.Barrier(len(paths))
    processes = [context.Process(target=_run, args=(path, everybody)) for path in paths]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return int(any(process.exitcode for process in processes))


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1])))
