"""Whether the keys that are configured open what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.sealing import Sealer, read_key
from coo_middleware.doctor.finding import Finding, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from coo_middleware.stores import StoreSettings

_OURS: Final = (b"COO", b"COS", b"COE")


def judge_heads(heads: Iterable[bytes], settings: StoreSettings) -> Iterator[Finding]:
    """`heads` are how some of the stored responses begin; where there are none, there is nothing to say."""
    try:
        sealer = Sealer([read_key(key) for key in settings.encryption_keys])
    except ImportError:
        # That is a fault of its own, which is told first.
        return
    known = [sealer.is_known(head) for head in heads if head.startswith(_OURS)]
    if not all(known):
        text = f"{known.count(False)} of {len(known)} responses were not encrypted with a key that is configured"
        remedy = "list their key in storage.runtime.encryption_keys until they have expired, the same in every replica"
        yield warning("encryption", text, remedy)
    elif known and settings.encryption_keys:
        yield ok("encryption", f"the configured keys fit all of {len(known)} responses that were looked at")
