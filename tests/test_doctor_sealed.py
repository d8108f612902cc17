"""The doctor where responses are encrypted: keys that do not fit, and libraries that are missing."""

from __future__ import annotations

import secrets
import sys
from typing import TYPE_CHECKING

import pytest

from coo_middleware.core.sealing import Sealer
from coo_middleware.doctor.sealed import judge_heads
from coo_middleware.stores import StoreSettings, open_store
from tests.visits import bad, the, visit

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW = (bytes(range(first, first + 32)) for first in (0, 32))


async def fill(settings: StoreSettings) -> None:
    """Two responses that the old key sealed and one in the clear, beside a value that is none of ours."""
    async with open_store(settings) as store:
        for place, value in enumerate(
            [*[Sealer([OLD]).seal(b"x", b"")] * 2, b"COO\x02" + bytes(20), b"something else"]
        ):
            await store.set_cache(f"s{place}", value, 60)


@pytest.mark.parametrize("kind", ["file", "sqlite", "redis"])
@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ((OLD, NEW), "1 of 3 responses were not encrypted with a key that is configured"),
        ((NEW,), "3 of 3 responses were not encrypted with a key that is configured"),
        ((), "2 of 3 responses were not encrypted with a key that is configured"),
    ],
)
async def test_responses_that_no_key_opens_are_counted(
    kind: str, keys: tuple[bytes, ...], expected: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """In each store into which the doctor can look, which is left as it was."""
    place = {"path": str(tmp_path / "store")}
    if kind == "redis":
        place = {"addr": request.getfixturevalue("redis_url"), "key_prefix": secrets.token_hex(8)}
    await fill(StoreSettings(type=kind, **place))  # type: ignore[arg-type]
    for _ in range(2):
        findings = await visit(type=kind, **place, encryption_keys=[key.hex() for key in keys])  # type: ignore[arg-type]
        assert expected == the("encryption", findings).text
        assert ("warning", "encryption") in bad(findings)


def test_keys_that_fit_are_said_to_fit() -> None:
    """All is well where all of it opens, and there is nothing to say where nothing is encrypted or stored."""
    heads = [Sealer([key]).seal(b"x", b"")[:16] for key in (OLD, NEW)]
    settings = StoreSettings(encryption_keys=(NEW.hex(), OLD.hex()))

    assert ["the configured keys fit all of 2 responses that were looked at"] == [
        each.text for each in judge_heads(heads, settings)
    ]
    assert [] == list(judge_heads([], settings))
    assert [] == list(judge_heads([b"COO\x02" + bytes(12), b"else"], StoreSettings()))


async def test_a_library_that_is_missing_is_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The doctor says what to install and goes on."""
    await fill(StoreSettings(type="sqlite", path=str(tmp_path / "store")))
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.cmac", None)
    findings = await visit(type="sqlite", path=str(tmp_path / "store"), encryption_keys=[NEW.hex()])

    assert [("fault", "configuration")] == bad(findings)
    remedies = [each.remedy for each in findings if each.level == "fault"]
    assert ["pip install 'coo-middleware[encryption]'"] == remedies
