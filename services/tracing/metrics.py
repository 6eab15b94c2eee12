"""The service's own Prometheus metrics. Each has a row in docs/reference/tracing-api.md; a test compares the two."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

PROTOCOLS = ("otlp-grpc", "otlp-http", "zipkin")
REASONS = ("invalid", "too-large", "refused")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class TracingMetrics:
    """All of them, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
        self._received = Counter("tracing_spans_received", "Spans that could be read", ("protocol",), registry=r)
        self._bytes = Counter("tracing_received_bytes", "Bytes of bodies read", ("protocol",), registry=r)
        self._rejected = Counter("tracing_spans_rejected", "Spans never to be stored", ("protocol",), registry=r)
        self._refused = Counter("tracing_requests_refused", "Requests refused", ("protocol", "reason"), registry=r)
        self._stored = Counter("tracing_spans_stored", "Spans committed", registry=r)
        self._deleted = Counter("tracing_spans_deleted", "Spans deleted by age or size", registry=r)
        self._commits = Histogram("tracing_commit_seconds", "One transaction", buckets=_SECONDS, registry=r)
        self._failures = Counter("tracing_commit_failures", "Transactions that failed", registry=r)
        self._batches = Counter("tracing_batches_stored", "Requests whose spans were committed", registry=r)
        self._queue = Gauge("tracing_queue_batches", "Requests that wait to be committed", registry=r)
        self._queue_bytes = Gauge("tracing_queue_bytes", "Their bytes", registry=r)
        self._db_bytes = Gauge("tracing_db_used_bytes", "Bytes of the database that hold something", registry=r)
        self._oldest = Gauge("tracing_oldest_span_age_seconds", "Since the oldest span arrived", registry=r)
        self._queries = Histogram("tracing_query_seconds", "One query of the store", buckets=_SECONDS, registry=r)
        ProcessCollector(registry=r)
        GCCollector(registry=r)
        # A series exists before its first event, so that rate() sees the first one.
        for protocol in PROTOCOLS:
            for counter in (self._received, self._bytes, self._rejected):
                counter.labels(protocol)
            for reason in REASONS:
                self._refused.labels(protocol, reason)

    def follow(self, queued: Callable[[], tuple[int, int]]) -> None:
        """Read batches and bytes in the queue when scraped."""
        self._queue.set_function(lambda: queued()[0])
        self._queue_bytes.set_function(lambda: queued()[1])

    def received(self, protocol: str, spans: int, rejected: int, size_bytes: int) -> None:
        """A request was read: its spans, those of them that are not valid, its bytes after decompression."""
        self._received.labels(protocol).inc(spans)
        self._rejected.labels(protocol).inc(rejected)
        self._bytes.labels(protocol).inc(size_bytes)

    def refused(self, protocol: str, reason: str) -> None:
        """A request was answered with an error (`reason`: one of REASONS)."""
        self._refused.labels(protocol, reason).inc()

    def committed(self, seconds: float, spans: int, batches: int) -> None:
        """A transaction ended well."""
        self._commits.observe(seconds)
        self._stored.inc(spans)
        self._batches.inc(batches)

    def commit_failed(self) -> None:
        """A transaction was rolled back."""
        self._failures.inc()

    def deleted(self, spans: int) -> None:
        """By age or by size."""
        self._deleted.inc(spans)

    def sizes(self, used_bytes: int, oldest_us: int | None) -> None:
        """After housekeeping. `oldest_us`: when the oldest span arrived."""
        self._db_bytes.set(used_bytes)
        self._oldest.set(0 if oldest_us is None else max(0.0, time.time() - oldest_us / 1e6))

    def queried(self, seconds: float) -> None:
        """The store was asked something."""
        self._queries.observe(seconds)

    def render(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self.registry)
