"""The files of the dashboard, which hold nothing of anybody's: they need no token."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response

if TYPE_CHECKING:
    from starlette.types import Scope

INDEX: Final = "index.html"

_FOLDER: Final = Path(__file__).parent / "static"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".txt": "text/plain; charset=utf-8",
}


class _Page(NamedTuple):
    content: bytes
    type: str
    tag: str


def find_page(scope: Scope, path: str) -> Response | None:
    """What answers at a path below the mount, None where there is no such file."""
    if not path:
        # Relative, so that neither the host nor a prefix that a proxy took away is part of it.
        return RedirectResponse("./" + scope["path"].rpartition("/")[2] + "/", 307)
    page = _read_pages().get(path.removeprefix("/") or INDEX)
    if page is None:
        return None
    fields = {"etag": page.tag, "cache-control": "no-cache"}
    if page.tag in _list_known(Headers(scope=scope).get("if-none-match", "")):
        return Response(status_code=304, headers=fields)
    return Response(page.content, headers=fields, media_type=page.type)


@cache
def _read_pages() -> dict[str, _Page]:
    """All of them by name; no path is ever made of what a client sent."""
    files = (each for each in sorted(_FOLDER.iterdir()) if each.suffix in _TYPES) if _FOLDER.is_dir() else ()
    return {each.name: _make_page(each.read_bytes(), _TYPES[each.suffix]) for each in files}


def _make_page(content: bytes, media_type: str) -> _Page:
    return _Page(content, media_type, f'"{sha256(content).hexdigest()[:32]}"')


def _list_known(field: str) -> list[str]:
    """The tags of If-None-Match, which are compared weakly (RFC 9110 section 13.1.2)."""
    return [each.strip().removeprefix("W/") for each in field.split(",")]
