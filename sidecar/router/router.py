"""The router: takes one request from its route to an upstream host and its response back.

`RoutedStream` is the upstream half of a request; the connection manager's stream builds on it and answers to the calls
at its end (`reply`, `send_response` …). It is one object a request. Nothing here waits: connections, deadlines and the
peer's bytes call back. Source of behaviour: Envoy's router filter.
"""

from __future__ import annotations

import secrets
from random import random
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, Protocol

from sidecar.codec.encode import encode_chunk, encode_last_chunk, encode_request, number
from sidecar.codec.headers import Headers, RequestHeaders, ResponseHeaders
from sidecar.filters.base import LocalReply
from sidecar.router.hash_policy import request_hash
from sidecar.router.header_mutation import apply_mutations
from sidecar.router.mirror import mirror_request
from sidecar.router.redirect import location
from sidecar.router.retries import RESETS, retry_delay_ms, take_client_settings
from sidecar.router.retry import Reset
from sidecar.router.rewrite import rewrite_host, rewrite_request
from sidecar.router.shadow import mirrors_for
from sidecar.telemetry import response_flags as flag
from sidecar.telemetry.stream_info import StreamInfo
from sidecar.timers import NS_PER_MS, Deadline
from sidecar.upstream.connection import (
    CONNECT_FAILURE,
    CONNECT_TIMEOUT,
    OVERFLOW,
    PROTOCOL_ERROR,
    RESET_REASONS,
    UpstreamConnection,
)

if TYPE_CHECKING:
    from sidecar.config.routes import RetryPolicy, Route, RouteAction
    from sidecar.upstream.cluster import ClusterRuntime
    from sidecar.upstream.cluster_manager import ClusterManager
    from sidecar.upstream.host import Host
    from sidecar.upstream.pool import HostPool

#: Without a body these get no `content-length: 0` (RFC 9110 8.6).
_BODILESS = frozenset((b"GET", b"HEAD", b"DELETE", b"TRACE"))
_IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"))
_RESET_FLAGS = (
    flag.UPSTREAM_CONNECTION_FAILURE,
    flag.UPSTREAM_CONNECTION_TERMINATION,
    flag.UPSTREAM_OVERFLOW,
    flag.UPSTREAM_PROTOCOL_ERROR,
    flag.UPSTREAM_CONNECTION_FAILURE,
    flag.LOCAL_RESET,
)
_OVERLOADED = ((b"x-envoy-overloaded", b"true"),)


class StreamTimers(Protocol):
    """The deadlines of one downstream connection, lent to the stream that it is serving."""

    request: Deadline
    attempt: Deadline


