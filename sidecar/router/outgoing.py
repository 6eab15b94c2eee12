"""A request's way from its route to an upstream host: the route's changes, the host, head and body.

Nothing here waits: a connection that is not there yet calls back. Source of behaviour: Envoy's router filter.
"""

from __future__ import annotations

from random import random
from time import monotonic_ns
from typing import TYPE_CHECKING

from sidecar.codec.encode import encode_chunk, encode_last_chunk, encode_request, number
from sidecar.filters.base import LocalReply
from sidecar.router.header_mutation import apply_mutations
from sidecar.router.mirror import mirror_request
from sidecar.router.redirect import location
from sidecar.router.rewrite import rewrite_host, rewrite_request
from sidecar.router.shadow import mirrors_for
from sidecar.router.state import RoutedState
from sidecar.telemetry import response_flags as flag
from sidecar.timers import NS_PER_MS
from sidecar.upstream.connection import UpstreamConnection

if TYPE_CHECKING:
    from sidecar.config.routes import Route
    from sidecar.upstream.cluster import ClusterRuntime
    from sidecar.upstream.pool import HostPool

#: Without a body these get no `content-length: 0` (RFC 9110 8.6).
_BODILESS = frozenset((b"GET", b"HEAD", b"DELETE", b"TRACE"))


class _Decimals(dict[float, bytes]):
    """The timeouts of routes as header values."""

    def __missing__(self, number: float) -> bytes:
        text = self[number] = b"%d" % number
        return text


_DECIMALS = _Decimals()


