"""The sections of the harness, each in a process of its own: what one leaves in memory is not another's."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

from benchmarks.contenders import ALL
from benchmarks.litellm import LITELLM
from benchmarks.serving import pin

if TYPE_CHECKING:
    from benchmarks.effort import Effort
    from benchmarks.results import Results

SECTIONS: Final = ("in_process", "elsewhere", "crowds", "windows", "scale", "sockets")


def run_apart(name: str, effort: Effort, *, litellm: bool = False) -> Results:
    """What one section finds."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        return processes.submit(_run, name, effort, litellm).result()


def _run(name: str, effort: Effort, litellm: bool) -> Results:
    # hishel logs every answer that it could not store.
    logging.disable()
    measure = import_module(f"benchmarks.{name}").measure
    if name != "sockets":
        return cast("Results", asyncio.run(measure(effort, ALL)))
    import uvloop

    # The servers have the other core.
    pin(os.getpid(), 1)

    return cast("Results", uvloop.run(measure(effort, (*ALL, LITELLM) if litellm else ALL)))
