"""Spans of requests: one small object while a traced request passes, made into tags when it is over.

The span of a request is its connection manager's; where `spawn_upstream_span` says so (gateways), each attempt at an
upstream has a span below it. Names and tags are those of Envoy's http_tracer_impl.cc.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns
from typing import Protocol

from sidecar.codec.headers import RequestHeaders, ResponseHeaders
from sidecar.config.clusters import Cluster
from sidecar.config.tracing import TagValue
from sidecar.telemetry.response_flags import short
from sidecar.telemetry.stream_info import StreamInfo
from sidecar.telemetry.trace_context import Context

Tags = tuple[tuple[str, TagValue], ...]

#: The server's fault: UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS.
_GRPC_ERRORS = frozenset(("2", "4", "8", "12", "13", "14", "15"))
_GRPC = b"application/grpc"


class FinishedSpan:
    """What is exported of a span. `start_ns` is wall time."""

    __slots__ = ("client", "context", "duration_ns", "name", "start_ns", "tags")

    def __init__(
        self, context: Context, name: str, client: bool, start_ns: int, duration_ns: int, tags: dict[str, str]
    ) -> None:
        self.context = context
        self.name = name
        self.client = client
        self.start_ns = start_ns
        self.duration_ns = duration_ns
        self.tags = tags


class SpanSettings(Protocol):
    """What the spans of one connection manager have in common."""

    spawns: bool
    client: bool
    max_path_length: int
    local_tags: dict[str, str]
    report: Callable[[FinishedSpan], None]

    def inject(self, request: RequestHeaders, context: Context) -> None:
        """Write the context into the head that goes upstream."""

    def child(self, context: Context) -> Context:
        """The context of a span below."""


class _Attempt:
    """One try at an upstream."""

    __slots__ = ("address", "cluster", "connected", "context", "headers", "number", "start_ns", "status")

    def __init__(self, context: Context, info: StreamInfo) -> None:
        self.context = context
        self.start_ns = monotonic_ns()
        self.number = info.attempt_count
        self.address = info.upstream_host
        self.cluster = info.cluster
        self.connected = False
        self.status = 0
        self.headers: ResponseHeaders | None = None


class Span:
    """The span of a request that is under way; see the module."""

    __slots__ = ("_attempt", "_request", "_settings", "_tags", "context", "info", "operation")

    def __init__(
        self,
        settings: SpanSettings,
        context: Context,
        operation: bytes,
        request: RequestHeaders,
        info: StreamInfo,
        tags: Tags,
    ) -> None:
        self._settings = settings
        self.context = context
        self.operation = operation
        self.info = info
        self._request = request
        self._tags = tags
        self._attempt: _Attempt | None = None

    # ---- attempts at an upstream

    def attempt(self) -> None:
        """A try begins: its context goes out with the request."""
        settings = self._settings
        context = self.context
        if settings.spawns:
            context = settings.child(context)
            if context.sampled:
                self._attempt = _Attempt(context, self.info)
        settings.inject(self._request, context)

    def connected(self) -> None:
        """There is a connection for the try."""
        if self._attempt is not None:
            self._attempt.connected = True

    def answered(self, headers: ResponseHeaders) -> None:
        """The upstream's response has begun."""
        if self._attempt is not None:
            self._attempt.status = headers.status
            self._attempt.headers = headers

    def attempt_ended(self, flags: int = 0, reason: str = "", canceled: bool = False) -> None:
        """The try is over: by its response, by a reset for `reason` (in words), or given up (`canceled`)."""
        attempt = self._attempt
        if attempt is None:
            return
        self._attempt = None
        tags = _attempt_tags(attempt, flags, reason, canceled)
        _add_custom(tags, self._tags, self.info)
        cluster = attempt.cluster
        name = (cluster.stat_name or cluster.name) if cluster is not None else self.info.upstream_cluster
        start_ns = int(self.info.start_time_s * 1e9) + attempt.start_ns - self.info.start_ns
        self._settings.report(
            FinishedSpan(
                attempt.context, f"router {name} egress", True, start_ns, monotonic_ns() - attempt.start_ns, tags
            )
        )

    def attempt_forgotten(self) -> None:
        """The try did not count: the connection had gone before it was used."""
        self._attempt = None

    # ---- the end

    def finish(self) -> None:
        """The request is over and everything about it known."""
        if not self.context.sampled:
            return
        info = self.info
        settings = self._settings
        tags = dict(settings.local_tags)
        tags |= _request_tags(info, self._request, settings.max_path_length)
        _add_cluster(tags, info.cluster, info.upstream_cluster)
        _add_response(tags, info.response_code, info.response_flags, info.response_headers)
        tags["response_size"] = str(info.bytes_sent)
        _add_custom(tags, self._tags, info)
        duration_ns = max(0, info.end_ns - info.start_ns)
        name = _text(self.operation)
        start_ns = int(info.start_time_s * 1e9)
        settings.report(FinishedSpan(self.context, name, settings.client, start_ns, duration_ns, tags))


