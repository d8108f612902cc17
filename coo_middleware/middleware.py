"""COOMiddleware: the one room that knows ASGI, with channels.py. Read, plan, look up, forward, record."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from coo_middleware.accounts import Accounts
from coo_middleware.adoption import Adoption
from coo_middleware.annex import Annex
from coo_middleware.at_rest import open_sealer
from coo_middleware.backing import Backing
from coo_middleware.cache import Cache
from coo_middleware.call import Call, make_context
from coo_middleware.channels import Content, Watch, Watcher, asking
from coo_middleware.config import Config, make_config
from coo_middleware.context import CooContext
from coo_middleware.core.limited import LimitedError
from coo_middleware.core.memo import Memo
from coo_middleware.core.plan import Target
from coo_middleware.estimator import open_estimator
from coo_middleware.explainer import open_planner
from coo_middleware.finder import Finder
from coo_middleware.flights import Flights
from coo_middleware.formats.router import Router
from coo_middleware.gate import Gate
from coo_middleware.passage import Passages
from coo_middleware.peers import Peers, open_replicas
from coo_middleware.portions import Gathered, Shelf
from coo_middleware.prices import Prices
from coo_middleware.recorder import Recorder
from coo_middleware.reply import Reply
from coo_middleware.sharing import Sharing
from coo_middleware.stores import StoreError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from coo_middleware.core.batch import Rest
    from coo_middleware.core.entry import Entry
    from coo_middleware.core.format import Route
    from coo_middleware.core.record import Record
    from coo_middleware.stores import RuntimeStore

_SHUT_DOWN: Final = frozenset({"lifespan.shutdown.complete", "lifespan.shutdown.failed"})


class COOMiddleware:
    """Reuses responses of LLM calls and counts what they cost.

    `config` is a path to a YAML file, a mapping, a Config or nothing (memory store, cache on for 10 seconds); a fault
    in it raises ConfigError here. A `store` that is passed stays the caller's to open and to close; one of our own
    opens with the lifespan, or with the first request where no lifespan arrives. Mount it outermost.

    `on_record` is called with the Record of every request after its answer; it must not wait, and what it raises is
    reported and goes no further.
    """

    def __init__(
        self,
        app: ASGIApp,
        config: str | os.PathLike[str] | Mapping[str, object] | Config | None = None,
        *,
        store: RuntimeStore | None = None,
        on_record: Callable[[Record], object] | None = None,
    ) -> None:
        self.app: Final = app
        self.config: Final = make_config(config)
        self._backing: Final = Backing(store, self.config.storage.runtime)
        self.store: Final = self._backing.store
        policy = self.config.policy
        sealer = open_sealer(self.config)
        self._cache: Final = Cache(self._backing.guarded, policy.cache.local_max_bytes, sealer)
        self._router: Final = Router(policy.routes)
        self._memo: Final = Memo(open_planner(policy))
        self._annex: Final = Annex(self.config, self.store, lambda: self.counts)
        observers = (*self._annex.observers, *filter(None, [on_record]))
        self._recorder: Final = Recorder(self._backing.outbox, policy.metrics, *observers)
        prices, count = Prices(self.config.llm_providers), open_estimator(policy.metrics.estimate_tokens)
        self._shelf: Final = Shelf(self._cache, self._recorder, prices)
        self._finder: Final = Finder(self._cache, self._shelf, Adoption(), self._recorder, self._tell_time)
        self._accounts: Final = Accounts(policy, self._recorder, prices, count)
        self._passages: Final = Passages(self.config, self._backing.guarded, self._recorder, prices, count)
        self._gate: Final = Gate(app)
        replicas = open_replicas(self._backing.guarded, policy.cache, sealer)
        self._peers: Final = Peers(replicas, self._cache, self._shelf, self._recorder, self._tell_time)
        self._flights: Final = Flights(
            self._gate.run, policy, self._recorder, self._finish, self._store, peers=self._peers
        )
        self._sharing: Final = Sharing(self._flights, policy, self._cache, self._recorder, self._tell_time)
        self._now = time.time

    @property
    def counts(self) -> Mapping[str, int]:
        """This process's own counters since it started: hits, misses, bypasses and refusals by reason, faults."""
        return dict(self._recorder.counts)

    async def drain(self) -> None:
        """Returns when all after-response work so far is done, calls that go on without a client among it."""
        await self._flights.drain()
        await self._passages.drain()
        await self._recorder.drain()

    async def close(self) -> None:
        """Gives calls under way a few seconds to end, drains, and closes the store unless the caller passed it; a store
        that cannot is reported.
        """
        await self._flights.close()
        await self.drain()
        try:
            await self._passages.close()
            await self._peers.close()
            await self._backing.close()
        except Exception as error:
            self._recorder.report("store_errors", error)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection; all but a call of a known LLM path passes untouched."""
        if scope["type"] == "http":
            route = self._recognise(scope)
            if route is not None:
                await self._serve(route, scope, receive, send)
                return
            if self._annex and (room := self._annex.find(scope["path"])) is not None:
                await self._open()
                await room(scope, receive, send)
                return
        elif scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _recognise(self, scope: Scope) -> Route | None:
        try:
            route = self._router.recognise(scope["path"]) if scope["method"] == "POST" else None
            return None if route is None or _is_marked(scope) else route
        except Exception as error:
            self._recorder.report("internal_errors", error)
            return None

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_and_close(message: Message) -> None:
            if message["type"] in _SHUT_DOWN:
                await self.close()
            await send(message)

        await self._open()
        self._accounts.open()
        await self.app(scope, receive, send_and_close)

    async def _open(self) -> None:
        try:
            await self._backing.open()
        except Exception as error:
            self._recorder.report("store_errors", error)

    async def _serve(self, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        content = Content(receive, self.config.policy.max_request_bytes)
        call = await self._begin(route, scope, content)
        if call is None:
            await self.app(scope, content.receive, send)
            return
        try:
            await self._answer(call, scope, content, send)
        except (LimitedError, StoreError):
            refusal = call.make_refusal()
            if refusal is None:
                raise
            await self._send(refusal, send)

    async def _answer(self, call: Call, scope: Scope, content: Content, send: Send) -> None:
        if call.passage is not None:
            try:
                await call.passage.enter_early()
            except (LimitedError, StoreError):
                self._finish(call, raised=True, disconnected=False)
                raise
        call.timing.hand_over()
        if call.reply is not None:
            if call.revalidates:
                self._sharing.refresh(call, scope, content)
            await self._reply(call, call.reply, send)
        elif call.rest is None or not await self._serve_rest(call, call.rest, scope, content, send):
            await self._share(call, scope, content, send)

    async def _share(self, call: Call, scope: Scope, content: Content, send: Send) -> None:
        if not self._sharing.applies(call, content):
            await self._forward(call, scope, content, send)
            return
        done = await self._sharing.answer(call, scope, content, send)
        if isinstance(done, Reply):
            await self._reply(call, done, send)
        elif not done:
            await self._forward(call, scope, content, send)

    async def _serve_rest(self, call: Call, rest: Rest, scope: Scope, content: Content, send: Send) -> bool:
        """Asks for the inputs that are not stored, and answers with all; False where that cannot be."""
        gathered = Gathered(rest)
        await self._share(call.make_rest(rest), {**scope}, content, gathered.send)
        messages = self._shelf.compose(gathered, rest)
        if messages is None:
            content.replace(content.body)
            return False
        for message in messages:
            await send(message)
        return True

    def _tell_time(self) -> float:
        return self._now()

    async def _begin(self, route: Route, scope: Scope, content: Content) -> Call | None:
        """The call, None after a fault of ours: then the app answers as if we were not there."""
        try:
            await self._open()
            if not route.bypass:
                await content.read()
            call = self._prepare(route, scope, content)
            await self._finder.find(call)
        except Exception as error:
            self._recorder.report("internal_errors", error)
            return None
        return call

    def _prepare(self, route: Route, scope: Scope, content: Content) -> Call:
        path = scope.get("raw_path") or scope["path"].encode(errors="surrogateescape")
        target = Target(path, scope.get("query_string", b""), tuple(scope.get("headers", ())))
        plan, batch = self._memo.plan(route, target, content.body, route.bypass or content.fault)
        passage = self._passages.open(plan, scope["path"])
        context = make_context(plan, passage)
        scope.setdefault("state", {})["coo"] = context
        return Call(self._accounts, plan, target.headers, context, batch=batch, passage=passage)

    async def _reply(self, call: Call, reply: Reply, send: Send) -> None:
        try:
            await self._send(reply, send)
            call.timing.note_chunk()
        finally:
            self._finish_reply(call, reply)

    async def _send(self, reply: Reply, send: Send) -> None:
        await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
        await send({"type": "http.response.body", "body": reply.content})

    def _finish_reply(self, call: Call, reply: Reply) -> None:
        try:
            call.finish_reply(reply)
        except Exception as error:
            self._recorder.report("internal_errors", error)

    async def _forward(self, call: Call, scope: Scope, content: Content, send: Send) -> None:
        content.is_delivered = call.exchange.is_delivered
        watch = Watch(call.exchange, self._recorder)
        note = call.timing.note_chunk
        watcher = Watcher(watch, call.announce, send, strips=call.asking is not None, note_chunk=note)
        raised = True
        try:
            with asking(scope, content, call.asking):
                await self._gate.run(call, scope, content.receive, watcher.send)
            raised = False
        except asyncio.CancelledError:
            # Whoever cancels a request has given its client up.
            watcher.is_disconnected = True
            raise
        finally:
            entry = self._finish(call, raised, content.is_disconnected or watcher.is_disconnected)
            if entry is not None:
                self._recorder.spawn(self._store(call, entry))

    def _finish(self, call: Call, raised: bool, disconnected: bool) -> Entry | None:
        """Counts a call that has ended, and gives the entry to store."""
        try:
            entry = call.finish(self._now(), raised=raised, disconnected=disconnected)
            if entry is not None and call.batch is None:
                self._cache.keep(entry)
        except Exception as error:
            self._recorder.report("internal_errors", error)
            return None
        return entry

    async def _store(self, call: Call, entry: Entry) -> None:
        try:
            if call.batch is None:
                await self._cache.store(call.plan.key, entry)
            else:
                await self._shelf.store(call.batch, entry)
        except Exception as error:
            self._recorder.report("store_errors", error)


def _is_marked(scope: Scope) -> bool:
    """Whether a middleware of ours further out has this request: mounted twice, it counts once."""
    return isinstance(scope.get("state", {}).get("coo"), CooContext)
