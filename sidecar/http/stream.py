"""One request on a downstream connection: the routed half comes from the router, this is the client's side of it."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns, time
from typing import TYPE_CHECKING, Any

from sidecar.codec.encode import encode_chunk, encode_last_chunk, encode_response
from sidecar.codec.headers import Headers, RequestHeaders, ResponseHeaders
from sidecar.filters.base import HttpFilter, LocalReply, Pause
from sidecar.http.request_headers import SPECIAL_RESPONSE
from sidecar.router.header_mutation import apply_mutations
from sidecar.router.router import RoutedStream
from sidecar.telemetry import response_flags as flag
from sidecar.telemetry.stream_info import StreamInfo
from sidecar.telemetry.tracing import OPERATION
from sidecar.timers import NS_PER_MS, Deadline
from sidecar.upstream.connection import UpstreamConnection

if TYPE_CHECKING:
    from sidecar.http.connection import ServerConnection

_GRPC = b"application/grpc"
#: HTTP status → gRPC status (grpc/doc/http-grpc-status-mapping.md), anything else is UNKNOWN.
_GRPC_STATUS = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}
_GRPC_UNKNOWN = 2


class Stream(RoutedStream):
    """Lives from the request's head to the response's end. Belongs to one `ServerConnection`."""

    __slots__ = (
        "_chunked_response",
        "_filters",
        "_limits",
        "_next_filter",
        "_pause",
        "announced",
        "close",
        "connection",
        "http_10",
        "idle_ns",
        "is_head",
        "started",
        "upgrade_refused",
    )

    def __init__(self, connection: ServerConnection, request: RequestHeaders) -> None:
        self.connection = connection
        self.request = request
        info = StreamInfo(time(), monotonic_ns())
        self.info = info
        info.request_headers = request
        info.downstream_remote_address = connection.remote_address
        info.peer_address = connection.peer_address
        info.downstream_local_address = connection.local_address
        info.requested_server_name = connection.server_name
        manager = connection.manager
        self.clusters = manager.clusters
        self.suppress_envoy_headers = manager.suppress_envoy_headers
        self.original_destination = connection.original_destination
        self.timers = connection
        # What holds of a whole request of HTTP/1.1; others are told from it by `ServerConnection.request_head`.
        self.http_10 = False
        self.close = False
        self.upgrading = False
        self.request_complete = True
        self.chunked = False
        self.request_trailers = None
        self.is_head = request.method == b"HEAD"
        self.started = False
        self.upgrade_refused = False
        self.idle_ns = 0
        self._chunked_response = False
        self._filters: tuple[HttpFilter, ...] = ()
        self._next_filter = 0
        self._pause: Deadline | None = None
        self._limits: list[Deadline] | None = None
        # The routed half, set here since a call for it would be made for every request.
        self.route = None
        self.upstream = None
        self.upstream_sent = False
        self.response = None
        self.response_started = False
        self.finished = False
        self.filter_state = None
        self.span = None
        self.announced = b""
        self.tried = None
        self.replayable = True
        self.complete_ns = 0
        self._backoff = None
        self._waiting = None
        self._hash = None
        self._body = []
        self._body_bytes = 0
        self._body_sent = 0

    # ---- what filters see

    def route_config(self, filter_name: str) -> Any:
        """The compiled per-route configuration of a filter, or None."""
        route = self.route
        return None if route is None else route.filter_configs.get(filter_name)

    def random(self) -> float:
        """Uniform in [0, 1)."""
        return self.connection.manager.random()

    # ---- the request's way through the filters

    def run_filters(self, filters: tuple[HttpFilter, ...]) -> None:
        """Ask every filter, then route; a pause goes on later."""
        self._filters = filters
        self._next_filter = 0
        self._continue()

    def _continue(self) -> None:
        filters = self._filters
        while self._next_filter < len(filters):
            verdict = filters[self._next_filter].on_request(self)
            self._next_filter += 1
            if verdict is None:
                continue
            if isinstance(verdict, LocalReply):
                self.reply(verdict)
            else:
                self._wait(verdict)
            return
        self.forward()

    def _wait(self, pause: Pause) -> None:
        def resume() -> None:
            self._pause = None
            reply = pause.then(self) if pause.then is not None else None
            if reply is not None:
                self.reply(reply)
            else:
                self._continue()
            self.connection.work()

        self._pause = self.clusters.wheel.call_after(pause.delay_ms, resume)

    @property
    def routed(self) -> bool:
        """Whether the request has passed the filters."""
        return self._pause is None

    # ---- the response's way to the client

    def reply(self, reply: LocalReply) -> None:
        self.cancel_upstream()
        info = self.info
        info.response_flags |= reply.flags
        info.response_code_details = reply.details
        info.end_ns = monotonic_ns()
        if self.response_started:
            self.reset_downstream(reply.details)
            return
        route = self.route
        if not info.upstream_cluster and route is not None and route.action is not None:
            cluster = self.clusters.active.get(route.action.cluster)
            if cluster is not None:  # answered before the router saw it; logs name the cluster all the same
                info.upstream_cluster = route.action.cluster
                info.cluster = cluster.config
        headers = ResponseHeaders(reply.status)
        self.response = headers
        info.response_headers = headers
        direct = self._direct()
        if direct:
            for name, value in reply.headers:
                headers.set(name, value)
        # As in Envoy, a route changes all answers given on its behalf, save preflights, which its CORS filter answers.
        if route is not None and route.response_headers and reply.details != "cors_response":
            apply_mutations(headers, route.response_headers, info)
        body = reply.body
        if self.request.get(b"content-type", b"").startswith(_GRPC) and not direct:
            headers.status = 200
            headers[b"content-type"] = _GRPC
            headers[b"grpc-status"] = b"%d" % _GRPC_STATUS.get(reply.status, _GRPC_UNKNOWN)
            if body:
                headers[b"grpc-message"] = body
                body = b""
        elif body:
            headers[b"content-length"] = b"%d" % len(body)
            if b"content-type" not in headers:
                headers[b"content-type"] = b"text/plain"
        if not direct:
            for name, value in reply.headers:
                headers.set(name, value)
        self.send_response(headers, body, True, None)

    def _direct(self) -> bool:
        return self.info.response_code_details == "direct_response"

    def send_informational(self, headers: ResponseHeaders) -> None:
        if self.http_10 or (headers.status == 100 and not self.connection.manager.config.proxy_100_continue):
            return
        for name in SPECIAL_RESPONSE:
            headers.remove(name)
        self.connection.transport.write(encode_response(headers))

    def send_response(self, headers: ResponseHeaders, body: bytes, end: bool, trailers: Headers | None) -> None:
        connection = self.connection
        manager = connection.manager
        info = self.info
        status = headers.status
        if not SPECIAL_RESPONSE.isdisjoint(headers):
            for name in SPECIAL_RESPONSE:
                headers.remove(name)
        if manager.overwrite_server or (manager.append_server and b"server" not in headers):
            headers[b"server"] = manager.server_name
        if b"date" not in headers:
            now_ns = info.upstream_first_byte_ns
            headers[b"date"] = manager.date_at(now_ns if now_ns > 0 else info.end_ns)
        if self._filters:
            for one in reversed(self._filters):
                one.on_response(self)
        if manager.decorate_response:
            manager.decorate(self, headers)
        tracer = manager.tracer
        if tracer is not None and (self.announced or OPERATION in headers):
            tracer.answer(self, headers)
        self.response_started = True
        info.response_code = status
        if self.close or connection.draining or self.upgrading or (end and not self.request_complete):
            self.close = True
            headers[b"connection"] = b"close"
            if self.upgrading:  # refused: what the client sends on is no request, and its own has no end to count from
                headers.remove(b"x-envoy-upstream-service-time")
        elif self.http_10:
            headers[b"connection"] = b"keep-alive"
        if self.is_head or status == 204 or status == 304:
            connection.transport.write(encode_response(headers))
        else:
            if b"content-length" not in headers:
                if end and not body and not trailers:
                    headers[b"content-length"] = b"0"
                elif self.http_10:
                    self.close = True
                    headers[b"connection"] = b"close"
                else:
                    self._chunked_response = True
                    headers[b"transfer-encoding"] = b"chunked"
                    info.bytes_sent += len(body)
                    if body:
                        body = encode_chunk(body)
                    if end:
                        body += encode_last_chunk(trailers)
                    connection.transport.write(encode_response(headers, body))
                    if end:
                        self.finish()
                    return
            if body:
                info.bytes_sent += len(body)
                connection.transport.write(encode_response(headers, body))
            else:
                connection.transport.write(encode_response(headers))
        if end:
            self.finish()
        elif self.idle_ns:
            connection.stream_idle.set(monotonic_ns() + self.idle_ns)

    def send_data(self, body: bytes, end: bool, trailers: Headers | None) -> None:
        connection = self.connection
        if not (self.is_head or self.info.response_code in (204, 304)):
            self.info.bytes_sent += len(body)
            if self._chunked_response:
                if body:
                    body = encode_chunk(body)
                if end:
                    body += encode_last_chunk(trailers)
            if body:
                connection.transport.write(body)
        if end:
            self.finish()
        elif self.idle_ns:
            connection.stream_idle.set(monotonic_ns() + self.idle_ns)

    def send_upgrade(self, headers: ResponseHeaders, connection: UpstreamConnection, rest: bytes) -> None:
        info = self.info
        info.response_code = 101
        self.response_started = True
        manager = self.connection.manager
        if manager.overwrite_server:
            headers[b"server"] = manager.server_name
        if b"date" not in headers:
            headers[b"date"] = manager.date_at(info.upstream_first_byte_ns)
        self.connection.tunnel(self, connection, encode_response(headers), rest)

    def reset_downstream(self, details: str) -> None:
        self.info.response_code_details = details
        self.info.end_ns = monotonic_ns()
        self.connection.manager.stats.rq_tx_reset.value += 1
        self.close = True
        self.finish(abort=True)

    def hold_request(self, hold: bool) -> None:
        self.connection.hold(hold)

    # ---- ends

    def finish(self, abort: bool = False) -> None:
        """The response is written (or given up): log, count, and let the connection go on."""
        self.finished = True
        if self._body:
            self._body = []  # counting and logging come later, and must not keep it
        if self.tried is not None:
            self.routing_ended()
        if self._limits is not None:
            self._clear_limits()
        connection = self.connection
        connection.manager.ended(self)
        connection.ended(self, abort)

    def client_gone(self) -> None:
        """The client closed before its response was complete."""
        if self.finished:
            return
        self.stop_waiting()
        self.cancel_upstream()
        info = self.info
        info.response_flags |= flag.DOWNSTREAM_CONNECTION_TERMINATION
        info.response_code_details = "downstream_remote_disconnect"
        info.end_ns = monotonic_ns()
        self.finished = True
        self.routing_ended()
        self._clear_limits()
        self.connection.manager.ended(self)

    def stop_waiting(self) -> None:
        """Forget a filter's pause."""
        if self._pause is not None:
            self._pause.clear()
            self._pause = None

    def on_idle(self) -> None:
        """The stream idle timeout is over (Envoy: stream_idle_timeout, 504 before the response, else a reset)."""
        if self.finished:
            return
        self.info.response_flags |= flag.STREAM_IDLE_TIMEOUT
        self.connection.manager.stats.rq_idle_timeout.value += 1
        status = 504 if self.request_complete else 408
        self._give_up(LocalReply(status, b"stream timeout", "stream_idle_timeout"))

    def limit(self, limit_ms: float, over: Callable[[], None]) -> None:
        """Call `over` when the request has lasted so long, unless it ended before."""
        deadline = self.clusters.wheel.deadline(over)
        deadline.set(self.info.start_ns + int(limit_ms * NS_PER_MS))
        self._limits = [*(self._limits or ()), deadline]

    def _clear_limits(self) -> None:
        for deadline in self._limits or ():
            deadline.drop()

    def on_duration_timeout(self) -> None:
        """max_stream_duration is over."""
        self.connection.manager.stats.rq_max_duration_reached.value += 1
        status = 504 if self.request_complete else 408
        self._give_up(LocalReply(status, b"downstream duration timeout", "max_duration_timeout"))

    def on_upload_timeout(self) -> None:
        """request_timeout: the request should be whole by now."""
        if not self.request_complete:
            self.connection.manager.stats.rq_timeout.value += 1
            self._give_up(LocalReply(408, b"request timeout", "request_overall_timeout"))

    def _give_up(self, reply: LocalReply) -> None:
        if self.finished:
            return
        self.stop_waiting()
        self.cancel_upstream()
        if self.response_started:
            self.reset_downstream(reply.details)
        else:
            self.reply(reply)

    def arm_idle(self, timeout_ms: float | None) -> None:
        """Start the stream idle timeout."""
        self.idle_ns = int(timeout_ms * NS_PER_MS) if timeout_ms else 0
        if self.idle_ns:
            self.connection.stream_idle.set(self.info.start_ns + self.idle_ns)
