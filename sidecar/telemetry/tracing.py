"""Tracing of one connection manager: which requests, under which name, in which trace.

A request that is not traced pays for the decision and for the headers that pass it on; only a traced one gets an
object. Source: Envoy, ConnectionManagerImpl::ActiveStream::traceRequest, and the tracers' startSpan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sidecar.codec.headers import RequestHeaders, ResponseHeaders
from sidecar.config.routes import Route
from sidecar.config.tracing import Tracing, ZipkinTracer
from sidecar.telemetry.sampling import NUMBERS, REASON_AT, UUID_LENGTH, Reason, decide, number_of
from sidecar.telemetry.span import FinishedSpan, Span, Tags
from sidecar.telemetry.stats import Stats
from sidecar.telemetry.stream_info import StreamInfo
from sidecar.telemetry.trace_context import (
    Context,
    Ids,
    child_of,
    inject_otel,
    inject_zipkin,
    otel_context,
    write_unsampled,
    zipkin_context,
)

OPERATION = b"x-envoy-decorator-operation"
_COUNTERS = {
    Reason.NOT_TRACEABLE: "not_traceable",
    Reason.SAMPLING: "random_sampling",
    Reason.SERVICE_FORCED: "service_forced",
    Reason.CLIENT_FORCED: "client_enabled",
}
_MAX_REMEMBERED = 1024
_UNDECIDED = ord("4")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalNode:
    """Who this proxy is in its spans: the xDS node's id and cluster, the pod's address, the locality's zone."""

    id: str = ""
    cluster: str = ""
    ip: str = ""
    zone: str = ""


class TracedStream(Protocol):
    """What tracing sees of a request. `span` None: no span; `announced`: the operation that the response tells."""

    request: RequestHeaders
    info: StreamInfo
    route: Route | None
    span: Span | None
    announced: bytes


class RequestTracer:
    """Serves every request of a connection manager; also what its spans have in common (`SpanSettings`)."""

    __slots__ = (
        "_by_request_id",
        "_config",
        "_counters",
        "_egress",
        "_ids",
        "_not_traced",
        "_pack",
        "_quick_below",
        "_sampling",
        "_tags",
        "_tags_of",
        "_w3c",
        "_wide",
        "_zipkin",
        "client",
        "local_tags",
        "max_path_length",
        "report",
        "spawns",
    )

    def __init__(
        self, config: Tracing, local: LocalNode, report: Callable[[FinishedSpan], None], stats: Stats, stat_prefix: str
    ) -> None:
        self._config = config
        self._egress = config.egress
        self._sampling = config.sampling
        self._tags = config.tags
        self._by_request_id = config.by_request_id
        self._pack = config.pack_reason
        self._ids = Ids()
        tracer = config.tracer
        self._zipkin = isinstance(tracer, ZipkinTracer)
        self._w3c = isinstance(tracer, ZipkinTracer) and tracer.w3c
        self._wide = isinstance(tracer, ZipkinTracer) and tracer.trace_id_128
        self._tags_of: dict[Route, Tags] = {}
        self._counters = {
            reason: stats.counter(f"http.{stat_prefix}.tracing.{name}") for reason, name in _COUNTERS.items()
        }
        self._not_traced = self._counters[Reason.NOT_TRACEABLE]
        share, of = config.sampling.random
        quick = self._zipkin and self._by_request_id and of == NUMBERS and not config.spawn_upstream_span
        #: Request ids with this number or a higher one are not traced; None where that is not the whole question.
        self._quick_below = share if quick else None
        self.spawns = config.spawn_upstream_span
        self.client = config.egress and not config.spawn_upstream_span
        self.max_path_length = config.max_path_length
        self.report = report
        self.local_tags = {"node_id": local.id, "zone": local.zone}

    # ---- requests

    def begin(self, stream: TracedStream, random: Callable[[], float]) -> None:
        """A request has its route: decide, name it, and see to it that its trace goes on upstream."""
        request = stream.request
        route = stream.route
        own = route.tracing if route is not None else None
        if own is None and self._quick_below is not None and (route is None or not route.request_headers):
            # Most requests by far: by its number this one is not traced, and nobody before us has said otherwise.
            request_id = request.get(b"x-request-id", b"")
            if (
                len(request_id) == UUID_LENGTH
                and request_id[REASON_AT] == _UNDECIDED
                and b"x-envoy-force-trace" not in request
                and b"x-client-trace-id" not in request
                and number_of(request_id) >= self._quick_below
                and write_unsampled(request, self._ids, self._wide, self._w3c)
            ):
                self._not_traced.value += 1
                self._operation(stream, route)
                return
        reason = Reason.SAMPLING
        if self._by_request_id:
            reason = decide(request, self._sampling if own is None else own.sampling, self._pack, random)
        self._counters[reason].value += 1
        operation = self._operation(stream, route)
        traced = reason is not Reason.NOT_TRACEABLE
        if self._zipkin:
            context = zipkin_context(request, self._w3c, traced, self._ids, self._wide)
        else:
            context = otel_context(request, traced, self._ids)
        if context is None:
            return
        if not context.sampled and (route is None or not route.request_headers):
            # Nothing will be told of it, and no route touches its headers: they can be set at once.
            self.inject(request, child_of(context, self._ids) if self.spawns else context)
            return
        if not operation:
            operation = request.authority if self._zipkin else self._default_operation(request)
        tags = self._tags if own is None or route is None else self._route_tags(route, own.tags)
        stream.span = Span(self, context, operation, request, stream.info, tags)

    def _operation(self, stream: TracedStream, route: Route | None) -> bytes:
        """The route's name for the request or the caller's; b"" where neither has one."""
        decorator = route.decorator if route is not None else None
        if self._egress:
            if decorator is None:
                return b""
            if decorator.propagate:
                request = stream.request
                if request.multi is None:
                    request[OPERATION] = decorator.operation
                else:
                    request.set(OPERATION, decorator.operation)
            return decorator.operation
        told = stream.request.remove(OPERATION) if OPERATION in stream.request else None
        if told:
            return told
        if decorator is None:
            return b""
        if decorator.propagate:
            stream.announced = decorator.operation
        return decorator.operation

    def _default_operation(self, request: RequestHeaders) -> bytes:
        return b"egress " + request.authority if self._egress else b"ingress"

    def _route_tags(self, route: Route, own: Tags) -> Tags:
        if not own:
            return self._tags
        found = self._tags_of.get(route)
        if found is None:
            if len(self._tags_of) >= _MAX_REMEMBERED:
                self._tags_of.clear()
            found = self._tags_of[route] = tuple({**dict(self._tags), **dict(own)}.items())
        return found

    def answer(self, stream: TracedStream, headers: ResponseHeaders) -> None:
        """A response goes out: tell the caller our name for the request, or take the callee's."""
        if not self._egress:
            if stream.announced:
                headers.set(OPERATION, stream.announced)
        elif OPERATION in headers:
            told = headers.remove(OPERATION)
            if told and stream.span is not None:
                stream.span.operation = told

    # ---- SpanSettings

    def inject(self, request: RequestHeaders, context: Context) -> None:
        """Write the context into the head that goes upstream."""
        if self._zipkin:
            inject_zipkin(request, context, self._w3c)
        else:
            inject_otel(request, context)

    def child(self, context: Context) -> Context:
        """The context of a span below."""
        return child_of(context, self._ids)
