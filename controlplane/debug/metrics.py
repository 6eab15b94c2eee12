"""The control plane's Prometheus metrics, under the names that Istio's dashboards ask for.

Each has a row in docs/reference/control-plane-metrics.md; a test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from controlplane.xds.observer import XdsObserver

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0)
_BYTES = (1_000, 10_000, 100_000, 1_000_000, 4_000_000, 10_000_000, 40_000_000)
_KINDS = ("cds", "eds", "lds", "rds", "nds", "wds")
_GAUGE_TYPE = re.compile(rb"^(# TYPE \S+ )gauge$", re.MULTILINE)


class IstioCounter(Gauge):
    """A counter whose name has no `_total` behind it, as Istio writes them; the client library would add it.

    Such counters stand in a registry apart, whose exposition says `counter` (see `ControlPlaneMetrics.render`).
    """


class ControlPlaneMetrics(XdsObserver):
    """All of them, in registries of their own. Times in seconds, label `type` is cds, eds, lds, rds, nds or wds."""

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
        self.istio_counters = counters = CollectorRegistry()
        self._streams = Gauge("pilot_xds", "Streams that are connected", registry=r)
        self._pushes = IstioCounter("pilot_xds_pushes", "Responses sent", ("type",), registry=counters)
        self._send_errors = IstioCounter("pilot_xds_send_errors", "Responses that failed", ("type",), registry=counters)
        self._push_time = Histogram(
            "pilot_xds_push_time", "Building one type for one proxy", ("type",), buckets=_SECONDS, registry=r
        )
        self._ack_time = Histogram(
            "pilot_xds_ack_time", "From a response to its ACK", ("type",), buckets=_SECONDS, registry=r
        )
        self._size = Histogram(
            "pilot_xds_config_size_bytes", "Size of responses", ("type",), buckets=_BYTES, registry=r
        )
        self._rejects = IstioCounter("pilot_total_xds_rejects", "Responses that proxies rejected", registry=counters)
        self._rejects_of = {
            kind: IstioCounter(f"pilot_xds_{kind}_reject", f"{kind.upper()} responses rejected", registry=counters)
            for kind in _KINDS
        }
        self._internal_errors = IstioCounter(
            "pilot_total_xds_internal_errors", "Translations and snapshots that failed", registry=counters
        )
        self._queue_time = Histogram(
            "pilot_proxy_queue_time", "How long a push waited for its proxy", buckets=_SECONDS, registry=r
        )
        self._convergence = Histogram(
            "pilot_proxy_convergence_time", "From a change to its push to one proxy", buckets=_SECONDS, registry=r
        )
        self._triggers = IstioCounter("pilot_push_triggers", "What caused pushes", ("type",), registry=counters)
        self._snapshot_time = Histogram(
            "pilot_pushcontext_init_seconds", "Building the mesh snapshot", buckets=_SECONDS, registry=r
        )
        self._events = IstioCounter(
            "pilot_k8s_cfg_events", "Changes of resources", ("type", "event"), registry=counters
        )
        self._services = Gauge("pilot_services", "Services in the mesh", registry=r)
        self._revision = Gauge("lugsail_revision", "The store's revision", registry=r)
        self._source_errors = Gauge("lugsail_source_errors", "Registry sources that are failing", registry=r)
        ProcessCollector(registry=r)
        GCCollector(registry=r)
        #: Seconds spent on snapshots and translation so far.
        self.work_s = 0.0
        # Bound once: they are touched for every type of every proxy. And a series exists before its first event,
        # so that rate() sees the first one.
        self._pushes_of = {kind: self._pushes.labels(kind) for kind in _KINDS}
        self._push_time_of = {kind: self._push_time.labels(kind) for kind in _KINDS}
        self._ack_time_of = {kind: self._ack_time.labels(kind) for kind in _KINDS}
        self._size_of = {kind: self._size.labels(kind) for kind in _KINDS}

    def follow(
        self, services: Callable[[], float], revision: Callable[[], float], source_errors: Callable[[], float]
    ) -> None:
        """Read these when scraped."""
        self._services.set_function(services)
        self._revision.set_function(revision)
        self._source_errors.set_function(source_errors)

    def render(self) -> bytes:
        """The text exposition format."""
        counters = _GAUGE_TYPE.sub(rb"\1counter", generate_latest(self.istio_counters))
        return generate_latest(self.registry) + counters

    def config_event(self, kind: str, event: str) -> None:
        """A resource was added, modified or deleted (`event`: add, update, delete)."""
        self._events.labels(kind, event).inc()

    # XdsObserver

    def connected(self, count: int) -> None:
        self._streams.set(count)

    def pushed(self, kind: str, size_bytes: int) -> None:
        self._pushes_of[kind.lower()].inc()
        self._size_of[kind.lower()].observe(size_bytes)

    def send_failed(self, kind: str) -> None:
        self._send_errors.labels(kind.lower()).inc()

    def rejected(self, kind: str) -> None:
        self._rejects.inc()
        counter = self._rejects_of.get(kind.lower())
        if counter is not None:
            counter.inc()

    def acknowledged(self, kind: str, seconds: float) -> None:
        self._ack_time_of[kind.lower()].observe(seconds)

    def translated(self, kind: str, seconds: float) -> None:
        self.work_s += seconds
        self._push_time_of[kind.lower()].observe(seconds)

    def translation_failed(self, kind: str) -> None:
        self._internal_errors.inc()

    def queued(self, seconds: float) -> None:
        self._queue_time.observe(seconds)

    def converged(self, seconds: float) -> None:
        self._convergence.observe(seconds)

    def triggered(self, triggers: dict[str, int]) -> None:
        for name, count in triggers.items():
            self._triggers.labels(name).inc(count)

    def snapshot_built(self, seconds: float) -> None:
        self.work_s += seconds
        self._snapshot_time.observe(seconds)

    def snapshot_failed(self) -> None:
        self._internal_errors.inc()


def metric_kinds(metrics: ControlPlaneMetrics) -> dict[str, str]:
    """Every metric's name as it is scraped, without `_bucket`, `_sum`, `_count`, → counter, gauge or histogram."""
    types = re.findall(r"^# TYPE (\S+) (\w+)$", metrics.render().decode(), re.MULTILINE)
    return {name: kind for name, kind in types if not name.endswith("_created")}
