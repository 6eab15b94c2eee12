"""The tracers of a proxy: connection managers that name the same collector share one reporter of spans."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from sidecar.config.listeners import HttpConnectionManager
from sidecar.config.tracing import OtelTracer, ZipkinTracer
from sidecar.telemetry.span import FinishedSpan
from sidecar.telemetry.span_reporter import Sender, SpanReporter
from sidecar.telemetry.stats import Stats
from sidecar.telemetry.tracing import LocalNode, RequestTracer
from sidecar.telemetry.zipkin import CONTENT_TYPE, encode_zipkin
from sidecar.upstream.cluster_manager import ClusterManager
from sidecar.upstream.report_senders import GrpcSender, HttpSender

_NAME = "lugsail"


class Tracers:
    """Makes a connection manager's tracer. A reporter stays as long as the proxy: there are few, and they are idle."""

    def __init__(self, clusters: ClusterManager, stats: Stats, local: LocalNode) -> None:
        self._clusters = clusters
        self._stats = stats
        self._local = local
        self._reporters: dict[ZipkinTracer | OtelTracer, SpanReporter] = {}

    def tracer(self, config: HttpConnectionManager) -> RequestTracer | None:
        """The tracer of a connection manager; None where it does not trace."""
        tracing = config.tracing
        if tracing is None:
            return None
        reporter = self._reporters.get(tracing.tracer)
        if reporter is None:
            reporter = self._reporters[tracing.tracer] = self._reporter(tracing.tracer)
        return RequestTracer(tracing, self._local, reporter.report, self._stats, config.stat_prefix)

    def _reporter(self, tracer: ZipkinTracer | OtelTracer) -> SpanReporter:
        wheel = self._clusters.wheel
        local = self._local
        if isinstance(tracer, ZipkinTracer):
            sender = HttpSender(
                self._clusters,
                tracer.cluster,
                tracer.path,
                tracer.host,
                CONTENT_TYPE,
                tracer.headers,
                tracer.timeout_ms,
            )

            def encode(spans: Sequence[FinishedSpan]) -> bytes:
                return encode_zipkin(spans, local.cluster, local.ip)

            return SpanReporter("tracing.zipkin.", self._stats, wheel, encode, sender)
        return self._otel_reporter(tracer)

    def _otel_reporter(self, tracer: OtelTracer) -> SpanReporter:
        from sidecar.telemetry import otlp  # only who sends OTLP loads its protos

        sender: Sender
        if tracer.path:
            sender = HttpSender(
                self._clusters,
                tracer.cluster,
                tracer.path,
                tracer.host,
                otlp.CONTENT_TYPE,
                tracer.headers,
                tracer.timeout_ms,
            )
        else:
            sender = GrpcSender(self._clusters, tracer.cluster, tracer.host, tracer.headers, tracer.timeout_ms)
        resource = {
            "service.name": tracer.service,
            "telemetry.sdk.language": "python",
            "telemetry.sdk.name": _NAME,
            "telemetry.sdk.version": own_version(),
        }
        return SpanReporter(
            "tracing.opentelemetry.",
            self._stats,
            self._clusters.wheel,
            lambda spans: otlp.encode_otlp(spans, resource),
            sender,
        )

    def flush(self) -> None:
        """Send what waits; before the proxy ends."""
        for reporter in self._reporters.values():
            reporter.flush()

    def close(self) -> None:
        """Send nothing any more."""
        for reporter in self._reporters.values():
            reporter.close()


def own_version() -> str:
    """Our own version, "" where the package is not installed."""
    try:
        return version(_NAME)
    except PackageNotFoundError:
        return ""
