"""The service's own Prometheus metrics. Each has a row in docs/reference/metrics-api.md; a test compares the two."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

KINDS = ("http", "tcp")
_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class OwnMetrics:
    """All of them, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
        self._entries = Counter("metrics_als_entries", "Records of Envoys that were counted", ("kind",), registry=r)
        self._bad = Counter("metrics_als_streams_refused", "Streams whose first message names no proxy", registry=r)
        self._streams = Gauge("metrics_als_streams", "Streams of Envoys that are open", registry=r)
        self._unknown = Counter("metrics_unknown_peers", "Records of callers that nobody knows", registry=r)
        self._scrapes = Counter("metrics_scrapes", "Pages fetched", ("result",), registry=r)
        self._scrape_time = Histogram("metrics_scrape_seconds", "Fetching one page", buckets=_SECONDS, registry=r)
        self._failures = Counter("metrics_directory_failures", "Questions the control plane did not answer", registry=r)
        self._targets = Gauge("metrics_targets", "Proxies that are scraped", registry=r)
        self._flows = Gauge("metrics_flows", "Combinations of labels that are known", registry=r)
        self._cells = Gauge("metrics_history_cells", "Cells of history in use", registry=r)
        self._age = Gauge("metrics_history_seconds", "How far back the history goes", registry=r)
        self._overflow = Counter("metrics_flows_overflow", "Records beyond the bound on combinations", registry=r)
        ProcessCollector(registry=r)
        GCCollector(registry=r)
        for kind in KINDS:
            self._entries.labels(kind)
        for result in ("ok", "failed"):
            self._scrapes.labels(result)
        self._entries_of = {kind: self._entries.labels(kind) for kind in KINDS}

    def follow(
        self, flows: Callable[[], float], cells: Callable[[], float], age_s: Callable[[], float]
    ) -> None:
        """Read these when scraped."""
        self._flows.set_function(flows)
        self._cells.set_function(cells)
        self._age.set_function(age_s)

    def counted(self, kind: str, entries: int) -> None:
        self._entries_of[kind].inc(entries)

    def stream(self, change: int) -> None:
        self._streams.inc(change)

    def stream_refused(self) -> None:
        self._bad.inc()

    def unknown_peer(self) -> None:
        self._unknown.inc()

    def scraped(self, seconds: float, ok: bool) -> None:
        self._scrapes.labels("ok" if ok else "failed").inc()
        self._scrape_time.observe(seconds)

    def directory_failed(self) -> None:
        self._failures.inc()

    def targets(self, count: int) -> None:
        self._targets.set(count)

    def overflowed(self) -> None:
        self._overflow.inc()

    def render(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self.registry)