def _text(value: bytes) -> str:
    return str(value, "utf-8", "replace")


def _request_tags(info: StreamInfo, request: RequestHeaders, max_path_length: int) -> dict[str, str]:
    header = request.get
    path = header(b"x-envoy-original-path") or request.path
    scheme = header(b"x-forwarded-proto", b"")
    tags = {
        "http.url": _text(b"%b://%b%b" % (scheme, request.authority, path[:max_path_length])),
        "http.method": _text(request.method),
        "http.protocol": info.protocol,
        "downstream_cluster": _text(header(b"x-envoy-downstream-service-cluster") or b"-"),
        "user_agent": _text(header(b"user-agent") or b"-"),
        "peer.address": info.downstream_remote_address.rpartition(":")[0].strip("[]"),
        "request_size": str(info.bytes_received),
    }
    request_id = header(b"x-request-id")
    if request_id is not None:
        tags["guid:x-request-id"] = _text(request_id)
    client_id = header(b"x-client-trace-id")
    if client_id is not None:
        tags["guid:x-client-trace-id"] = _text(client_id)
    kind = header(b"content-type")
    if kind is not None and kind.startswith(_GRPC):
        tags["grpc.path"] = _text(request.path)
        tags["grpc.authority"] = _text(request.authority)
        tags["grpc.content_type"] = _text(kind)
        timeout = header(b"grpc-timeout")
        if timeout is not None:
            tags["grpc.timeout"] = _text(timeout)
    return tags


def _add_cluster(tags: dict[str, str], cluster: Cluster | None, name: str) -> None:
    if cluster is not None:
        tags["upstream_cluster"] = name
        tags["upstream_cluster.name"] = cluster.stat_name or name


def _add_response(tags: dict[str, str], status: int, flags: int, headers: ResponseHeaders | None) -> None:
    tags["component"] = "proxy"
    tags["http.status_code"] = str(status)
    tags["response_flags"] = short(flags)
    if not status or status >= 500:
        tags["error"] = "true"
    grpc_status = headers.get(b"grpc-status") if headers is not None else None
    if grpc_status is not None and headers is not None:
        tags["grpc.status_code"] = _text(grpc_status)
        message = headers.get(b"grpc-message")
        if message is not None:
            tags["grpc.message"] = _text(message)
        if tags["grpc.status_code"] in _GRPC_ERRORS:
            tags["error"] = "true"


def _attempt_tags(attempt: _Attempt, flags: int, reason: str, canceled: bool) -> dict[str, str]:
    cluster = attempt.cluster
    tags = {
        "http.protocol": "HTTP/1.1" if attempt.connected else "-",
        "upstream_address": attempt.address,
        "peer.address": attempt.address,
    }
    _add_cluster(tags, cluster, cluster.name if cluster is not None else "")
    _add_response(tags, attempt.status, flags, attempt.headers)
    if attempt.number > 1:
        tags["retry.count"] = str(attempt.number - 1)
    if reason:
        tags["error"] = "true"
        tags["error.reason"] = reason
    if canceled:
        tags["canceled"] = "true"
    return tags


def _add_custom(tags: dict[str, str], custom: Tags, info: StreamInfo) -> None:
    for name, value_of in custom:
        value = value_of(info)
        if value is not None:
            tags[name] = value
