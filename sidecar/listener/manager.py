"""All listeners of the proxy: takes LDS updates, waits for routes, binds sockets, drains what goes.

A listener whose addresses stay keeps its sockets: only the filter chains behind them are swapped. A listener that can
not be bound is an error text (the NACK), and what was there before goes on.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from sidecar.config.listeners import AccessLog, FilterChain, Listener
from sidecar.http.connection_manager import HttpManager, Log
from sidecar.http.route_tables import RouteSlot, RouteTables
from sidecar.http.tracers import Tracers
from sidecar.listener.dispatcher import ChainManager, Dispatcher, make_connection
from sidecar.listener.filter_chain_match import needs
from sidecar.network.tcp_proxy import TcpProxyManager
from sidecar.router.match import RouteTable
from sidecar.telemetry.access_log import AccessLogWriters
from sidecar.telemetry.stats import Stats
from sidecar.telemetry.stream_info import StreamInfo
from sidecar.telemetry.tracing import LocalNode
from sidecar.upstream.cluster_manager import ClusterManager

Recorder = Callable[[list[StreamInfo]], None]
TcpRecorder = Callable[[StreamInfo], None]

#: How long connections of a replaced or removed filter chain may go on (Envoy: drain_time, there 600 s).
DRAIN_TIMEOUT_MS = 30_000.0
DEFAULT_MAX_CONNECTIONS = 50_000
ANY_ADDRESS = "0.0.0.0"  # noqa: S104  compared, not bound


class RuntimeListener:
    """One listener: its filter chains, made ready, and its sockets once it is bound."""

    __slots__ = (
        "chains",
        "config",
        "cx_total",
        "managers",
        "needs",
        "no_match",
        "only",
        "servers",
        "sockets",
    )

    def __init__(self, owner: ListenerManager, config: Listener, stats: Stats) -> None:
        self.config = config
        self.sockets: list[socket.socket] = []
        self.servers: list[asyncio.Server] = []
        self.chains: Sequence[FilterChain] = config.filter_chains
        self.managers: dict[FilterChain, ChainManager] = {}
        every = [*config.filter_chains, *([config.default_filter_chain] if config.default_filter_chain else [])]
        for chain in every:
            self.managers[chain] = owner.build_chain(config, chain)
        wanted = needs(every)
        kinds = {one.kind for one in config.listener_filters}
        self.needs = wanted if "tls_inspector" in kinds or "http_inspector" in kinds else frozenset()
        plain = len(every) == 1 and not wanted and not config.use_original_dst and "original_dst" not in kinds
        match = every[0].match if plain else None
        unconditional = match is not None and not (
            match.destination_port is not None
            or match.destination_networks
            or match.direct_source_networks
            or match.source_networks
            or match.source_ports
            or match.source_type != "any"
        )
        #: The manager of every connection, where no chain needs to be chosen.
        self.only: ChainManager | None = self.managers[every[0]] if unconditional else None
        prefix = f"listener.{config.stat_prefix or _stat_address(config)}."
        self.cx_total = stats.counter(prefix + "downstream_cx_total")
        self.no_match = stats.counter(prefix + "no_filter_chain_match")

    def drain(self, now: bool) -> None:
        """Let connections end."""
        for manager in self.managers.values():
            manager.drain(now)

    def close(self) -> None:
        """Cut what is left."""
        for manager in self.managers.values():
            manager.close()


class Acceptor:
    """The protocol factory of one bound listener; `target` is swapped by updates."""

    __slots__ = ("_owner", "target")

    def __init__(self, owner: ListenerManager, target: RuntimeListener) -> None:
        self._owner = owner
        self.target = target

    def __call__(self) -> asyncio.Protocol:
        target = self.target
        target.cx_total.value += 1
        if self._owner.is_full():
            return _Refusal()
        only = target.only
        if only is None:
            return Dispatcher(self._owner, target)
        return make_connection(only)


class _Refusal(asyncio.Protocol):
    """Closes at once: the proxy has all the connections it takes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class ListenerManager:
    """See the module. `recorders` are told of HTTP requests that ended, `tcp_recorders` of TCP connections."""

    def __init__(
        self,
        stats: Stats,
        clusters: ClusterManager,
        routes: RouteTables,
        logs: AccessLogWriters,
        recorders: Sequence[Recorder] = (),
        tcp_recorders: Sequence[TcpRecorder] = (),
        max_connections: int = DEFAULT_MAX_CONNECTIONS,
        tracers: Tracers | None = None,
    ) -> None:
        self._stats = stats
        self._tracers = tracers or Tracers(clusters, stats, LocalNode())
        self._loop = clusters.loop
        self.clusters = clusters
        self._routes = routes
        self._logs = logs
        self._recorders = tuple(recorders)
        self._tcp_recorders = tuple(tcp_recorders)
        self._max_connections = max_connections
        self._acceptors: dict[str, Acceptor] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._retired: set[RuntimeListener] = set()
        self.active: dict[str, RuntimeListener] = {}
        #: For `by_destination`; made when it is first asked after a change.
        self._by_destination: dict[tuple[str, int], RuntimeListener] | None = None
        self.warming: dict[str, RuntimeListener] = {}
        self._added = stats.counter("listener_manager.listener_added")
        self._modified = stats.counter("listener_manager.listener_modified")
        self._removed = stats.counter("listener_manager.listener_removed")
        self._success = stats.counter("listener_manager.listener_create_success")
        self._failure = stats.counter("listener_manager.listener_create_failure")
        self._active_gauge = stats.gauge("listener_manager.total_listeners_active")
        self._warming_gauge = stats.gauge("listener_manager.total_listeners_warming")

    # ---- updates

    def update(
        self, updated: Mapping[str, Listener], removed: set[str] | frozenset[str] = frozenset()
    ) -> dict[str, str]:
        """Add or change listeners, drop others. Answers name → why, for those that could not be."""
        errors: dict[str, str] = {}
        for name in removed:
            self._remove(name)
        for name, config in updated.items():
            try:
                self._set(name, config)
                self._success.value += 1
            except (OSError, ValueError) as error:
                self._failure.value += 1
                errors[name] = f"listener {name}: {_bind_error(config, error)}"
        self._count()
        return errors

    def _set(self, name: str, config: Listener) -> None:
        current = self.active.get(name)
        (self._added if current is None and name not in self.warming else self._modified).value += 1
        runtime = RuntimeListener(self, config, self._stats)
        if config.bind:
            if current is not None and current.config.bind and current.config.addresses == config.addresses:
                runtime.sockets = current.sockets
            else:
                waiting = self.warming.get(name)
                if waiting is not None and waiting.config.addresses == config.addresses and waiting.config.bind:
                    runtime.sockets, waiting.sockets = waiting.sockets, []
                else:
                    runtime.sockets = _bind(config)
        self._drop_warming(name)
        self.warming[name] = runtime
        self._activate_when_ready(name, runtime)

    def _activate_when_ready(self, name: str, runtime: RuntimeListener) -> None:
        for rds_name in runtime.config.rds_names:
            slot = self._routes.slot(rds_name)
            # Routes that were let go since are those of then: what is in force now comes with the new subscription.
            if slot.table is None or slot.removed:
                slot.waiting.append(lambda: self._activate_when_ready(name, runtime))
                return
        if self.warming.get(name) is runtime:
            self._activate(name, runtime)

    def _activate(self, name: str, runtime: RuntimeListener) -> None:
        del self.warming[name]
        old = self.active.get(name)
        self.active[name] = runtime
        acceptor = self._acceptors.get(name)
        if old is not None and acceptor is not None and old.sockets is runtime.sockets:
            runtime.servers = old.servers
            acceptor.target = runtime
            self._retire(old, keep_sockets=True)
        else:
            if old is not None:
                self._retire(old, keep_sockets=False)
            acceptor = self._acceptors[name] = Acceptor(self, runtime)
            for one in runtime.sockets:
                one.listen(runtime.config.backlog)
                self._spawn(self._serve(runtime, acceptor, one))
        self._count()

    async def _serve(self, runtime: RuntimeListener, acceptor: Acceptor, one: socket.socket) -> None:
        if one.fileno() < 0:
            return  # removed before it could start
        server = await self._loop.create_server(acceptor, sock=one, backlog=runtime.config.backlog)
        if acceptor.target in self._retired:
            server.close()
        acceptor.target.servers.append(server)

    def _remove(self, name: str) -> None:
        self._drop_warming(name)
        old = self.active.pop(name, None)
        self._acceptors.pop(name, None)
        if old is not None:
            self._removed.value += 1
            self._retire(old, keep_sockets=False)

    def _drop_warming(self, name: str) -> None:
        waiting = self.warming.pop(name, None)
        current = self.active.get(name)
        if waiting is not None and (current is None or waiting.sockets is not current.sockets):
            for one in waiting.sockets:
                one.close()

    def _retire(self, old: RuntimeListener, keep_sockets: bool) -> None:
        if not keep_sockets:
            self._stop_accepting(old)
        old.drain(now=False)
        self._retired.add(old)

        def end() -> None:
            self._retired.discard(old)
            old.close()

        self.clusters.wheel.call_after(DRAIN_TIMEOUT_MS, end)

    def _stop_accepting(self, listener: RuntimeListener) -> None:
        for server in listener.servers:
            server.close()
        for one in listener.sockets:
            one.close()

    # ---- ends

    def drain(self, inbound_only: bool = False) -> None:
        """Stop accepting; connections end after their present request, idle ones now.

        `inbound_only` leaves what the app sends alone: it may need others to finish its own work.
        """
        for listener in self.active.values():
            if inbound_only and not listener.config.inbound:
                continue
            self._retired.add(listener)
            self._stop_accepting(listener)
            listener.drain(now=True)
        for name, listener in list(self.warming.items()):
            if listener.config.inbound or not inbound_only:
                self._drop_warming(name)

    @property
    def open_connections(self) -> int:
        """Downstream connections of all listeners, draining ones too."""
        listeners = {*self.active.values(), *self._retired}
        return sum(len(manager.connections) for listener in listeners for manager in listener.managers.values())

    def flush(self) -> None:
        """Count and log what has ended; before the logs are closed, or where counters must be exact."""
        for listener in {*self.active.values(), *self._retired}:
            for manager in listener.managers.values():
                if isinstance(manager, HttpManager):
                    manager.flush()

    def close(self) -> None:
        """Cut every connection."""
        for listener in {*self.active.values(), *self._retired}:
            listener.close()
        self.flush()

    async def settled(self) -> None:
        """Wait until every bound socket accepts."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    # ---- for acceptors and dispatchers

    def is_full(self) -> bool:
        """Whether another connection would be too many."""
        return self.open_connections >= self._max_connections

    def by_destination(self, destination: tuple[str, int]) -> RuntimeListener | None:
        """The listener without use_original_dst that stands for this address: exact first, then by port alone."""
        known = self._by_destination
        if known is None:
            known = self._by_destination = _by_destination(self.active.values())
        found = known.get(destination)
        return found if found is not None else known.get((ANY_ADDRESS, destination[1]))

    def build_chain(self, listener: Listener, chain: FilterChain) -> ChainManager:
        """The connection manager or TCP proxy of a chain, with its access logs."""
        if chain.http is not None:
            http = chain.http
            slot = RouteSlot(RouteTable(http.route_config)) if http.route_config else self._routes.slot(http.rds_name)
            logs = [self._log(one) for one in http.access_logs]
            tracer = self._tracers.tracer(http)
            return HttpManager(http, slot, self.clusters, self._stats, self._recorders, logs, tracer)
        if chain.tcp is None:
            raise ValueError(f"filter chain {chain.name or '(unnamed)'} has neither HTTP manager nor TCP proxy")
        logs = [self._log(one) for one in chain.tcp.access_logs]
        return TcpProxyManager(chain.tcp, self.clusters, self._stats, self._tcp_recorders, logs)

    def _log(self, log: AccessLog) -> Log:
        write = self._logs.open(log.path).write
        line = log.render
        keep = log.keep
        if keep is None:
            return lambda infos: write("".join(map(line, infos)))
        return lambda infos: write("".join(map(line, filter(keep, infos))))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _count(self) -> None:
        self._by_destination = None
        self._active_gauge.value = len(self.active)
        self._warming_gauge.value = len(self.warming)


def _by_destination(listeners: Iterable[RuntimeListener]) -> dict[tuple[str, int], RuntimeListener]:
    """Listeners that stand for an address, by it; those of every address under ANY_ADDRESS."""
    found: dict[tuple[str, int], RuntimeListener] = {}
    for listener in listeners:
        if not listener.config.use_original_dst:
            for ip, port in listener.config.addresses:
                found[ANY_ADDRESS if ip == "::" else ip, port] = listener
    return found


def _bind(config: Listener) -> list[socket.socket]:
    """Bound sockets, not listening yet. Raises OSError with none left open."""
    bound: list[socket.socket] = []
    try:
        for ip, port in config.addresses:
            one = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM)
            bound.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if config.reuse_port:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.setblocking(False)
            one.bind((ip, port))
    except OSError:
        for one in bound:
            one.close()
        raise
    return bound


def _bind_error(config: Listener, error: Exception) -> str:
    if isinstance(error, OSError):
        addresses = ", ".join(f"{ip}:{port}" for ip, port in config.addresses)
        return f"cannot bind {addresses}: {error.strerror or error}"
    return str(error)


def _stat_address(config: Listener) -> str:
    if not config.addresses:
        return config.name
    ip, port = config.addresses[0]
    return f"{ip}_{port}"
