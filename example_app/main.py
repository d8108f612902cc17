"""A proxy for OpenAI-compatible and Anthropic clients: `uvicorn example_app.main:app`.

Environment: `OPENAI_BASE_URL`, `OPENAI_API_KEY`, `ANTHROPIC_BASE_URL`, `ANTHROPIC_API_KEY`, `COO_CONFIG`. Where a key
is set, calls go out with it; where only an address is set, with the caller's own credential; where none of the four is
set, to the built-in upstream, which needs no key and no network.
"""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
from fastapi import APIRouter, FastAPI, Request, Response

from coo_middleware import CooContext, COOMiddleware
from example_app.loopback import loopback
from example_app.providers import Provider, built_in_providers, configured_providers
from example_app.relay import LIMITS, TIMEOUT, refuse, relay
from example_app.upstream import upstream_from

router = APIRouter()


@router.post("/v1/chat/completions")
@router.post("/v1/completions")
@router.post("/v1/embeddings")
@router.post("/v1/responses")
async def openai(request: Request) -> Response:
    """Whatever the OpenAI-compatible upstream answers."""
    return await _forward(request, "openai")


@router.post("/v1/messages")
async def anthropic(request: Request) -> Response:
    """Whatever the Anthropic upstream answers."""
    return await _forward(request, "anthropic")


@router.get("/healthz")
async def health() -> dict[str, str]:
    """The proxy runs; no upstream is asked."""
    return {"status": "ok"}


async def _forward(request: Request, name: str) -> Response:
    providers: dict[str, Provider] = request.state.providers
    provider = providers.get(name)
    if provider is None:
        variable = name.upper()
        return refuse(name, 503, f"No upstream for {name}: set {variable}_BASE_URL or {variable}_API_KEY.")
    _name_key(request, provider)
    return await relay(request, request.state.client, provider)


def _name_key(request: Request, provider: Provider) -> None:
    """Tells the middleware whose traffic this is; by itself it tells keys apart by the callers' credentials."""
    call: CooContext | None = getattr(request.state, "coo", None)
    if call is not None and provider.key_id is not None:
        call.provider, call.key_id = provider.name, provider.key_id


def create_proxy(environ: Mapping[str, str]) -> FastAPI:
    """The proxy alone, without the middleware, set up from `environ` when its lifespan starts."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, object]]:
        async with AsyncExitStack() as stack:
            providers = configured_providers(environ)
            # The environment's HTTP proxy must not come between us and a loopback address.
            built_in = not providers
            if built_in:
                providers = built_in_providers(await stack.enter_async_context(loopback(upstream_from(environ))))
            client = httpx.AsyncClient(timeout=TIMEOUT, limits=LIMITS, trust_env=not built_in)
            await stack.enter_async_context(client)
            yield {"providers": providers, "client": client}

    proxy = FastAPI(title="coo_middleware example proxy", lifespan=lifespan)
    proxy.include_router(router)
    return proxy


def config_path(environ: Mapping[str, str]) -> str:
    """The configuration of the middleware: `COO_CONFIG`, or `coo.yaml` beside this file."""
    return environ.get("COO_CONFIG") or str(Path(__file__).with_name("coo.yaml"))


def create_app(environ: Mapping[str, str]) -> FastAPI:
    """The proxy with the middleware mounted."""
    app = create_proxy(environ)
    app.add_middleware(COOMiddleware, config=config_path(environ))
    return app


app = create_app(os.environ)
