"""The usage of a service that keeps it in memory, as its admin API tells it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import httpx

from coo_middleware.core.document import read_json
from coo_middleware.stores import StoreError

if TYPE_CHECKING:
    from coo_middleware.cli.reading import Wanted
    from coo_middleware.cli.summary import Told

_MOST_BYTES: Final = 33_554_432
_SECONDS: Final = 10.0


async def fetch_usage(url: str, token_env: str, wanted: Wanted, seconds: int | None) -> Told:
    """The usage that the admin API below `url` tells. Raises ValueError for what it cannot be asked, StoreError for
    what it does not answer.
    """
    if seconds is None:
        raise ValueError("--window: the admin API tells windows; ask the store itself for total")
    names = {"provider": wanted.provider, "key": wanted.key_id, "model": wanted.model}
    headers = {"authorization": f"Bearer {_read_token(token_env)}"}
    try:
        async with httpx.AsyncClient(headers=headers, timeout=_SECONDS) as client:
            answer = await client.get(f"{url.rstrip('/')}/summary", params={"window": seconds, **names})
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise StoreError(f"--url: the admin API cannot be reached: {type(error).__name__}") from None
    if answer.status_code != 200:
        raise StoreError(f"--url: the admin API answered {answer.status_code}")
    told = read_json(answer.content) if len(answer.content) <= _MOST_BYTES else None
    if not isinstance(told, dict):
        raise StoreError("--url: the answer is not that of an admin API")
    return told


def _read_token(token_env: str) -> str:
    token = os.environ.get(token_env, "")
    if not token or not token.isascii() or not token.isprintable():
        raise ValueError(f"--token-env: the environment variable {token_env} must hold the admin API's token")
    return token
