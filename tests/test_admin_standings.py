"""admin/standings.py: `GET /limits`."""

from __future__ import annotations

from typing import Any

import pytest

from coo_middleware.admin import create_admin
from coo_middleware.core.limit_rules import LimitRules, Subjects
from coo_middleware.core.limits import Take
from coo_middleware.core.quotas import LimitRule
from coo_middleware.stores.memory import MemoryStore
from tests.admin_room import READ, see

SECRET = "sk-canary-secret"
CONFIG: dict[str, Any] = {
    "policy": {
        "limits": {
            "rules": [
                {"name": "all", "requests": 10, "tokens": 500},
                {"name": "each-key", "per": ["key"], "path": "/v1/*", "provider": "open*", "tokens": 100},
                {"name": "callers", "per": ["caller"], "requests": 5},
                {"name": "spread", "per": ["key", "model"], "requests": 7},
            ]
        }
    },
    "llm_providers": [
        {"id": "openai", "api_keys": [SECRET], "limits": {"req_per_min": 60, "concurrency": 3, "session_limit": 9}},
        {"id": "other", "keys": [{"id": "mine", "secret": SECRET}]},
        {"id": "keyless"},
    ],
}


class Limitless(MemoryStore):
    """Keeps no limits."""

    async def reserve(self, *_: object) -> None:  # type: ignore[override]
        return None


async def told(store: MemoryStore) -> Any:
    """What `/limits` says of a store."""
    return await see(create_admin(CONFIG, store=store, read_token=READ), "/limits")


def stands(limits: Any) -> dict[tuple[str, float], float | None]:
    """What is used of each limit, by its label and its window."""
    return {(each["label"], each["window_seconds"]): each["used"] for each in limits}


async def test_keys_have_their_limits_and_those_of_rules_per_key() -> None:
    """Only of the rules for their provider; a rule per key and model has no one limit to show."""
    keys = (await told(MemoryStore()))["keys"]

    assert [("openai", "openai-1"), ("other", "mine")] == [(each["provider"], each["key"]) for each in keys]
    assert {("requests", 60.0), ("tokens", 3600.0), ("concurrency", 0.0), ("each-key", 60.0)} == set(
        stands(keys[0]["limits"])
    )
    assert [] == keys[1]["limits"]


async def test_it_says_what_is_used() -> None:
    """What calls have reserved under the names that the middleware gives limits."""
    store = MemoryStore()
    rule = LimitRules([LimitRule("all", requests=10, tokens=500)]).find(Subjects("", "m", "/v1/x", "openai", ""))
    key = LimitRules([LimitRule("each-key", per=("key",), tokens=100)]).find(Subjects("", "", "", "openai", "openai-1"))
    own = Take("key:openai:openai-1:req_per_min", 60, 60, 2)
    takes = [Take(each.name, each.quota, each.window_seconds, 4) for each in (*rule, *key)]
    await store.reserve("t", [(*takes, own)], 30)
    document = await told(store)

    assert (2.0, 4.0) == tuple(stands(document["keys"][0]["limits"])[name, 60.0] for name in ("requests", "each-key"))
    assert {("all:requests", 60.0): 4.0, ("all:tokens", 60.0): 4.0} == stands(document["rules"][0]["limits"])
    assert 0 < document["rules"][0]["limits"][0]["reset_seconds"] <= 61


async def test_of_a_rule_for_each_of_many_only_the_amounts_are_told() -> None:
    """Nobody knows whom to ask about."""
    rules = (await told(MemoryStore()))["rules"]

    assert ["all", "each-key", "callers", "spread"] == [each["name"] for each in rules]
    assert {("callers", 60.0): None} == stands(rules[2]["limits"])
    assert (["caller"], "/v1/*", "open*") == (rules[2]["per"], rules[1]["path"], rules[1]["provider"])


@pytest.mark.parametrize("amount", [0, 10, 15])
async def test_looking_takes_nothing(amount: int) -> None:
    """However full a limit is, its ledger is afterwards what it was before."""
    store = MemoryStore(clock=lambda: 1000.0)
    [limit, _] = LimitRules([LimitRule("all", requests=10, tokens=500)]).find(Subjects("", "", "", "", ""))
    if amount:
        await store.reserve("t", [(Take(limit.name, 1e6, 60.0, amount),)], 30)
    before = {name: tally.dump() for name, tally in store._ledger.tallies.items()}
    await told(store)

    assert before == {name: tally.dump() for name, tally in store._ledger.tallies.items()}


async def test_a_store_without_limits_says_so() -> None:
    """The amounts are told all the same."""
    document = await told(Limitless())

    assert (False, None) == (document["is_kept"], stands(document["keys"][0]["limits"])["requests", 60.0])


async def test_no_secret_is_shown() -> None:
    """Keys have names."""
    assert SECRET not in str(await told(MemoryStore()))
