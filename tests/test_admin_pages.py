"""admin/pages.py: the files of the dashboard."""

from __future__ import annotations

from pathlib import Path

import pytest

from coo_middleware import admin as package
from coo_middleware.admin import create_admin
from coo_middleware.stores.memory import MemoryStore
from tests.admin_room import READ
from tests.asgi import Client, Fields, call, make_scope

ADMIN = create_admin(store=MemoryStore(), read_token=READ)
STATIC = Path(package.__file__).parent / "static"
FILES = sorted(
    each.name for each in STATIC.iterdir() if each.suffix in {".html", ".js", ".css", ".svg", ".png", ".txt"}
)


async def fetch(path: str, headers: Fields = (), method: str = "GET") -> Client:
    """The answer to a request without a token."""
    return await call(ADMIN, b"", make_scope(path, headers, method=method))


@pytest.mark.parametrize("name", FILES)
async def test_each_file_is_served_to_anybody(name: str) -> None:
    """As it is, with a type that browsers trust, and nothing that they may guess."""
    found = await fetch(f"/{name}")

    assert (200, (STATIC / name).read_bytes()) == (found.status, found.body)
    assert found.fields[b"content-type"].split(b";")[0] in {
        *(b"text/html", b"text/javascript", b"text/css", b"text/plain"),
        *(b"image/svg+xml", b"image/png"),
    }
    assert b"nosniff" == found.fields[b"x-content-type-options"]


async def test_the_folder_itself_is_the_index() -> None:
    """So that relative addresses lead to the files and routes."""
    assert (STATIC / "index.html").read_bytes() == (await fetch("/")).body


async def test_pages_have_a_strict_policy() -> None:
    """Nothing from elsewhere, nothing inline, in no frame."""
    fields = (await fetch("/")).fields
    policy = dict(part.strip().partition(" ")[::2] for part in fields[b"content-security-policy"].decode().split(";"))

    assert {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    } == policy
    assert b"no-referrer" == fields[b"referrer-policy"]


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "{}, *"])
async def test_what_a_browser_has_is_not_sent_again(form: str) -> None:
    """It asks whether it is still true (RFC 9110 section 13.1.2)."""
    first = await fetch("/index.html")
    tag = first.fields[b"etag"].decode()
    again = await fetch("/", ((b"if-none-match", form.format(tag).encode()),))

    assert (200, 304, b"", tag.encode()) == (first.status, again.status, again.body, again.fields[b"etag"])
    assert b"no-cache" == first.fields[b"cache-control"]
    assert 200 == (await fetch("/", ((b"if-none-match", b'"other"'),))).status


async def test_a_head_has_no_content() -> None:
    """Its fields are those of the GET."""
    got, asked = await fetch("/"), await fetch("/", method="HEAD")

    assert (got.fields, b"") == (asked.fields, asked.body)


@pytest.mark.parametrize(
    "path",
    [
        "/../app.py",
        "/static/index.html",
        "//index.html",
        "/index.html/",
        "/./index.html",
        "/INDEX.HTML",
        "/__init__.py",
    ],
)
async def test_no_other_path_leads_to_a_file(path: str) -> None:
    """Names are looked up, and no path is made of them."""
    assert 401 == (await fetch(path)).status


async def test_files_are_only_read() -> None:
    """Every other method needs a token, and is none here."""
    assert [401, 401] == [(await fetch("/", method=method)).status for method in ("POST", "DELETE")]
