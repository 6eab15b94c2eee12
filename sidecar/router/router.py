"""The router: takes one request from its route to an upstream host and its response back.

`RoutedStream` is the upstream half of a request: state.py is what it knows, outgoing.py its way up, and here is the
response's way back, with retries and timeouts. The connection manager's stream builds on it. Nothing here waits:
connections, deadlines and the peer's bytes call back. Source of behaviour: Envoy's router filter.
"""

from __future__ import annotations

from time import monotonic_ns

from sidecar.codec.encode import number
from sidecar.codec.headers import Headers, ResponseHeaders
from sidecar.filters.base import LocalReply
from sidecar.router.header_mutation import apply_mutations
from sidecar.router.outgoing import OutgoingRequest
from sidecar.router.retries import RESETS, retry_delay_ms
from sidecar.router.retry import Reset
from sidecar.telemetry import response_flags as flag
from sidecar.timers import NS_PER_MS
from sidecar.upstream.connection import (
    CONNECT_FAILURE,
    CONNECT_TIMEOUT,
    OVERFLOW,
    PROTOCOL_ERROR,
    RESET_REASONS,
    UpstreamConnection,
)

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


class RoutedStream(OutgoingRequest):
    """The upstream half of one request; see the module."""

    __slots__ = ()

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
        span = self.span
        if span is not None:
            span.answered(headers)
        policy = self.retry_policy
        if policy is not None and (
            status >= 400
            or policy.retriable_headers
            or b"grpc-status" in headers
            or status in policy.retriable_status_codes
        ):
            delay_ms = retry_delay_ms(self, headers, None)
            if delay_ms is not None:
                if span is not None:
                    # Envoy decides by the head, and so resets what still had a body to come.
                    span.attempt_ended(canceled=bool(body) or not end)
                if not end:
                    self._abandon()
                self._retry_in(delay_ms)
                return
        elif self.tried is not None:
            cluster.stats.rq_retry_success.value += 1
        info = self.info
        info.response_code = status  # before the headers, which may tell it
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
            if span is not None:
                span.attempt_ended()
        self.send_response(headers, body, end, trailers)

    def on_upstream_data(self, body: bytes, end: bool, trailers: Headers | None) -> None:
        """More of the response's body."""
        if end:
            self.timers.request.at_ns = 0
            self.info.end_ns = monotonic_ns()
            if self.span is not None:
                self.span.attempt_ended()
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
            if self.span is not None:
                self.span.attempt_ended(_RESET_FLAGS[reason], RESET_REASONS[reason])
            self._clear_timers()
            self.reset_downstream(
                f"upstream_reset_after_response_started{{{RESET_REASONS[reason].replace(' ', '_')}}}"
            )
            return
        if reused and self.replayable and self.request.method in _IDEMPOTENT:
            # The host closed an idle connection just as we used it (RFC 9110 9.2.2): no attempt was made at all.
            self.info.attempt_count -= 1
            if self.span is not None:
                self.span.attempt_forgotten()
            self.attempt()
            return
        if self.span is not None:
            self.span.attempt_ended(_RESET_FLAGS[reason], RESET_REASONS[reason])
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
            self.attempt()

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
        if self.span is not None:
            self.span.attempt_ended(flag.UPSTREAM_REQUEST_TIMEOUT, canceled=True)
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
        if self.span is not None:
            self.span.attempt_ended(canceled=True)
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

    def charge_upstream(self, bucket: int, duration_ms: float) -> None:
        """Count the upstream's response by code and time (with its default bucket); the stream may be over."""
        stats = self.cluster.stats
        stats.rq_completed.value += 1
        code, code_class = stats.codes[self.info.response_code]
        code.value += 1
        code_class.value += 1
        times = stats.rq_time
        times.counts[bucket] += 1
        times.sum += duration_ms

    def routing_ended(self) -> None:
        """The stream is over: give back what the circuit breaker counts."""
        if self.tried is not None:
            self.tried = None
            self.cluster.retries_active -= 1
