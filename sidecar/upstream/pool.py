"""The connections to one upstream host: idle ones on a stack (the warmest first), and requests that wait for one."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import TYPE_CHECKING

from sidecar.timers import NS_PER_MS
from sidecar.upstream.connection import (
    CONNECT_FAILURE,
    CONNECT_TIMEOUT,
    OVERFLOW,
    PROTOCOL_ERROR,
    UpstreamConnection,
    UpstreamHandler,
)
from sidecar.upstream.tls import tls_error

if TYPE_CHECKING:
    from sidecar.upstream.cluster import ClusterRuntime
    from sidecar.upstream.host import Host

#: An idle connection is closed after its idle timeout, at most one part in so many late.
_IDLE_PASSES = 8


class HostPool:
    """HTTP/1.1 connections of one host. A connection carries one request at a time (no pipelining upstream)."""

    __slots__ = (
        "_idle_deadline",
        "_tasks",
        "_unlimited",
        "cluster",
        "connecting",
        "connections",
        "draining",
        "host",
        "idle",
        "pending",
    )

    def __init__(self, cluster: ClusterRuntime, host: Host) -> None:
        self.cluster = cluster
        self.host = host
        self.idle: list[UpstreamConnection] = []
        self.pending: deque[UpstreamHandler] = deque()
        self.connections: set[UpstreamConnection] = set()
        self.connecting = 0
        self.draining = False
        options = cluster.config.http
        self._unlimited = options.max_requests_per_connection is None and options.max_connection_duration_ms is None
        self._idle_deadline = cluster.wheel.deadline(self._close_idle)
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, handler: UpstreamHandler) -> UpstreamConnection | None:
        """A connection to write the request on now, or None: `on_upstream_ready` or `on_upstream_reset` follows.

        Circuit breakers that refuse the request reset it with OVERFLOW before this returns.
        """
        idle = self.idle
        cluster = self.cluster
        stats = cluster.stats
        active = stats.rq_active
        if not idle:
            self._enqueue(handler)
            return None
        if active.value >= cluster.limits.max_requests:
            stats.rq_pending_overflow.value += 1
            handler.on_upstream_reset(OVERFLOW, "", False)
            return None
        connection = idle.pop()
        connection.stream = handler
        connection.heard = False
        connection.requests += 1
        handler.upstream = connection
        host = self.host
        host.active_requests += 1
        host.requests_total += 1
        stats.rq_total.value += 1
        active.value += 1
        return connection

    def _enqueue(self, handler: UpstreamHandler) -> None:
        stats = self.cluster.stats
        limits = self.cluster.limits
        if self.cluster.config.http.http2:
            stats.protocol_error.value += 1
            handler.on_upstream_reset(PROTOCOL_ERROR, "HTTP/2 is not spoken by this proxy", False)
            return
        if stats.rq_pending_active.value >= limits.max_pending_requests:
            stats.rq_pending_overflow.value += 1
            handler.on_upstream_reset(OVERFLOW, "", False)
            return
        # A connection for each waiting request; where the limit forbids one, a busy connection will come free.
        if self.connecting <= len(self.pending):
            if stats.cx_active.value < limits.max_connections or not (self.connections or self.connecting):
                if stats.cx_active.value >= limits.max_connections:
                    stats.cx_overflow.value += 1
                self._connect()
            else:
                stats.cx_overflow.value += 1
        stats.rq_pending_total.value += 1
        stats.rq_pending_active.value += 1
        self.pending.append(handler)

    def cancel(self, handler: UpstreamHandler) -> None:
        """A request that waits is given up."""
        try:
            self.pending.remove(handler)
        except ValueError:
            return
        self.cluster.stats.rq_pending_active.value -= 1
        self.cluster.stats.rq_cancelled.value += 1

    def done(self, connection: UpstreamConnection, reusable: bool) -> None:
        """The request on the connection has ended; the connection serves the next one, waits or is closed."""
        self.host.active_requests -= 1
        stats = self.cluster.stats
        stats.rq_active.value -= 1
        if not reusable or not connection.keep_alive or connection.drained or self.draining or connection.dead:
            connection.close()
            return
        if self._unlimited and connection.between and not self.pending:
            # The usual case of what follows.
            connection.idle_passes = 0
            self.idle.append(connection)
            if not self._idle_deadline.at_ns:
                self._watch_idle()
            return
        options = self.cluster.config.http
        limit = options.max_requests_per_connection
        if limit is not None and connection.requests >= limit:
            stats.cx_max_requests.value += 1
            connection.close()
            return
        connection.fresh_parser()
        if options.max_connection_duration_ms is not None and self._too_old(connection):
            connection.close()
            return
        self._offer(connection)

    def _offer(self, connection: UpstreamConnection) -> None:
        if self.pending:
            handler = self.pending.popleft()
            self.cluster.stats.rq_pending_active.value -= 1
            self.idle.append(connection)
            if self.take(handler) is not None:
                handler.on_upstream_ready(connection)
            return
        connection.idle_passes = 0
        self.idle.append(connection)
        if not self._idle_deadline.at_ns:
            self._watch_idle()

    def _too_old(self, connection: UpstreamConnection) -> bool:
        limit_ms = self.cluster.config.http.max_connection_duration_ms or 0.0
        return self.cluster.wheel.now_ns() - connection.opened_ns > limit_ms * NS_PER_MS

    def _watch_idle(self) -> None:
        timeout_ms = self.cluster.config.http.idle_timeout_ms
        if timeout_ms is not None:
            self._idle_deadline.after(timeout_ms / _IDLE_PASSES)

    def _close_idle(self) -> None:
        """Idle time is counted in passes, so that nobody asks for the time when a connection becomes idle."""
        for connection in list(self.idle):
            connection.idle_passes += 1
            if connection.idle_passes > _IDLE_PASSES:
                self.cluster.stats.cx_idle_timeout.value += 1
                connection.close()
        if self.idle:
            self._watch_idle()

    def detach(self, connection: UpstreamConnection) -> None:
        """The connection became a tunnel: it is not ours any more."""
        self.host.active_requests -= 1
        self.cluster.stats.rq_active.value -= 1
        connection.dead = True
        self.closed(connection)

    def closed(self, connection: UpstreamConnection) -> None:
        """The connection is gone; called once for each."""
        if connection not in self.connections:
            return
        self.connections.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)
        self.host.active_connections -= 1
        stats = self.cluster.stats
        stats.cx_active.value -= 1
        stats.cx_destroy.value += 1
        if self.pending and not self.connecting:
            self._connect()

    def drain(self) -> None:
        """The host is leaving: nothing new, idle connections close, busy ones after their request."""
        self.draining = True
        for connection in list(self.idle):
            connection.close()

    @property
    def unused(self) -> bool:
        """Nothing is open, and nothing waits."""
        return not self.connections and not self.pending and not self.connecting

    def _connect(self) -> None:
        self.connecting += 1
        self.host.active_connections += 1
        self.host.connections_total += 1
        stats = self.cluster.stats
        stats.cx_total.value += 1
        stats.cx_http1_total.value += 1
        stats.cx_active.value += 1
        task = self.cluster.loop.create_task(self._open())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self) -> None:
        connection = UpstreamConnection(self)
        try:
            await self.cluster.open(self.host, lambda: connection)
        except TimeoutError:
            self.cluster.stats.cx_connect_timeout.value += 1
            self._connect_failed(CONNECT_TIMEOUT, "")
        except ssl.SSLError as error:
            self._connect_failed(CONNECT_FAILURE, tls_error(error))
        except OSError as error:
            self._connect_failed(CONNECT_FAILURE, _connect_error(error))
        except Exception as error:  # a bug of ours: told by the loop, but nobody is to wait for it
            self._connect_failed(CONNECT_FAILURE, type(error).__name__)
            raise
        else:
            self.connecting -= 1
            self.connections.add(connection)
            connection.opened_ns = self.cluster.wheel.now_ns()
            if connection.transport.is_closing() or (self.draining and not self.pending):
                connection.close()
            else:
                self._offer(connection)

    def _connect_failed(self, reason: int, detail: str) -> None:
        self.connecting -= 1
        host, stats = self.host, self.cluster.stats
        host.active_connections -= 1
        host.connect_failures += 1
        stats.cx_active.value -= 1
        stats.cx_connect_fail.value += 1
        stats.cx_destroy.value += 1
        waiting, self.pending = self.pending, deque()
        for handler in waiting:
            stats.rq_pending_active.value -= 1
            stats.rq_pending_failure_eject.value += 1
            handler.on_upstream_reset(reason, detail, False)


def _connect_error(error: OSError) -> str:
    """Envoy's %UPSTREAM_TRANSPORT_FAILURE_REASON% of a TCP connect that failed."""
    return "delayed_connect_error:_Connection_refused" if isinstance(error, ConnectionRefusedError) else str(error)
