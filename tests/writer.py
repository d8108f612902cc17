"""A process that makes increments: `python -m tests.writer apply '{"type": "http", …}' name count` sends batches of one,
each until the store has it; `increment` in place of `apply` calls increment_usage, each once. Prints how many calls
failed.
"""

import asyncio
import json
import sys

from coo_middleware.stores import Increment, RuntimeStore, StoreError, open_store

REQ = ("openai", "key1", "req")


async def apply(store: RuntimeStore, name: str, sequence: int) -> int:
    """Sends one batch until it is acknowledged; how often it was not."""
    failures = 0
    while True:
        try:
            await store.apply(name, sequence, [Increment(*REQ, 1)])
        except StoreError:
            failures += 1
        else:
            return failures


async def increment(store: RuntimeStore, name: str, sequence: int) -> int:
    """Makes one increment; 1 when it failed, which leaves open whether it counts."""
    try:
        await store.increment_usage(*REQ, 1)
    except StoreError:
        return 1
    return 0


async def write(mode: str, settings: str, name: str, count: str) -> int:
    """Makes all increments, one after another."""
    act = {"apply": apply, "increment": increment}[mode]
    async with open_store(json.loads(settings)) as store:
        return sum([await act(store, name, sequence) for sequence in range(1, int(count) + 1)])


if __name__ == "__main__":
    print(asyncio.run(write(*sys.argv[1:])))
