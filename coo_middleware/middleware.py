"""COOMiddleware: the one room that knows ASGI, with channels.py. Read, plan, look up, forward, record."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from coo_middleware.adoption import Adoption
from coo_middleware.at_rest import open_sealer
from coo_middleware.backing import Backing
from coo_middleware.cache import Cache
from coo_middleware.call import Call
from coo_middleware.channels import Content, Watch, Watcher, asking
from coo_middleware.config import Config, make_config
from coo_middleware.context import CooContext
from coo_middleware.core.batch import make_batch
from coo_middleware.core.entry import Entry, EntryError
from coo_middleware.core.plan import Target
from coo_middleware.estimator import open_estimator
from coo_middleware.explainer import open_planner
from coo_middleware.flights import Flights
from coo_middleware.formats.router import Router
from coo_middleware.peers import Peers, open_replicas
from coo_middleware.portions import Gathered, Shelf
from coo_middleware.recorder import Recorder
from coo_middleware.reply import Reply
from coo_middleware.sharing import Sharing
from coo_middleware.stores import StoreBusyError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from coo_middleware.core.batch import Rest
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
        self._planner: Final = open_planner(policy)
        self._adoption: Final = Adoption()
        self._recorder: Final = Recorder(self._backing.outbox, policy.metrics, on_record)
        self._shelf: Final = Shelf(self._cache, self._recorder)
        replicas = open_replicas(self._backing.guarded, policy.cache, sealer)
        self._peers: Final = Peers(replicas, self._cache, self._shelf, self._recorder, self._tell_time)
        self._flights: Final = Flights(
            self._run_app, policy, self._recorder, self._finish, self._store, peers=self._peers
        )
        self._sharing: Final = Sharing(self._flights, policy, self._cache, self._recorder, self._tell_time)
        self._count: Final = open_estimator(policy.metrics.estimate_tokens)
        self._now = time.time

    @property
    def counts(self) -> Mapping[str, int]:
        """This process's own counters since it started: hits, misses, bypasses and refusals by reason, faults."""
        return dict(self._recorder.counts)

    async def drain(self) -> None:
        """Returns when all after-response work so far is done, calls that go on without a client among it."""
        await self._flights.drain()
        await self._recorder.drain()

    async def close(self) -> None:
        """Gives calls under way a few seconds to end, drains, and closes the store unless the caller passed it; a store
        that cannot is reported.
        """
        await self._flights.close()
        await self.drain()
        try:
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
        elif call.reply is not None:
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
        messages = self._compose(gathered, rest)
        if messages is None:
            content.replace(content.body)
            return False
        for message in messages:
            await send(message)
        return True

    def _compose(self, gathered: Gathered, rest: Rest) -> list[Message] | None:
        try:
            messages = gathered.compose()
            if messages is not None and messages[0]["status"] == 200:
                self._shelf.settle(rest)
        except Exception as error:
            self._recorder.report("internal_errors", error)
            return None
        return messages

    def _tell_time(self) -> float:
        return self._now()

    async def _run_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    async def _begin(self, route: Route, scope: Scope, content: Content) -> Call | None:
        """The call, None after a fault of ours: then the app answers as if we were not there."""
        try:
            await self._open()
            if not route.bypass:
                await content.read()
            call = self._prepare(route, scope, content)
            entry = await self._find_entry(call)
            self._find_reply(call, entry, self._now())
            if call.plan.digest and (call.reply is None or call.revalidates):
                # After the look-up: what is purged while the upstream works must not be reused.
                call.generation = await self._cache.begin()
        except Exception as error:
            self._recorder.report("internal_errors", error)
            return None
        return call

    async def _find_entry(self, call: Call) -> Entry | None:
        """The entry for a request; one with several inputs may be made of several, or leave a rest to be asked for."""
        if call.batch is None:
            return await self._look_up(call)
        entry, call.rest = await self._shelf.look_up(call.batch, self._now())
        return entry

    def _find_reply(self, call: Call, entry: Entry | None, now: float) -> None:
        # What observing keeps has no content to answer with.
        usable = None if call.plan.policy.mode == "observe" else entry
        call.find_reply(usable, self._cache.render(call.plan, usable) if usable else None, now)
        if entry is not None and self._adoption.withholds(call.plan):
            call.withhold(entry, now)

    def _prepare(self, route: Route, scope: Scope, content: Content) -> Call:
        path = scope.get("raw_path") or scope["path"].encode(errors="surrogateescape")
        target = Target(path, scope.get("query_string", b""), tuple(scope.get("headers", ())))
        plan, parts = self._planner.plan_in_parts(route, target, content.body, route.bypass or content.fault)
        context = CooContext("bypass" if plan.bypass else "miss", plan.provider, plan.caller)
        scope.setdefault("state", {})["coo"] = context
        batch = make_batch(plan, parts)
        return Call(self.config.policy, plan, target.headers, context, self._recorder, count=self._count, batch=batch)

    async def _look_up(self, call: Call) -> Entry | None:
        """The stored response that may answer, None when there is none: a store's fault is a miss."""
        plan, wishes = call.plan, call.plan.directives
        if plan.bypass or wishes.no_store or wishes.no_cache:
            return None
        try:
            entry = await self._cache.look_up(plan)
        except Exception as error:
            call.is_cut_off = not isinstance(error, EntryError | StoreBusyError)
            self._recorder.report("bad_entries" if isinstance(error, EntryError) else "store_errors", error)
            return None
        return entry

    async def _reply(self, call: Call, reply: Reply, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
            await send({"type": "http.response.body", "body": reply.content})
        finally:
            self._finish_reply(call, reply)

    def _finish_reply(self, call: Call, reply: Reply) -> None:
        try:
            call.finish_reply(reply)
        except Exception as error:
            self._recorder.report("internal_errors", error)

    async def _forward(self, call: Call, scope: Scope, content: Content, send: Send) -> None:
        content.is_delivered = call.exchange.is_delivered
        watch = Watch(call.exchange, self._recorder)
        watcher = Watcher(watch, call.announce, send, strips=call.asking is not None)
        raised = True
        try:
            with asking(scope, content, call.asking):
                await self.app(scope, content.receive, watcher.send)
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