class RoutedStream:
    """The upstream half of one request; see the module. `begin_routing` sets what a fresh stream needs."""

    __slots__ = (
        "_backoff",
        "_body",
        "_body_bytes",
        "_body_sent",
        "_hash",
        "_waiting",
        "action",
        "chunked",
        "client_settings",
        "cluster",
        "clusters",
        "complete_ns",
        "filter_state",
        "finished",
        "host",
        "info",
        "original_destination",
        "per_try_timeout_ms",
        "replayable",
        "request",
        "request_complete",
        "request_trailers",
        "response",
        "response_started",
        "retry_policy",
        "route",
        "suppress_envoy_headers",
        "timeout_ms",
        "timers",
        "tried",
        "upgrading",
        "upstream",
        "upstream_sent",
    )

    request: RequestHeaders
    response: ResponseHeaders | None
    info: StreamInfo
    route: Route | None
    action: RouteAction
    cluster: ClusterRuntime
    clusters: ClusterManager
    host: Host
    timers: StreamTimers
    upstream: UpstreamConnection | None
    request_trailers: Headers | None
    original_destination: tuple[str, int] | None
    suppress_envoy_headers: bool
    client_settings: bool  # the request carries x-envoy-… settings of an internal client
    retry_policy: RetryPolicy | None
    per_try_timeout_ms: float | None
    timeout_ms: float | None
    replayable: bool  # all of the request's body so far is still here
    tried: list[Host] | None  # hosts of failed attempts
    chunked: bool  # the request's body came without its length
    complete_ns: int  # when the request was whole, where that was after its head
    filter_state: dict[str, Any] | None
    finished: bool
    request_complete: bool
    response_started: bool
    upgrading: bool
    upstream_sent: bool
    _backoff: Deadline | None
    _body: list[bytes]
    _body_bytes: int
    _body_sent: int  # pieces of `_body` that the present attempt has sent
    _hash: tuple[int | None, tuple[bytes, ...]] | None
    _waiting: HostPool | None

    # ---- what the connection manager's stream answers to

    def reply(self, reply: LocalReply) -> None:
        """Answer downstream ourselves; ends the stream."""
        raise NotImplementedError

    def send_informational(self, headers: ResponseHeaders) -> None:
        """Pass on a 1xx response."""
        raise NotImplementedError

    def send_response(self, headers: ResponseHeaders, body: bytes, end: bool, trailers: Headers | None) -> None:
        """Start the response downstream."""
        raise NotImplementedError

    def send_data(self, body: bytes, end: bool, trailers: Headers | None) -> None:
        """Go on with the response."""
        raise NotImplementedError

    def send_upgrade(self, headers: ResponseHeaders, connection: UpstreamConnection, rest: bytes) -> None:
        """101: join both connections."""
        raise NotImplementedError

    def reset_downstream(self, details: str) -> None:
        """The response can not be finished: close."""
        raise NotImplementedError

    def hold_request(self, hold: bool) -> None:
        """Stop (or go on) reading the request's body."""
        raise NotImplementedError

    # ---- the request, towards upstream

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
            self.reply(
                LocalReply(action.cluster_not_found_status, b"", "cluster_not_found", flag.NO_CLUSTER_FOUND)
            )
            return
        self.action = action
        self.cluster = cluster
        info.upstream_cluster = action.cluster
        info.cluster = cluster.config
        request = self.request
        timeout_ms = action.timeout_ms
        retry = self.retry_policy = action.retry
        self.per_try_timeout_ms = None if retry is None else retry.per_try_timeout_ms
        if self.client_settings:
            timeout_ms = take_client_settings(self, timeout_ms)
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
        self._attempt()
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
            self.request.set(b"x-envoy-expected-rq-timeout-ms", b"%d" % (per_try_ms or timeout_ms or 0))
        if timeout_ms and self.request_complete:
            self.timers.request.set(self.info.start_ns + int(timeout_ms * NS_PER_MS))

    def _attempt(self) -> None:
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
        pool: HostPool = host.pool
        connection = pool.take(self)
        if connection is not None:
            self.on_upstream_ready(connection)
        elif not self.finished and self._backoff is None and self.upstream is None:
            self._waiting = pool

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
        connection.head_only = request.method == b"HEAD"
        if action.host_rewrite is not None and action.host_rewrite.kind == "auto":
            hostname = self.host.endpoint.hostname.encode()
            rewrite_host(request, action.host_rewrite, action.append_x_forwarded_host, hostname)
        if self.per_try_timeout_ms and self.request_complete:
            self.timers.attempt.after(self.per_try_timeout_ms)
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

    # ---- the response, from upstream

    def on_upstream_informational(self, headers: ResponseHeaders) -> None:
        """1xx."""
        self.send_informational(headers)

    def on_upstream_response(
        self, headers: ResponseHeaders, body: bytes, end: bool, trailers: Headers | None
    ) -> None:
        """The response's head: try again, or start the response downstream."""
        now_ns = monotonic_ns()
        status = headers.status
        host = self.host
        cluster = self.cluster
        if cluster.outlier is not None:
            cluster.on_status(host, status)
        if status < 500:
            host.requests_success += 1
        else:
            host.requests_error += 1
        policy = self.retry_policy
        if policy is not None and (
            status >= 400
            or policy.retriable_headers
            or b"grpc-status" in headers
            or status in policy.retriable_status_codes
        ):
            delay_ms = retry_delay_ms(self, headers, None)
            if delay_ms is not None:
                if not end:
                    self._abandon()
                self._retry_in(delay_ms)
                return
        info = self.info
        info.upstream_first_byte_ns = now_ns
        info.response_code_details = "via_upstream"
        self.timers.attempt.at_ns = 0
        if not self.suppress_envoy_headers:
            since = self.complete_ns or info.start_ns
            headers[b"x-envoy-upstream-service-time"] = number((now_ns - since) // NS_PER_MS)
        route = self.route
        if route.include_attempt_count_in_response:  # type: ignore[union-attr]
            headers[b"x-envoy-attempt-count"] = b"%d" % info.attempt_count
        self.response = headers
        info.response_headers = headers
        if route.response_headers:  # type: ignore[union-attr]
            apply_mutations(headers, route.response_headers, info)  # type: ignore[union-attr]
        if self._hash is not None:
            for cookie in self._hash[1]:
                headers.add(b"set-cookie", cookie)
        if end:
            self.timers.request.at_ns = 0
            info.end_ns = now_ns
        self.send_response(headers, body, end, trailers)

    def on_upstream_data(self, body: bytes, end: bool, trailers: Headers | None) -> None:
        """More of the response's body."""
        if end:
            self.timers.request.at_ns = 0
            self.info.end_ns = monotonic_ns()
        self.send_data(body, end, trailers)

    def on_upstream_upgrade(self, headers: ResponseHeaders, connection: UpstreamConnection, rest: bytes) -> None:
        """101."""
        self.timers.request.at_ns = 0
        self.timers.attempt.at_ns = 0
        self.info.upstream_first_byte_ns = monotonic_ns()
        self.response = headers
        self.info.response_headers = headers
        self.info.response_code_details = "via_upstream"
        self.send_upgrade(headers, connection, rest)

    def on_upstream_pressure(self, blocked: bool) -> None:
        """The upstream socket is full: let the client wait."""
        self.hold_request(blocked)

    def on_upstream_reset(self, reason: int, detail: str, reused: bool) -> None:
        """The attempt failed without a response, or in its middle."""
        self._waiting = None
        cluster = self.cluster
        host = self.host
        self.timers.attempt.at_ns = 0
        if reason != OVERFLOW:
            host.requests_error += 1
            cluster.stats.rq_rx_reset.value += 1
            if cluster.outlier is not None:
                cluster.on_reset(host, reason)
        if reason in (CONNECT_FAILURE, CONNECT_TIMEOUT):
            self.info.upstream_transport_failure_reason = detail
        if self.response_started:
            self.info.response_flags |= _RESET_FLAGS[reason]
            self._clear_timers()
            self.reset_downstream(
                f"upstream_reset_after_response_started{{{RESET_REASONS[reason].replace(' ', '_')}}}"
            )
            return
        if reused and self.replayable and self.request.method in _IDEMPOTENT:
            # The host closed an idle connection just as we used it (RFC 9110 9.2.2): no attempt was made at all.
            self.info.attempt_count -= 1
            self._attempt()
            return
        delay_ms = retry_delay_ms(self, None, RESETS[reason], self.upstream_sent)
        if delay_ms is not None:
            self._retry_in(delay_ms)
            return
        self._fail(reason, detail)

    def _fail(self, reason: int, detail: str) -> None:
        """Answer for an upstream that did not."""
        info = self.info
        words = RESET_REASONS[reason]
        text = "upstream connect error or disconnect/reset before headers. "
        text += "retried and the latest reset reason: " if info.attempt_count > 1 else "reset reason: "
        text += words
        details = words.replace(" ", "_")
        if detail and reason in (CONNECT_FAILURE, CONNECT_TIMEOUT):
            details += f"|{detail}"
        status = 502 if reason == PROTOCOL_ERROR else 503
        code, code_class = self.cluster.stats.codes[status]
        code.value += 1
        code_class.value += 1
        self.reply(
            LocalReply(
                status,
                text.encode(),
                f"upstream_reset_before_response_started{{{details}}}",
                _RESET_FLAGS[reason],
                _OVERLOADED if reason == OVERFLOW and not self.suppress_envoy_headers else (),
            )
        )

    # ---- retries

    def _retry_in(self, delay_ms: float) -> None:
        self.cluster.stats.rq_retry.value += 1
        self.upstream_sent = False
        if self.tried is None:
            self.tried = []
            self.cluster.retries_active += 1
        self.tried.append(self.host)
        self._backoff = self.cluster.wheel.call_after(delay_ms, self._retry)

    def _retry(self) -> None:
        if self._backoff is not None:
            self._backoff = None
            self._attempt()

    # ---- ends

    def on_request_timeout(self) -> None:
        """The route's timeout (or the client's) is over."""
        if self.finished:
            return
        self.cluster.stats.rq_timeout.value += 1
        self.info.response_flags |= flag.UPSTREAM_REQUEST_TIMEOUT
        if self.upstream is not None:
            self.host.requests_timeout += 1
            if self.cluster.outlier is not None:
                self.cluster.on_status(self.host, 504)
        self.cancel_upstream()
        if self.response_started:
            self.reset_downstream("response_timeout")
            return
        self._timed_out("response_timeout")

    def on_attempt_timeout(self) -> None:
        """The per-try timeout is over."""
        if self.finished or self.response_started:
            return
        stats = self.cluster.stats
        stats.rq_per_try_timeout.value += 1
        self.host.requests_timeout += 1
        if self.cluster.outlier is not None:
            self.cluster.on_status(self.host, 504)
        self._abandon()
        delay_ms = retry_delay_ms(self, None, Reset.PER_TRY_TIMEOUT)
        if delay_ms is not None:
            self._retry_in(delay_ms)
            return
        self.info.response_flags |= flag.UPSTREAM_REQUEST_TIMEOUT
        self.cancel_upstream()
        self._timed_out("upstream_per_try_timeout")

    def _timed_out(self, details: str) -> None:
        code, code_class = self.cluster.stats.codes[504]
        code.value += 1
        code_class.value += 1
        self.reply(LocalReply(504, b"upstream request timeout", details))

    def _abandon(self) -> None:
        """Give up the present attempt, wherever it is."""
        connection = self.upstream
        if connection is not None:
            self.upstream = None
            self.cluster.stats.rq_tx_reset.value += 1
            connection.abandon()
        waiting = self._waiting
        if waiting is not None:
            self._waiting = None
            waiting.cancel(self)

    def _clear_timers(self) -> None:
        self.timers.request.at_ns = 0
        self.timers.attempt.at_ns = 0

    def cancel_upstream(self) -> None:
        """Nobody wants the response any more: no attempt, deadline or back-off stays behind."""
        self._clear_timers()
        self._abandon()
        backoff = self._backoff
        if backoff is not None:
            self._backoff = None
            backoff.clear()

    def request_hash(self) -> int | None:
        """For balancers that hash; the cookies that a policy makes go out with the response."""
        policies = self.action.hash_policies
        if not policies:
            return None
        if self._hash is None:
            address = self.info.downstream_remote_address.rpartition(":")[0].strip("[]").encode()
            self._hash = request_hash(policies, self.request, address, _new_cookie)
        return self._hash[0]

    def host_attempts(self) -> int:
        """How often a retry may pick again to avoid a host it tried; 0 where it need not."""
        policy = self.retry_policy
        return policy.host_selection_attempts if policy is not None and policy.previous_hosts else 0

    def header(self, name: bytes) -> bytes | None:
        """A request header, for clusters that pick by one."""
        return self.request.get(name)

    def charge_upstream(self) -> None:
        """Count the upstream's response by its code and time; may happen after the stream is over."""
        info = self.info
        stats = self.cluster.stats
        stats.rq_completed.value += 1
        code, code_class = stats.codes[info.response_code]
        code.value += 1
        code_class.value += 1
        stats.rq_time.record((info.end_ns - info.start_ns) / NS_PER_MS)

    def routing_ended(self) -> None:
        """The stream is over: give back what the circuit breaker counts."""
        if self.tried is not None:
            self.tried = None
            self.cluster.retries_active -= 1


def _new_cookie() -> bytes:
    return secrets.token_hex(8).encode()
