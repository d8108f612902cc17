"""core/plan.py: cache keys that never change unnoticed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from coo_middleware.core.policy import CachePolicy
from coo_middleware.formats import recognise
from tests.plans import make_plan

TESTS = Path(__file__).parent
GOLDEN = TESTS / "golden" / "keys.json"


def golden_keys() -> dict[str, str]:
    """The key of each request in tests/golden/keys.json, as it is now."""
    return {
        each["name"]: make_plan(
            content=each["content"].encode(),
            headers=[(name.encode(), value.encode()) for name, value in each["headers"]],
            query=each["query"].encode(),
            path=each["path"].encode(),
            route=recognise(unquote(each["path"])),
            policy=CachePolicy(**each["policy"]),
            secret=each["secret"],
        ).key
        for each in json.loads(GOLDEN.read_text())
    }


def held_keys() -> dict[str, str]:
    return {each["name"]: each["key"] for each in json.loads(GOLDEN.read_text())}


def test_every_request_is_of_its_format() -> None:
    """The path of each request speaks the format that it is said to speak."""
    routes = [recognise(unquote(each["path"])) for each in json.loads(GOLDEN.read_text())]

    assert [each["format"] for each in json.loads(GOLDEN.read_text())] == [
        route and route.format.name for route in routes
    ]


def test_keys_are_held() -> None:
    """The keys of known requests never change unnoticed: a change makes every stored response unreachable."""
    assert held_keys() == golden_keys()
    assert {65} == {len(key) for key in held_keys().values()}
    assert len(held_keys()) == len(set(held_keys().values()))


@pytest.mark.parametrize("seed", ["0", "4242"])
def test_keys_are_those_of_any_process(seed: str) -> None:
    """A process with other hash seeds gives the same keys."""
    script = "import json, test_plan_golden; print(json.dumps(test_plan_golden.golden_keys()))"
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)

    assert held_keys() == json.loads(done.stdout)