class OutgoingRequest(RoutedState):
    """The way up. `forward` begins it, `attempt` is made once more for each retry."""

    __slots__ = ()

    def forward(self) -> None:
        """Route the request, whose head and perhaps body is there. Filters have agreed."""
        route = self.route
        info = self.info
        if route is None:
            self.reply(LocalReply(404, b"", "route_not_found", flag.NO_ROUTE_FOUND))
            return
        action = route.action
        if action is None:
            self._answer_route(route)
            return
        cluster = self.clusters.active.get(action.cluster)
        if cluster is None:
            self.reply(LocalReply(action.cluster_not_found_status, b"", "cluster_not_found", flag.NO_CLUSTER_FOUND))
            return
        self.action = action
        self.cluster = cluster
        info.upstream_cluster = action.cluster
        info.cluster = cluster.config
        if cluster.drops and cluster.drop():
            self._drop(cluster)
            return
        request = self.request
        timeout_ms = action.timeout_ms
        retry = self.retry_policy = action.retry
        self.per_try_timeout_ms = None if retry is None else retry.per_try_timeout_ms
        self.timeout_ms = timeout_ms
        if timeout_ms or self.per_try_timeout_ms:
            self._apply_timeouts()
        if route.request_headers:
            apply_mutations(request, route.request_headers, info)
        if action.path_rewrite is not None or action.host_rewrite is not None:
            rewrite_request(request, action, not self.suppress_envoy_headers)
        if self.chunked:
            request[b"transfer-encoding"] = b"chunked"
        elif self.request_complete and request.method not in _BODILESS and b"content-length" not in request:
            request[b"content-length"] = b"0"
        self.attempt()
        if action.mirrors and self.request_complete:
            self._mirror()

    def _answer_route(self, route: Route) -> None:
        """Redirects and direct responses."""
        if route.redirect is not None:
            where = location(self.request, route.redirect)
            self.reply(LocalReply(route.redirect.status, b"", "direct_response", 0, ((b"location", where),)))
            return
        direct = route.direct_response
        assert direct is not None
        headers: tuple[tuple[bytes, bytes], ...] = ()
        if direct.status == 201 or 300 <= direct.status < 400:
            headers = ((b"location", location(self.request, None)),)
        self.reply(LocalReply(direct.status, direct.body, "direct_response", 0, headers))

    def _apply_timeouts(self) -> None:
        """Start the request's timeout and tell the upstream how long it has (Envoy's expected timeout)."""
        timeout_ms, per_try_ms = self.timeout_ms, self.per_try_timeout_ms
        if timeout_ms and per_try_ms and per_try_ms >= timeout_ms:
            self.per_try_timeout_ms = per_try_ms = None
        if not self.suppress_envoy_headers:
            self.request[b"x-envoy-expected-rq-timeout-ms"] = _DECIMALS[per_try_ms or timeout_ms or 0]
        if timeout_ms and self.request_complete:
            self.timers.request.set(self.info.start_ns + int(timeout_ms * NS_PER_MS))

    def attempt(self) -> None:
        """Pick a host and send the request to it, now or when it has a connection."""
        info = self.info
        info.attempt_count += 1
        route = self.route
        if route.include_request_attempt_count:  # type: ignore[union-attr]
            self.request[b"x-envoy-attempt-count"] = number(info.attempt_count)
        host = self.cluster.pick(self)
        if host is None:
            self.cluster.stats.cx_none_healthy.value += 1
            self._no_host()
            return
        self.host = host
        info.upstream_host = host.address
        info.endpoint = host.endpoint
        if self.span is not None:
            self.span.attempt()
        pool: HostPool = host.pool
        connection = pool.take(self)  # type: ignore[arg-type]  # what is missing, RoutedStream has
        if connection is not None:
            self.on_upstream_ready(connection)
        elif not self.finished and self._backoff is None and self.upstream is None:
            self._waiting = pool

    def _drop(self, cluster: ClusterRuntime) -> None:
        """The control plane asked to shed a share of the load (Envoy: drop_overloads of the endpoints' policy)."""
        for code in cluster.stats.codes[503]:
            code.value += 1
        body, details, flags = b"drop overload", "drop_overload", flag.DROP_OVERLOAD
        if max(cluster.drops) >= 1.0:
            body, details = b"unconditional drop overload", "unconditional_drop_overload"
            flags = flag.UNCONDITIONAL_DROP_OVERLOAD
        headers = () if self.suppress_envoy_headers else ((b"x-envoy-" + body.replace(b" ", b"-"), b"true"),)
        self.reply(LocalReply(503, body, details, flags, headers))

    def _no_host(self) -> None:
        codes = self.cluster.stats.codes[503]
        codes[0].value += 1
        codes[1].value += 1
        self.reply(LocalReply(503, b"no healthy upstream", "no_healthy_upstream", flag.NO_HEALTHY_UPSTREAM))

    def on_upstream_ready(self, connection: UpstreamConnection) -> None:
        """Write what is there of the request."""
        self._waiting = None
        request = self.request
        action = self.action
        self.info.upstream_local_address = connection.local_address
        if self.span is not None:
            self.span.connected()
        connection.head_only = request.method == b"HEAD"
        if action.host_rewrite is not None and action.host_rewrite.kind == "auto":
            hostname = self.host.endpoint.hostname.encode()
            rewrite_host(request, action.host_rewrite, action.append_x_forwarded_host, hostname)
        if self.per_try_timeout_ms and self.request_complete:
            self.timers.attempt.set(monotonic_ns() + int(self.per_try_timeout_ms * NS_PER_MS))
        if self.request_complete and not self._body:
            connection.transport.write(
                encode_request(request) if not self.chunked else encode_request(request) + self._last_chunk()
            )
            self.upstream_sent = True
            return
        self.upstream_sent = False
        self._body_sent = 0
        self.hold_request(False)
        if self._body and not self.chunked:
            connection.transport.write(encode_request(request) + self._body[0])
            self._body_sent = 1
        else:
            connection.transport.write(encode_request(request))
        self._write_body()

    def _write_body(self) -> None:
        """Send what the present attempt has not sent, and keep it where another attempt or a mirror may want it."""
        connection = self.upstream
        assert connection is not None
        write = connection.transport.write
        body = self._body
        for index in range(self._body_sent, len(body)):
            write(encode_chunk(body[index]) if self.chunked else body[index])
        if self.request_complete:
            if self.chunked:
                write(self._last_chunk())
            self.upstream_sent = True
        wanted = self.retry_policy is not None or self.action.mirrors
        if wanted and self.replayable and self._body_bytes <= self._buffer_limit():
            self._body_sent = len(body)
        elif body:
            body.clear()
            self._body_sent = 0
            self.replayable = False

    def _last_chunk(self) -> bytes:
        return encode_last_chunk(self.request_trailers)

    def request_data(self, piece: bytes) -> None:
        """A piece of the body arrived; before `forward` it is only kept."""
        self.info.bytes_received += len(piece)
        self._body.append(piece)
        self._body_bytes += len(piece)

    def request_progress(self) -> None:
        """After `forward`: body pieces, or the end, came in."""
        if self.finished:
            self._body.clear()
            return
        if self.request_complete and not self.complete_ns:
            self._request_completed()
        if self.upstream is not None:
            if not self.upstream_sent:
                self._write_body()
        elif self._body_bytes > self._buffer_limit():
            self.hold_request(True)  # nobody to send it to yet

    def _buffer_limit(self) -> int:
        """Bytes of a request's body that may be held (Envoy: per_connection_buffer_limit_bytes)."""
        return self.cluster.config.buffer_limit_bytes or 1024 * 1024

    def _request_completed(self) -> None:
        self.complete_ns = monotonic_ns()
        if self.timeout_ms:
            self.timers.request.set(self.complete_ns + int(self.timeout_ms * NS_PER_MS))
        if self.action.mirrors:
            self._mirror()

    def _mirror(self) -> None:
        if self.replayable:
            for policy in mirrors_for(self.action.mirrors, random):
                mirror_request(self, policy, self._body)
