"""Sends reports (batches of spans) to a cluster: over its own connection pool, or by gRPC.

Reports pass no connection manager: they are neither traced, nor logged, nor counted as a request of the mesh.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from sidecar.codec.encode import encode_request
from sidecar.codec.headers import Headers, RequestHeaders, ResponseHeaders
from sidecar.telemetry.span_reporter import Done, Outcome
from sidecar.upstream.connection import UpstreamConnection

if TYPE_CHECKING:
    import grpc.aio

    from sidecar.upstream.cluster import ClusterRuntime
    from sidecar.upstream.cluster_manager import ClusterManager
    from sidecar.upstream.pool import HostPool

log = logging.getLogger(__name__)

_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class HttpSender:
    """POSTs to a path of a cluster's host."""

    def __init__(
        self,
        clusters: ClusterManager,
        cluster: str,
        path: str,
        host: str,
        content_type: bytes,
        headers: tuple[tuple[bytes, bytes], ...],
        timeout_ms: float,
    ) -> None:
        self._clusters = clusters
        self._cluster = cluster
        self._path = path.encode()
        self._host = host.encode()
        self._headers = ((b"content-type", content_type), *headers)
        self._timeout_ms = timeout_ms

    def send(self, body: bytes, done: Done) -> None:
        """Send a report; a cluster that is not there (yet) loses it, as in Envoy."""
        cluster = self._clusters.active.get(self._cluster)
        if cluster is None:
            done("reports_skipped_no_cluster")
            return
        request = RequestHeaders(b"POST", self._path, self._host)
        for name, value in self._headers:
            request.set(name, value)
        request[b"content-length"] = b"%d" % len(body)
        _Post(cluster, encode_request(request) + body, done).start(self._timeout_ms)

    def close(self) -> None:
        """What is under way ends with its cluster."""


class _Post:
    """One report under way, an UpstreamHandler."""

    __slots__ = ("_cluster", "_data", "_deadline", "_done", "_pool", "_status", "upstream", "upstream_sent")

    def __init__(self, cluster: ClusterRuntime, data: bytes, done: Done) -> None:
        self._cluster = cluster
        self._data = data
        self._done: Done | None = done
        self._status = 0
        self.upstream: UpstreamConnection | None = None
        self.upstream_sent = True
        self._pool: HostPool | None = None
        self._deadline = cluster.wheel.deadline(self._give_up)

    def start(self, timeout_ms: float) -> None:
        host = self._cluster.pick_any()
        if host is None:
            self._end("reports_failed")
            return
        self._deadline.after(timeout_ms)
        self._pool = host.pool
        connection = host.pool.take(self)
        if connection is not None:
            self.on_upstream_ready(connection)

    def _end(self, outcome: Outcome) -> None:
        # A report is large: it is let go now, not when the cycle collector comes by.
        self._deadline.drop()
        self._data = b""
        done, self._done = self._done, None
        if done is not None:
            done(outcome)

    def on_upstream_ready(self, connection: UpstreamConnection) -> None:
        connection.head_only = False
        connection.transport.write(self._data)

    def on_upstream_informational(self, headers: ResponseHeaders) -> None:
        pass

    def on_upstream_response(
        self, headers: ResponseHeaders, body: bytes, end: bool, trailers: Headers | None
    ) -> None:
        stats = self._cluster.stats
        stats.rq_completed.value += 1
        for counter in stats.codes[headers.status]:
            counter.value += 1
        self._status = headers.status
        if end:
            self._answered()

    def _answered(self) -> None:
        self._end("reports_sent" if 200 <= self._status < 300 else "reports_dropped")

    def on_upstream_data(self, body: bytes, end: bool, trailers: Headers | None) -> None:
        if end:
            self._answered()

    def on_upstream_upgrade(self, headers: ResponseHeaders, connection: UpstreamConnection, rest: bytes) -> None:
        connection.transport.close()
        self._end("reports_dropped")

    def on_upstream_reset(self, reason: int, detail: str, reused: bool) -> None:
        self._end("reports_failed")

    def on_upstream_pressure(self, blocked: bool) -> None:
        pass

    def _give_up(self) -> None:
        connection = self.upstream
        if connection is not None:
            self.upstream = None
            self._cluster.stats.rq_timeout.value += 1
            connection.abandon()
        elif self._pool is not None:
            self._pool.cancel(self)
        self._end("reports_failed")


class GrpcSender:
    """Calls OTLP's TraceService/Export on a cluster's hosts, one channel for the host that is used."""

    def __init__(
        self,
        clusters: ClusterManager,
        cluster: str,
        authority: str,
        metadata: tuple[tuple[bytes, bytes], ...],
        timeout_ms: float,
    ) -> None:
        self._clusters = clusters
        self._cluster = cluster
        self._authority = authority
        self._metadata = tuple((name.decode(), value.decode("latin-1")) for name, value in metadata)
        self._timeout_s = timeout_ms / 1000
        self._address = ""
        self._channel: grpc.aio.Channel | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, body: bytes, done: Done) -> None:
        """Send a report; a cluster that is not there (yet) loses it, as in Envoy."""
        cluster = self._clusters.active.get(self._cluster)
        if cluster is None:
            done("reports_skipped_no_cluster")
            return
        host = cluster.pick_any()
        if host is None or cluster.config.tls_for(host.endpoint.transport_labels) is not None:
            if host is not None:
                log.warning("%s wants TLS, which spans over gRPC do not speak: they are lost", self._cluster)
            done("reports_failed")
            return
        task = cluster.loop.create_task(self._export(host.address, body, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _export(self, address: str, body: bytes, done: Done) -> None:
        import grpc

        outcome: Outcome = "reports_failed"
        try:
            channel = await self._open(address)
            await channel.unary_unary(_EXPORT)(body, timeout=self._timeout_s, metadata=self._metadata)
            outcome = "reports_sent"
        except grpc.aio.AioRpcError as error:
            if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                outcome = "reports_dropped"
        finally:
            done(outcome)

    async def _open(self, address: str) -> grpc.aio.Channel:
        import grpc

        if self._channel is None or address != self._address:
            old, self._address = self._channel, address
            options = [("grpc.default_authority", self._authority)] if self._authority else []
            options.append(("grpc.enable_http_proxy", 0))  # type: ignore[arg-type]
            self._channel = grpc.aio.insecure_channel(address, options=options)
            if old is not None:
                await old.close(grace=self._timeout_s)
        return self._channel

    def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()
