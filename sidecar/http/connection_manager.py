"""The HTTP connection manager: what every request of a filter chain goes through before the router, and after it.

One instance serves all connections of a filter chain; a changed listener makes a new one, and connections keep theirs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from random import random
from time import gmtime, strftime, time

from sidecar.codec.headers import ResponseHeaders
from sidecar.codec.reader import MalformedMessage
from sidecar.config.listeners import HttpConnectionManager
from sidecar.config.routes import Route
from sidecar.filters.base import HttpFilter, LocalReply
from sidecar.http.connection import ServerConnection
from sidecar.http.path import PLAIN_PATH, escaped_slashes, merge_slashes, normalize
from sidecar.http.request_headers import SPECIAL, treat_edge, treat_special
from sidecar.http.request_id import RequestIds
from sidecar.http.route_tables import RouteSlot
from sidecar.http.stats import HttpStats
from sidecar.http.stream import Stream
from sidecar.telemetry import response_flags as flag
from sidecar.telemetry.sampling import Reason, pack_reason
from sidecar.telemetry.stats import DEFAULT_BUCKETS, Stats
from sidecar.telemetry.stream_info import StreamInfo
from sidecar.telemetry.tracing import RequestTracer
from sidecar.timers import NS_PER_MS
from sidecar.upstream.cluster_manager import ClusterManager

#: Told of the requests that ended, many at a time: metrics and access logs.
Recorder = Callable[[list[StreamInfo]], None]
Log = Recorder

_MAX_REMEMBERED_ROUTES = 4096
#: Ended requests are counted and logged so many at a time, or after so long.
_BATCH = 64
_BATCH_DELAY_MS = 50.0


class HttpManager:
    """See the module. Attributes that the hot path reads are unpacked from `config` once."""

    __slots__ = (
        "_date_until_ns",
        "_ended",
        "_filters_of",
        "_flush_deadline",
        "_forgets_reason",
        "_generate_id",
        "_ids",
        "_limits_time",
        "_logs",
        "_normalizes",
        "_recorders",
        "append_server",
        "clusters",
        "config",
        "connections",
        "date",
        "decorate_response",
        "idle_ns",
        "overwrite_server",
        "random",
        "routes",
        "rq_active",
        "rq_total",
        "server_name",
        "stats",
        "suppress_envoy_headers",
        "tracer",
    )

    def __init__(
        self,
        config: HttpConnectionManager,
        routes: RouteSlot,
        clusters: ClusterManager,
        stats: Stats,
        recorders: Sequence[Recorder] = (),
        logs: Sequence[Log] = (),
        tracer: RequestTracer | None = None,
    ) -> None:
        self.config = config
        self.routes = routes
        self.clusters = clusters
        self.stats = HttpStats(stats, config.stat_prefix)
        self.rq_total = self.stats.rq_total
        self.rq_active = self.stats.rq_active
        self.connections: set[ServerConnection] = set()
        self.random = random
        self.server_name = config.server_name
        self.overwrite_server = config.server_header == "overwrite"
        self.append_server = config.server_header == "append_if_absent"
        self.tracer = tracer
        self.decorate_response = bool(config.always_set_request_id_in_response or config.via)
        tracing = config.tracing
        self._forgets_reason = bool(tracing and tracing.pack_reason and config.preserve_external_request_id)
        self.suppress_envoy_headers = config.suppress_envoy_headers
        self.idle_ns = int(config.idle_timeout_ms * NS_PER_MS) if config.idle_timeout_ms else 0
        self._generate_id = config.generate_request_id
        self._ids = RequestIds()
        self._normalizes = config.normalize_path or config.merge_slashes or config.escaped_slashes != "keep"
        self._limits_time = bool(config.request_timeout_ms or config.max_stream_duration_ms)
        self._recorders = tuple(recorders)
        self._logs = tuple(logs)
        self._filters_of: dict[Route, tuple[HttpFilter, ...]] = {}
        self._ended: list[Stream] = []
        self._flush_deadline = clusters.wheel.deadline(self.flush)
        self.date = b""
        self._date_until_ns = 0

    # ---- connections

    def opened(self, connection: ServerConnection) -> None:
        self.connections.add(connection)
        stats = self.stats
        stats.cx_total.value += 1
        stats.cx_http1_total.value += 1
        stats.cx_active.value += 1
        limit_ms = self.config.max_connection_duration_ms
        if limit_ms:
            self.clusters.wheel.call_after(limit_ms, lambda: self._too_old(connection))

    def closed(self, connection: ServerConnection) -> None:
        if connection in self.connections:
            self.connections.discard(connection)
            self.stats.cx_destroy.value += 1
            self.stats.cx_active.value -= 1

    def _too_old(self, connection: ServerConnection) -> None:
        if connection in self.connections and not connection.closing:
            self.stats.cx_max_duration_reached.value += 1
            connection.drain()

    def drain(self, now: bool = False) -> None:
        """Every connection closes after its present or next request; with `now`, idle ones at once.

        An idle connection may be about to be used: closing it costs somebody a request, so it is not the first choice.
        """
        for connection in list(self.connections):
            if now:
                connection.drain()
            else:
                connection.draining = True

    def close(self) -> None:
        """Close what is left after draining."""
        for connection in list(self.connections):
            connection.transport.close()

    # ---- requests

    def serve(self, stream: Stream) -> None:
        """From the request's head to the router."""
        request = stream.request
        config = self.config
        if not SPECIAL.isdisjoint(request):
            self._special(stream)
        if stream.http_10 and not config.accept_http_10:
            self._reject(stream, 426, b"Upgrade Required", "low_version")
            return
        if not request.authority and not stream.http_10:
            self._reject(stream, 400, b"", "missing_host_header")  # RFC 9112 3.2
            return
        edge = config.use_remote_address
        if edge:
            self._edge(stream)
        elif b"x-forwarded-proto" not in request:
            request[b"x-forwarded-proto"] = request.scheme
        if self._generate_id and (b"x-request-id" not in request or (edge and not config.preserve_external_request_id)):
            request.remove(b"x-request-id")
            ids = self._ids.ready
            request[b"x-request-id"] = ids.pop() if ids else self._ids.next()
        path = request.path
        if PLAIN_PATH(path) is None and not self._odd_path(stream):
            return
        table = self.routes.table
        route = table.match(request, random()) if table is not None else None
        stream.route = route
        stream.info.route = route
        timeout_ms, limited = config.stream_idle_timeout_ms, self._limits_time
        if route is not None and (action := route.action) is not None:
            if action.idle_timeout_ms is not None:
                timeout_ms = action.idle_timeout_ms
            if action.max_stream_duration_ms is not None:
                limited = True
        if timeout_ms:
            stream.arm_idle(timeout_ms)
        if limited:
            self._limit_time(stream)
        if stream.connection.last_request:
            stream.close = True
        if stream.upgrade_refused:
            self._reject(stream, 403, b"", "upgrade_failed")
            return
        if self.tracer is not None:
            self.tracer.begin(stream, random)
        filters = self._route_filters(route)
        if filters:
            stream.run_filters(filters)
        else:
            stream.forward()

    def _limit_time(self, stream: Stream) -> None:
        """Bounds on the request: until it is in (request_timeout), and until all is over (max_stream_duration)."""
        duration_ms = self.config.max_stream_duration_ms
        route = stream.route
        if route is not None and route.action is not None and route.action.max_stream_duration_ms is not None:
            duration_ms = route.action.max_stream_duration_ms
        if duration_ms:
            stream.limit(duration_ms, stream.on_duration_timeout)
        if self.config.request_timeout_ms and not stream.request_complete:
            stream.limit(self.config.request_timeout_ms, stream.on_upload_timeout)

    def _route_filters(self, route: Route | None) -> tuple[HttpFilter, ...]:
        """The filters that have something to do on this route; found once per route."""
        if route is None:
            return tuple(one for one in self.config.http_filters if one.acts_with(None))
        filters = self._filters_of.get(route)
        if filters is None:
            if len(self._filters_of) >= _MAX_REMEMBERED_ROUTES:
                self._filters_of.clear()
            settings = route.filter_configs
            filters = tuple(one for one in self.config.http_filters if one.acts_with(settings.get(one.name)))
            self._filters_of[route] = filters
        return filters

    def _special(self, stream: Stream) -> None:
        """Headers that want treatment."""
        request = stream.request
        upgrading = False
        if stream.upgrading:
            kind = request.get(b"upgrade", b"").lower()
            if kind in self.config.upgrades:
                upgrading = True
            elif kind != b"h2c":
                stream.upgrade_refused = True
        stream.upgrading = upgrading
        treat_special(request, self.config, upgrading)
        expect = request.get(b"expect")
        if expect is not None and not self.config.proxy_100_continue and expect.lower() == b"100-continue":
            request.remove(b"expect")
            stream.connection.send_continue()

    def _edge(self, stream: Stream) -> None:
        remote = stream.info.downstream_remote_address.rpartition(":")[0].strip("[]")
        local = stream.info.downstream_local_address.rpartition(":")[0].strip("[]")
        treat_edge(stream.request, self.config, remote, local)
        if self._forgets_reason:
            pack_reason(stream.request, Reason.NOT_TRACEABLE)  # who is outside the mesh does not decide by it

    def _reject(self, stream: Stream, status: int, body: bytes, details: str) -> None:
        """Refuse a request and close the connection behind it."""
        stream.close = True
        stream.reply(LocalReply(status, body, details))

    def _odd_path(self, stream: Stream) -> bool:
        """A path that may want normalising; False when it was answered."""
        config, request = self.config, stream.request
        path = request.path
        if not path:
            stream.close = True  # CONNECT, which nothing here is set up for
            return True
        if path == b"*":
            stream.reply(LocalReply(404, b"", "absolute_path_rejected"))
            return False
        if b"#" in path:
            self._reject(stream, 400, b"", "path_normalization_failed")
            return False
        if not self._normalizes:
            return True
        path, verdict = escaped_slashes(request.path, config.escaped_slashes)
        if verdict == "reject":
            stream.reply(LocalReply(400, b"", "path_normalization_failed"))
            return False
        if config.normalize_path and path[:1] == b"/":
            normal = normalize(path)
            if normal is None:
                stream.reply(LocalReply(400, b"", "path_normalization_failed"))
                return False
            path = normal
        if config.merge_slashes:
            path = merge_slashes(path)
        if verdict == "redirect":
            stream.reply(LocalReply(307, b"", "path_normalization_failed", 0, ((b"location", path),)))
            return False
        request.path = path
        return True

    def decorate(self, stream: Stream, headers: ResponseHeaders) -> None:
        """Response headers that few configurations ask for."""
        config = self.config
        if config.always_set_request_id_in_response:
            request_id = stream.request.get(b"x-request-id")
            if request_id is not None:
                headers.set(b"x-request-id", request_id)
        if config.via:
            headers.add(b"via", config.via)

    def ended(self, stream: Stream) -> None:
        """A request is over."""
        self.rq_active.value -= 1
        # Counted and logged many at a time: the formatter's code and tables run hot then, which halves a line's cost.
        ended = self._ended
        ended.append(stream)
        if len(ended) >= _BATCH:
            self.flush()
        elif not self._flush_deadline.at_ns:
            self._flush_deadline.after(_BATCH_DELAY_MS)

    def flush(self) -> None:
        """Count and log the requests that ended since the last time."""
        ended, self._ended = self._ended, []
        self._flush_deadline.at_ns = 0
        stats = self.stats
        stats.rq_completed.value += len(ended)
        codes, counts = stats.codes, stats.rq_time.counts
        total_ms = 0.0
        infos = []
        for stream in ended:
            info = stream.info
            infos.append(info)
            if info.response_code:
                codes[info.response_code][1].value += 1
            # Histogram.record, written out, since the upstream's histogram has the same buckets.
            duration_ms = (info.end_ns - info.start_ns) / NS_PER_MS
            bucket = bisect_left(DEFAULT_BUCKETS, duration_ms)
            counts[bucket] += 1
            total_ms += duration_ms
            if info.upstream_first_byte_ns >= 0:
                stream.charge_upstream(bucket, duration_ms)
            if stream.span is not None:
                stream.span.finish()
        stats.rq_time.sum += total_ms
        self._record(infos)

    def _record(self, infos: list[StreamInfo]) -> None:
        for record in self._recorders:
            record(infos)
        for write in self._logs:
            write(infos)

    def refuse(self, connection: ServerConnection, error: MalformedMessage, body: bytes) -> None:
        """Answer bytes that were no request, and log them as Envoy does."""
        info = StreamInfo(time(), self.clusters.wheel.now_ns())
        info.downstream_remote_address = connection.remote_address
        info.peer_address = connection.peer_address
        info.downstream_local_address = connection.local_address
        info.response_flags = flag.DOWNSTREAM_PROTOCOL_ERROR
        info.response_code = error.status
        info.response_code_details = error.details
        headers = ResponseHeaders(error.status)
        headers[b"content-length"] = b"%d" % len(body)
        headers[b"content-type"] = b"text/plain"
        headers[b"date"] = self.date_at(info.start_ns)
        headers[b"server"] = self.server_name
        headers[b"connection"] = b"close"
        info.response_headers = headers
        info.bytes_sent = len(body)
        info.end_ns = info.start_ns
        connection.send_refusal(headers, body)
        self.stats.rq_total.value += 1
        self._record([info])

    def date_at(self, now_ns: int) -> bytes:
        """The Date header (RFC 9110 5.6.7), made once a second; `now_ns` is monotonic."""
        if now_ns >= self._date_until_ns:
            now_s = time()
            self._date_until_ns = now_ns + int((1 - now_s % 1) * 1e9)
            self.date = strftime("%a, %d %b %Y %H:%M:%S GMT", gmtime(now_s)).encode()
        return self.date
