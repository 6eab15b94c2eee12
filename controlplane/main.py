"""Composition root of the control plane, in the order that data flows: store and sources, snapshot, queue, xDS."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from aiohttp import web

from controlplane.apiserver.errors import error_middleware
from controlplane.apiserver.resources import BODY_LIMIT_BYTES, ResourceApi
from controlplane.apiserver.storage import Event, EventType, Store, StoreError, StoreUnusable
from controlplane.apiserver.watch import WatchLog
from controlplane.debug.metrics import ControlPlaneMetrics
from controlplane.debug.observers import ObserverPages
from controlplane.debug.routes import DebugPages
from controlplane.mesh_config_file import BadMeshConfig, MeshConfigFile
from controlplane.model.mesh_snapshot import build_snapshot
from controlplane.options import Options, parse_options
from controlplane.privileges import CannotDrop, drop_root
from controlplane.seed import BadSeed, seed_store
from controlplane.sources.aggregate import Registry
from controlplane.sources.base import Source
from controlplane.sources.docker import DockerSource
from controlplane.sources.static_file import StaticFileSource
from controlplane.translate.affected import affected_types
from controlplane.translate.build import Translator
from controlplane.xds.connection import Push
from controlplane.xds.push_queue import Change, PushQueue
from controlplane.xds.server import AdsServer, PortTaken
from controlplane.xds.snapshot import SnapshotKeeper
from controlplane.xds.status import StatusBoard
from lugsail.daemon.listening import CannotListen, check_free, serve_http
from lugsail.daemon.process import log_to_stderr, run_until_stopped

log = logging.getLogger("controlplane")

GC_THRESHOLDS = (50_000, 20, 50)
# Platform adapters: kind → its source, None where the command line does not ask for it. The first one wins a name.
SOURCES: dict[str, Callable[[Options], Source | None]] = {
    "file": lambda o: StaticFileSource(o.registry) if o.registry else None,
    "docker": lambda o: (
        DockerSource(o.docker_host, o.docker_project, o.docker_all, injected=o.inject) if o.docker else None
    ),
}
_EVENT_NAMES = {EventType.ADDED: "add", EventType.MODIFIED: "update", EventType.DELETED: "delete"}


class ControlPlane:
    """All parts of one control plane. Building it opens the store and nothing else.

    Raises StoreUnusable, BadSeed, StoreError, BadMeshConfig.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        clock = time.monotonic
        self.metrics = metrics = ControlPlaneMetrics()
        self.board = StatusBoard(clock, time.time)
        self.serving = asyncio.Event()

        # What people say of the whole mesh, what they apply, and what runs.
        self.mesh_config = MeshConfigFile(options.mesh_config) if options.mesh_config else None
        self.store = Store(options.store)
        if options.seed:
            seed_store(self.store, options.seed)
        self.store.observe(self._resource_changed)
        sources = (make(options) for make in SOURCES.values())
        self.registry = Registry([source for source in sources if source], self._registry_changed)
        # Both, as one immutable mesh; rebuilt by the queue, at once or after a back-off.
        self.keeper = SnapshotKeeper(
            self.store.resources, self.registry.resources, self._build, affected_types, self.board, metrics, clock
        )
        self.queue = PushQueue(self._rebuild_and_push, clock, work_s=lambda: metrics.work_s)
        # To each proxy, what differs of its share.
        self.translator = Translator()
        self.ads = AdsServer(self.translator, self._current, self.board, metrics, clock)

        # For people.
        self.api = ResourceApi(self.store, WatchLog(self.store))
        self.debug = DebugPages(
            *(self.store, self.registry, self.keeper, self.translator, self.ads, self.board, metrics),
            push_all=self._push_all,
            is_serving=lambda: self.ads.is_serving,
        )
        self.observers = ObserverPages(
            lambda: self.keeper.current.snapshot if self.keeper.current else None,
            lambda: [connection.proxy for connection in self.ads.connections.values()],
            lambda: self.store.revision,
            (options.address, options.monitoring_port),
        )
        metrics.follow(self._count_services, lambda: self.store.revision, lambda: len(self.registry.errors()))
        self.board.written(self.store.revision)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`. Raises CannotListen."""
        o = self.options
        ports = ((o.http_port, "--http-port"), (o.monitoring_port, "--monitoring-port"), (o.xds_port, "--xds-port"))
        for port, flag in ports:
            check_free(o.address, port, flag)
        apps = (
            (self.observers.routes() + self.debug.api_routes() + self.debug.routes() + self.api.routes(), o.http_port),
            (
                self.debug.monitoring_routes() + self.debug.routes(),
                o.monitoring_port,
            ),
        )
        runners = [await serve_http(_app(routes), o.address, port, cancel=True) for routes, port in apps]
        parts = [self.registry.run(), self._serve_xds(), stop.wait()]
        if self.mesh_config is not None:
            parts.append(self.mesh_config.watch(self._mesh_config_changed))
        if o.inject:
            from controlplane.injector.start import make_injector

            parts.append(make_injector(o).run())
        tasks = [asyncio.ensure_future(part) for part in parts]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.ads.stop()
            for runner in runners:
                await runner.cleanup()
            self.store.close()

    async def _serve_xds(self) -> None:
        """From the first complete state on: nobody gets half a mesh."""
        o = self.options
        await self.serving.wait()
        await self.ads.start(o.address, o.xds_port)
        gc.collect()
        gc.freeze()
        # A push makes a few thousand objects, nearly all freed by reference counts: do not look for cycles amid each.
        gc.set_threshold(*GC_THRESHOLDS)
        log.info(
            "serving: xDS %s:%d, API http://%s:%d, %d resources, %d in the registry",
            *(o.address, o.xds_port, o.address, o.http_port, len(self.store.list()), len(self.registry)),
        )
        await asyncio.Event().wait()

    # Changes

    def _resource_changed(self, event: Event) -> None:
        kind = event.stored.key.kind
        self.metrics.config_event(kind, _EVENT_NAMES[event.type])
        log.info("%s %s, revision %d", event.stored.key, event.type.lower(), event.revision)
        self._offer(event.revision, "config")

    def _registry_changed(self, _kinds: frozenset[str]) -> None:
        self._offer(self.store.bump(), "registry")

    def _mesh_config_changed(self) -> None:
        self._offer(self.store.bump(), "mesh config")

    def _offer(self, revision: int, trigger: str) -> None:
        self.board.written(revision)
        self.queue.offer(Change(revision, time.monotonic(), {trigger: 1}))

    def _rebuild_and_push(self, change: Change, force: bool = False) -> None:
        if not self.registry.complete.is_set():
            return  # the first complete list brings a change of everything
        push = self.keeper.rebuild(change, force)
        if push is not None:
            self.metrics.triggered(change.triggers)
            self.ads.push(push)
            self.serving.set()

    def _push_all(self) -> None:
        self._rebuild_and_push(Change(self.store.revision, time.monotonic(), {"debug": 1}), force=True)

    def _current(self) -> Push:
        assert self.keeper.current is not None  # the xDS port opens after the first snapshot
        return self.keeper.current

    def _build(self, resources: Iterable[Any], registry: Iterable[Any], previous: Any) -> Any:
        mesh = self.mesh_config.current if self.mesh_config is not None else None
        return build_snapshot(resources, registry, mesh, previous)

    def _count_services(self) -> float:
        return len(self.keeper.current.snapshot.services) if self.keeper.current else 0


def _app(routes: Sequence[web.RouteDef]) -> web.Application:
    app = web.Application(client_max_size=BODY_LIMIT_BYTES, middlewares=[error_middleware])
    app.add_routes(routes)
    return app


def main(argv: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT. 0: asked to stop; 1: could not start, said why; 2: wrong command line."""
    try:
        options = parse_options(argv)
    except SystemExit as error:
        return int(error.code or 0)
    log_to_stderr(options.log_level)
    if options.user is not None:
        try:
            drop_root(options.user, options.docker_host if options.docker else "", options.store)
        except CannotDrop as error:
            log.error("cannot start: %s", error)
            return 1
    refused = (StoreUnusable, StoreError, BadSeed, BadMeshConfig, CannotListen, PortTaken)
    return run_until_stopped(lambda stop: ControlPlane(options).run(stop), refused, log)
