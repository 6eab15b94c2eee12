"""envoy.filters.network.tcp_proxy: one upstream connection for each downstream one, bytes relayed both ways."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from random import random
from time import monotonic_ns, time

import xxhash

from sidecar.config.listeners import TcpProxy
from sidecar.telemetry import response_flags as flag
from sidecar.telemetry.stats import Stats
from sidecar.telemetry.stream_info import StreamInfo
from sidecar.timers import NS_PER_MS
from sidecar.upstream.cluster import ClusterRuntime
from sidecar.upstream.cluster_manager import ClusterManager
from sidecar.upstream.host import Host
from sidecar.upstream.relay import RelaySide
from sidecar.upstream.socket_name import socket_name

Recorder = Callable[[StreamInfo], None]
Log = Callable[[list[StreamInfo]], None]


class TcpProxyManager:
    """What the connections of one filter chain share."""

    __slots__ = ("_logs", "_recorders", "clusters", "config", "connections", "cx_active", "cx_total", "no_route")

    def __init__(
        self,
        config: TcpProxy,
        clusters: ClusterManager,
        stats: Stats,
        recorders: Sequence[Recorder] = (),
        logs: Sequence[Log] = (),
    ) -> None:
        self.config = config
        self.clusters = clusters
        self.connections: set[TcpConnection] = set()
        self._recorders = tuple(recorders)
        self._logs = tuple(logs)
        self.cx_total = stats.counter(f"tcp.{config.stat_prefix}.downstream_cx_total")
        self.no_route = stats.counter(f"tcp.{config.stat_prefix}.downstream_cx_no_route")
        self.cx_active = stats.gauge(f"tcp.{config.stat_prefix}.downstream_cx_active")

    def joined(self, connection: TcpConnection) -> None:
        """The destination is known: count it as opened."""
        for record in self._recorders:
            record(connection.info)

    def ended(self, connection: TcpConnection) -> None:
        """Log one connection."""
        self.connections.discard(connection)
        self.cx_active.value -= 1
        for record in self._recorders:
            record(connection.info)
        for write in self._logs:
            write([connection.info])

    def drain(self, now: bool = False) -> None:
        """Connections have no end of their own to wait for; the drain timeout closes them."""

    def close(self) -> None:
        """Close what is left after draining."""
        for connection in list(self.connections):
            connection.abort()


class TcpConnection(RelaySide):
    """The downstream side; it owns the relay, too."""

    __slots__ = (
        "_cluster",
        "_done",
        "_host",
        "_idle",
        "_manager",
        "_task",
        "_touched_ns",
        "info",
        "original_destination",
        "tried",
    )

    def __init__(self, manager: TcpProxyManager, server_name: str = "") -> None:
        super().__init__(self, True)
        self._manager = manager
        self.info = StreamInfo(time(), monotonic_ns())
        self.info.protocol = ""
        self.info.requested_server_name = server_name
        self.original_destination: tuple[str, int] | None = None
        self.tried: list[Host] | None = None
        self._done = False
        self._cluster: ClusterRuntime | None = None
        self._host: Host | None = None
        self._task: asyncio.Task[None] | None = None
        self._idle = manager.clusters.wheel.deadline(self._on_idle)
        self._touched_ns = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        manager, info = self._manager, self.info
        local = transport.get_extra_info("sockname")
        if self.original_destination is None and isinstance(local, tuple):
            self.original_destination = (local[0], local[1])
        # As in Envoy, the local address of a redirected connection is where it was going.
        info.downstream_local_address = socket_name(self.original_destination or local)
        peer = transport.get_extra_info("peername")
        info.downstream_remote_address = socket_name(peer)
        info.peer_address = peer[0] if isinstance(peer, tuple) else ""
        manager.connections.add(self)
        manager.cx_total.value += 1
        manager.cx_active.value += 1
        name = manager.config.pick(random())
        info.upstream_cluster = name
        cluster = manager.clusters.active.get(name)
        if cluster is None:
            manager.no_route.value += 1
            self._refuse(flag.NO_CLUSTER_FOUND)
            return
        self._cluster = cluster
        info.cluster = cluster.config
        if cluster.stats.cx_active.value >= cluster.limits.max_connections:
            cluster.stats.cx_overflow.value += 1
            self._refuse(flag.UPSTREAM_OVERFLOW)
            return
        self._task = cluster.loop.create_task(self._connect(cluster))

    async def _connect(self, cluster: ClusterRuntime) -> None:
        info = self.info
        for _ in range(max(1, self._manager.config.max_connect_attempts)):
            host = cluster.pick(self)
            if host is None:
                cluster.stats.cx_none_healthy.value += 1
                self._refuse(flag.NO_HEALTHY_UPSTREAM)
                return
            info.upstream_host = host.address
            info.endpoint = host.endpoint
            info.attempt_count += 1
            cluster.stats.cx_total.value += 1
            host.connections_total += 1
            upstream = RelaySide(self, False)
            try:
                await cluster.open(host, lambda: upstream)  # noqa: B023 (awaited in the same turn)
            except (TimeoutError, ssl.SSLError, OSError) as error:
                cluster.stats.cx_connect_fail.value += 1
                host.connect_failures += 1
                info.upstream_transport_failure_reason = str(error).replace(" ", "_")
                if cluster.outlier is not None:
                    cluster.on_reset(host, 0)
                continue
            self._joined(cluster, host, upstream)
            return
        self._refuse(flag.UPSTREAM_CONNECTION_FAILURE | flag.UPSTREAM_RETRY_LIMIT_EXCEEDED)

    def _joined(self, cluster: ClusterRuntime, host: Host, upstream: RelaySide) -> None:
        assert upstream.transport is not None
        self._host = host
        cluster.stats.cx_active.value += 1
        host.active_connections += 1
        self.info.upstream_transport_failure_reason = ""
        self.info.upstream_local_address = socket_name(upstream.transport.get_extra_info("sockname"))
        if self.transport is None:
            upstream.transport.close()
            return
        for transport in (self.transport, upstream.transport):
            transport.set_write_buffer_limits(high=cluster.config.buffer_limit_bytes or 65536)
        self.attach(upstream)
        self._touch()
        self._manager.joined(self)

    # ---- the relay's calls

    def relayed(self, from_downstream: bool, size: int) -> None:
        if from_downstream:
            self.info.bytes_received += size
        else:
            self.info.bytes_sent += size
        if self._touched_ns:
            self._touch()

    def relay_closed(self, by_downstream: bool, error: Exception | None) -> None:
        if self._task is not None and not self._task.done() and by_downstream:
            self._task.cancel()
            self.info.response_flags |= flag.DOWNSTREAM_CONNECTION_TERMINATION
        self._end()

    # ---- picking by the cluster

    def request_hash(self) -> int | None:
        if not self._manager.config.hash_source_ip:
            return None
        address = self.info.downstream_remote_address.rpartition(":")[0].strip("[]")
        return xxhash.xxh64_intdigest(address.encode())

    def host_attempts(self) -> int:
        return 0

    def avoided_priorities(self, known: Sequence[int]) -> frozenset[int]:
        return frozenset()

    def header(self, name: bytes) -> bytes | None:
        return None

    # ---- ends

    def _touch(self) -> None:
        timeout_ms = self._manager.config.idle_timeout_ms
        if timeout_ms:
            self._touched_ns = monotonic_ns()
            self._idle.set(self._touched_ns + int(timeout_ms * NS_PER_MS))

    def _on_idle(self) -> None:
        self.abort()

    def abort(self) -> None:
        """Close both sides."""
        if self.transport is not None:
            self.transport.close()

    def _refuse(self, flags: int) -> None:
        self.info.response_flags |= flags
        self._end()
        if self.transport is not None:
            self.transport.close()

    def _end(self) -> None:
        if self._done:
            return
        self._done = True
        self._idle.drop()
        self.info.end_ns = monotonic_ns()
        if self._host is not None and self._cluster is not None:
            self._host.active_connections -= 1
            self._cluster.stats.cx_active.value -= 1
            self._cluster.stats.cx_destroy.value += 1
        self._manager.ended(self)
