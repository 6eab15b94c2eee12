"""Mirrored requests: sent beside the real one, answered to nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.codec.encode import encode_request
from sidecar.codec.headers import Headers, RequestHeaders, ResponseHeaders
from sidecar.config.routes import MirrorPolicy
from sidecar.router.shadow import shadow_request
from sidecar.upstream.connection import UpstreamConnection

if TYPE_CHECKING:
    from sidecar.router.state import RoutedState
    from sidecar.upstream.cluster import ClusterRuntime
    from sidecar.upstream.pool import HostPool

#: A mirror that does not answer is given up after so long where the route has no timeout.
_DEFAULT_TIMEOUT_MS = 15_000.0


def mirror_request(stream: RoutedState, policy: MirrorPolicy, body: list[bytes]) -> None:
    """Send a copy of the whole request to the policy's cluster; a cluster that is not there is passed over."""
    cluster = stream.clusters.active.get(policy.cluster)
    if cluster is None:
        return
    local_ip = stream.info.downstream_local_address.rpartition(":")[0].encode()
    Mirror(cluster, shadow_request(stream.request, policy, local_ip), b"".join(body)).start(
        stream.action.timeout_ms or _DEFAULT_TIMEOUT_MS
    )


class Mirror:
    """One mirrored request, an UpstreamHandler that counts and forgets."""

    __slots__ = (
        "_body",
        "_deadline",
        "_pool",
        "cluster",
        "request",
        "upstream",
        "upstream_sent",
    )

    def __init__(self, cluster: ClusterRuntime, request: RequestHeaders, body: bytes) -> None:
        self.cluster = cluster
        self.request = request
        self._body = body
        self.upstream: UpstreamConnection | None = None
        self.upstream_sent = True
        self._pool: HostPool | None = None
        self._deadline = cluster.wheel.deadline(self._give_up)
        if b"transfer-encoding" in request:
            request.remove(b"transfer-encoding")
            request[b"content-length"] = b"%d" % len(body)

    def start(self, timeout_ms: float) -> None:
        host = self.cluster.pick_any()
        if host is None:
            return
        self._deadline.after(timeout_ms)
        pool: HostPool = host.pool
        self._pool = pool
        connection = pool.take(self)
        if connection is not None:
            self.on_upstream_ready(connection)

    def on_upstream_ready(self, connection: UpstreamConnection) -> None:
        connection.head_only = self.request.method == b"HEAD"
        connection.transport.write(encode_request(self.request) + self._body)

    def on_upstream_informational(self, headers: ResponseHeaders) -> None:
        pass

    def on_upstream_response(
        self, headers: ResponseHeaders, body: bytes, end: bool, trailers: Headers | None
    ) -> None:
        stats = self.cluster.stats
        stats.rq_completed.value += 1
        code, code_class = stats.codes[headers.status]
        code.value += 1
        code_class.value += 1
        if end:
            self._deadline.drop()

    def on_upstream_data(self, body: bytes, end: bool, trailers: Headers | None) -> None:
        if end:
            self._deadline.drop()

    def on_upstream_upgrade(self, headers: ResponseHeaders, connection: UpstreamConnection, rest: bytes) -> None:
        self._deadline.drop()
        connection.transport.close()

    def on_upstream_reset(self, reason: int, detail: str, reused: bool) -> None:
        self._deadline.drop()

    def on_upstream_pressure(self, blocked: bool) -> None:
        pass

    def _give_up(self) -> None:
        connection = self.upstream
        if connection is not None:
            self.upstream = None
            self.cluster.stats.rq_timeout.value += 1
            connection.abandon()
        elif self._pool is not None:
            self._pool.cancel(self)
