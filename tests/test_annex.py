"""What the middleware answers itself: closed unless it is opened, and nothing else is ever taken from the app."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from coo_middleware import COOMiddleware
from tests.asgi import ANSWER, ask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

READ, WRITE = "a-token-that-reads", "a-token-that-writes"
ADMIN = {"enabled": True, "read_token": READ, "write_token": WRITE}
OPEN = {"admin": ADMIN, "exporters": {"prometheus": {"enabled": True, "token": READ}}}


async def answer(request: Request) -> Response:
    """An app that answers chats, and says its own word at any other path."""
    chat = request.url.path == "/v1/chat/completions"
    return Response(ANSWER if chat else b"the app's own", media_type="application/json" if chat else "text/plain")


def client_of(config: Mapping[str, object]) -> httpx.AsyncClient:
    """A client of an app with the middleware in it."""
    app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST", "PUT", "DELETE"])])
    app.add_middleware(COOMiddleware, config=config)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://proxy")


@pytest.mark.parametrize("path", ["/metrics", "/metrics/fleet", "/coo/usage", "/coo/", "/coo", "/coo/purge"])
async def test_all_is_the_apps_by_default(path: str) -> None:
    """Without admin and exporters every path is the app's."""
    async with client_of({}) as client:
        assert "the app's own" == (await client.get(path)).text


@pytest.mark.parametrize(
    "path", ["/metricsx", "/metrics/", "/coox", "/%2Fcoo/usage", "/x/../cooo", "/Coo/usage", "//coo/usage"]
)
async def test_a_path_that_only_looks_like_ours_is_the_apps(path: str) -> None:
    """Matched is the decoded path from its first character on, and nothing of the Host."""
    async with client_of(OPEN) as client:
        answered = await client.get(
            path, headers={"host": "coo", "x-forwarded-prefix": "/coo", "x-original-url": "/coo"}
        )

    assert "the app's own" == answered.text


async def test_who_has_no_token_is_refused() -> None:
    """Without the token, with a wrong one and with the one that may not write nothing is told and nothing is purged."""
    async with client_of(OPEN) as client:
        statuses = [
            (await client.get("/coo/usage")).status_code,
            (await client.get("/coo/usage", headers={"authorization": f"Bearer {READ}x"})).status_code,
            (await client.get("/coo/%75sage")).status_code,
            (await client.get("/metrics")).status_code,
            (await client.get("/metrics/fleet", headers={"authorization": f"Bearer {WRITE}"})).status_code,
            (await client.get("/coo/purge", headers={"authorization": f"Bearer {WRITE}"})).status_code,
        ]
        refused = await client.post("/coo/purge", headers={"authorization": f"Bearer {READ}"}, json={"labels": ["all"]})

    assert [401, 401, 401, 401, 401, 405] == statuses
    assert 403 == refused.status_code


async def test_what_was_counted_is_told() -> None:
    """After a miss and a hit the scrape of this process, that of the fleet and the admin API agree."""
    middleware = COOMiddleware(Starlette(routes=[Route("/v1/chat/completions", answer, methods=["POST"])]), OPEN)
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(middleware),
        base_url="http://proxy",
        headers={"authorization": f"Bearer {READ}", "content-type": "application/json"},
    )
    async with client:
        for _ in range(2):
            await client.post("/v1/chat/completions", content=ask())
            await middleware.drain()
        own, fleet = [(await client.get(path)).text for path in ("/metrics", "/metrics/fleet")]
        summary = (await client.get("/coo/summary?window=3600")).json()

    for text in (own, fleet):
        lines = [line for line in text.splitlines() if "requests_total{" in line and "gpt-5-mini" in line]
        assert {'cache="hit"', 'cache="miss"'} == {
            part for line in lines for part in labels_of(line) if "cache=" in part
        }
        assert {"1.0"} == {line.rsplit(" ", 1)[1] for line in lines}
    assert (2, 0.5) == (summary["all"]["requests"], summary["all"]["hit_ratio"])


def test_a_bare_install_imports_none_of_it() -> None:
    """With nothing switched on neither the admin API nor an exporter nor a client of theirs is imported."""
    code = (
        "import sys; from coo_middleware import COOMiddleware; COOMiddleware(None)\n"
        "heavy = ('coo_middleware.admin', 'coo_middleware.exporters', 'coo_middleware.cli', 'prometheus_client',"
        " 'opentelemetry', 'typer', 'rich', 'genai_prices')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]" == found.stdout.strip()


def labels_of(line: str) -> list[str]:
    """The labels of a sample in Prometheus' text form."""
    return line.partition("{")[2].partition("}")[0].split(",")
