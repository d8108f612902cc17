"""admin/tables.py: `GET /tables`."""

from __future__ import annotations

from base64 import b64encode
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from coo_middleware.admin import create_admin
from coo_middleware.stores.memory import MemoryStore
from tests.admin_room import HOSTILE, READ, RECORDS, bearer, fill
from tests.asgi import Client, call, make_scope

if TYPE_CHECKING:
    from coo_middleware.core.record import Record

PASSWORD = (b"authorization", b"Basic " + b64encode(f"anybody:{READ}".encode()))


class Page(HTMLParser):
    """What a browser makes of a page: its elements, and the texts of its cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.cells: list[str] = []
        self.is_inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.is_inside = tag == "td"
        self.cells += [""] * self.is_inside
        assert not [name for name, _ in attrs if name.startswith("on") or name == "style"]

    def handle_endtag(self, _tag: str) -> None:
        self.is_inside = False

    def handle_data(self, data: str) -> None:
        if self.is_inside:
            self.cells[-1] += data


async def fetch(*records: Record, query: str = "", field: tuple[bytes, bytes] = PASSWORD) -> Client:
    """The page over a store that counted these records."""
    store = MemoryStore()
    await fill(store, *records)
    admin = create_admin(store=store, read_token=READ)
    return await call(admin, b"", make_scope(f"/tables{query}", (field,), method="GET"))


@pytest.mark.parametrize("field", [PASSWORD, bearer(READ)])
async def test_it_opens_with_the_token_as_the_password(field: tuple[bytes, bytes]) -> None:
    """Or as a bearer token, as everywhere."""
    found = await fetch(*RECORDS, field=field)

    assert (200, b"text/html; charset=utf-8") == (found.status, found.fields[b"content-type"])
    assert b"no-store" == found.fields[b"cache-control"]


async def test_without_the_token_a_browser_asks_for_it() -> None:
    """Here alone a password is taken, since nothing here changes anything."""
    found = await fetch(field=(b"x", b"y"))

    assert (401, b'Basic realm="coo", charset="UTF-8"') == (found.status, found.fields[b"www-authenticate"])


async def test_it_shows_the_summary() -> None:
    """A row of all, and one for each provider, key and model."""
    page = Page((await fetch(*RECORDS, query="?provider=openai")).body.decode())

    assert ["3", "50.0%", "0", "131", "11", "$2.5000", "$0.5000"] == page.cells[:7]
    assert {"openai", "one", "two", "gpt-5", "gpt-5-mini"} <= set(page.cells)


async def test_names_are_text() -> None:
    """Nothing in a name is markup, whatever it is made of."""
    page = Page((await fetch(*RECORDS)).body.decode())

    assert {HOSTILE, "<script>"} <= set(page.cells)
    assert not {"script", "b", "img", "iframe"} & page.tags


async def test_what_is_unknown_is_a_dash() -> None:
    """No ratio and no times without a request."""
    page = Page((await fetch()).body.decode())

    assert ["0", "–", "0", "0", "0", "$0.0000", "$0.0000", "–", "–", "–"] == page.cells  # noqa: RUF001


async def test_the_window_is_chosen_by_a_link() -> None:
    """And told; a wrong one is refused in words."""
    page = (await fetch(query="?window=300")).body.decode()

    assert "The last 300 seconds." in page
    assert 'href="tables?window=86400"' in page
    assert 422 == (await fetch(query="?window=0")).status
