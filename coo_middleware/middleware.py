"""COOMiddleware: the one room that knows ASGI, with channels.py. Read, plan, look up, forward, record."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from coo_middleware.call import Call
from coo_middleware.channels import Content, Watcher
from coo_middleware.config import Config, make_config
from coo_middleware.context import CooContext
from coo_middleware.core.entry import Entry, EntryError, pack_entry, unpack_entry
from coo_middleware.core.notice import add_fields, forward_fields, hit_fields, resize_field
from coo_middleware.core.plan import Planner, Target
from coo_middleware.formats import recognise
from coo_middleware.recorder import Recorder
from coo_middleware.stores import RuntimeStore, open_store

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from coo_middleware.core.format import Format
    from coo_middleware.core.plan import Plan

_SHUT_DOWN: Final = frozenset({"lifespan.shutdown.complete", "lifespan.shutdown.failed"})


class COOMiddleware:
    """Reuses responses of LLM calls and counts what they cost.

    `config` is a path to a YAML file, a mapping, a Config or nothing (memory store, cache on for 10 seconds); a fault
    in it raises ConfigError here. A `store` that is passed stays the caller's to open and to close; one of our own
    opens with the lifespan, or with the first request where no lifespan arrives. Mount it outermost.
    """

    def __init__(
        self,
        app: ASGIApp,
        config: str | os.PathLike[str] | Mapping[str, object] | Config | None = None,
        *,
        store: RuntimeStore | None = None,
    ) -> None:
        self.app: Final = app
        self.config: Final = make_config(config)
        self.store: Final = open_store(self.config.storage.runtime) if store is None else store
        policy = self.config.policy
        self._owns_store: Final = store is None
        self._is_open = not self._owns_store
        self._planner: Final = Planner(policy.cache, secret=policy.secret, ask_usage=policy.metrics.include_usage)
        self._recorder: Final = Recorder(
            self.store, flush_seconds=policy.metrics.flush_seconds, max_keys=policy.metrics.max_keys
        )
        self._now = time.time

    @property
    def counts(self) -> Mapping[str, int]:
        """This process's own counters since it started: hits, misses, bypasses and refusals by reason, faults."""
        return dict(self._recorder.counts)

    async def drain(self) -> None:
        """Returns when all after-response work so far is done."""
        await self._recorder.drain()

    async def close(self) -> None:
        """Drains, and closes the store unless the caller passed it."""
        await self.drain()
        if self._owns_store and self._is_open:
            self._is_open = False
            await self.store.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection; all but a call of a known LLM path passes untouched."""
        if scope["type"] == "http" and scope["method"] == "POST":
            fmt = recognise(scope["path"])
            if fmt is not None and not _is_marked(scope):
                await self._serve(fmt, scope, receive, send)
                return
        elif scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        await self.app(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_and_close(message: Message) -> None:
            if message["type"] in _SHUT_DOWN:
                await self.close()
            await send(message)

        await self._open()
        await self.app(scope, receive, send_and_close)

    async def _open(self) -> None:
        try:
            await self.store.open()
            self._is_open = True
        except Exception as error:
            self._recorder.report("store_errors", error)

    async def _serve(self, fmt: Format, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._is_open:
            await self._open()
        content = Content(receive, self.config.policy.max_request_bytes)
        await content.read()
        try:
            call = self._prepare(fmt, scope, content)
        except Exception as error:
            self._recorder.report("internal_errors", error)
            await self.app(scope, content.receive, send)
            return
        entry = await self._look_up(call.plan)
        if entry is not None:
            await self._reuse(call, entry, send)
        elif call.plan.directives.only_if_cached:
            await self._refuse(call, send)
        else:
            await self._forward(call, scope, content, send)

    def _prepare(self, fmt: Format, scope: Scope, content: Content) -> Call:
        path = scope.get("raw_path") or scope["path"].encode(errors="surrogateescape")
        target = Target(path, scope.get("query_string", b""), tuple(scope.get("headers", ())))
        plan = self._planner.plan(fmt, target, content.body, content.fault)
        context = CooContext("bypass" if plan.bypass else "miss", fmt.provider, plan.caller)
        scope.setdefault("state", {})["coo"] = context
        return Call(self.config.policy, plan, context, self._recorder)

    async def _look_up(self, plan: Plan) -> Entry | None:
        """The stored response that may answer, None when there is none: a store's fault is a miss."""
        wishes = plan.directives
        if plan.bypass or wishes.no_store or wishes.no_cache:
            return None
        try:
            frame = await self.store.get_cache(plan.key)
            entry = unpack_entry(frame, plan.digest) if frame else None
        except Exception as error:
            self._recorder.report("bad_entries" if isinstance(error, EntryError) else "store_errors", error)
            return None
        return entry if entry is not None and entry.is_fresh(self._now(), wishes.max_age) else None

    async def _reuse(self, call: Call, entry: Entry, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": hit_fields(entry, self._now())})
        await send({"type": "http.response.body", "body": entry.content})
        call.finish_hit(entry)

    async def _refuse(self, call: Call, send: Send) -> None:
        """Nothing is stored for a client that wants nothing else (RFC 9111 section 5.2.1.7)."""
        body = call.plan.format.error_body(504, "only-if-cached was asked for, and no fresh response is stored")
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        headers = add_fields(headers, forward_fields(call.plan), resized=False)
        await send({"type": "http.response.start", "status": 504, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        self._recorder.counts["only_if_cached"] += 1

    async def _forward(self, call: Call, scope: Scope, content: Content, send: Send) -> None:
        headers = scope.get("headers", ())
        if call.plan.asking is not None:
            content.replace(call.plan.asking)
            scope["headers"] = resize_field(headers, len(call.plan.asking))
        watcher = Watcher(call.exchange, forward_fields(call.plan), self._recorder, send)
        raised = True
        try:
            await self.app(scope, content.receive, watcher.send)
            raised = False
        except asyncio.CancelledError:
            # Whoever cancels a request has given its client up.
            content.is_disconnected = True
            raise
        finally:
            if call.plan.asking is not None:
                scope["headers"] = headers
            entry = call.finish(self._now(), raised=raised, disconnected=content.is_disconnected)
            if entry is not None:
                self._recorder.spawn(self._store(call.plan.key, entry))

    async def _store(self, key: str, entry: Entry) -> None:
        try:
            await self.store.set_cache(key, pack_entry(entry), entry.ttl)
        except Exception as error:
            self._recorder.report("store_errors", error)


def _is_marked(scope: Scope) -> bool:
    """Whether a middleware of ours further out has this request: mounted twice, it counts once."""
    return isinstance(scope.get("state", {}).get("coo"), CooContext)
