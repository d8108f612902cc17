"""A proxy for OpenAI-compatible and Anthropic clients: `uvicorn example_app.main:app`.

Calls go to the `llm_providers` of the configuration (`COO_CONFIG`), with the keys that the middleware picks. Where it
has none the environment says whom to ask: `OPENAI_BASE_URL`, `OPENAI_API_KEY`, `ANTHROPIC_BASE_URL`,
`ANTHROPIC_API_KEY`. A provider without a key is asked with the caller's own credential. Where nothing is configured the
built-in upstream answers, which needs no key and no network.
"""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
from fastapi import APIRouter, FastAPI, Request, Response

from coo_middleware import Config, CooContext, COOMiddleware, load_config
from example_app.loopback import loopback
from example_app.providers import built_in_providers, find_providers, find_target
from example_app.relay import LIMITS, TIMEOUT, attempt, refuse, relay
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
    client: httpx.AsyncClient = request.state.client
    target = find_target(request.state.providers, name)
    if target is None:
        address, key = f"{name.upper()}_BASE_URL", f"{name.upper()}_API_KEY"
        way_out = f"add one to llm_providers, or leave that empty and set {address} or {key}"
        return refuse(name, 503, f"No upstream for {name}: {way_out}.")
    coo: CooContext | None = getattr(request.state, "coo", None)
    if coo is None or not target.secret:
        return (await attempt(request, client, name, target)).answer
    return await relay(request, client, name, coo)


def config_path(environ: Mapping[str, str]) -> str:
    """The configuration of the middleware: `COO_CONFIG`, or `coo.yaml` beside this file."""
    return environ.get("COO_CONFIG") or str(Path(__file__).with_name("coo.yaml"))


def read_config(environ: Mapping[str, str]) -> Config:
    """The configuration, where it names no `llm_providers` with those of the environment. Raises ConfigError."""
    config = load_config(config_path(environ))
    return config if config.llm_providers else replace(config, llm_providers=tuple(find_providers(environ)))


def create_proxy(environ: Mapping[str, str], config: Config | None = None) -> FastAPI:
    """The proxy alone, without the middleware. Its providers are those of `config`, else those that `environ` leads to.
    Raises ConfigError.
    """
    providers = (config or read_config(environ)).llm_providers

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, object]]:
        async with AsyncExitStack() as stack:
            found = providers
            if not found:
                found = built_in_providers(await stack.enter_async_context(loopback(upstream_from(environ))))
            # The environment's HTTP proxy must not come between us and a loopback address.
            client = httpx.AsyncClient(timeout=TIMEOUT, limits=LIMITS, trust_env=bool(providers))
            await stack.enter_async_context(client)
            yield {"providers": found, "client": client}

    proxy = FastAPI(title="coo_middleware example proxy", lifespan=lifespan)
    proxy.include_router(router)
    return proxy


def create_app(environ: Mapping[str, str]) -> FastAPI:
    """The proxy with the middleware mounted. Raises ConfigError."""
    config = read_config(environ)
    app = create_proxy(environ, config)
    app.add_middleware(COOMiddleware, config=config)
    return app


app = create_app(os.environ)
