"""The counters of one connection manager: `http.PREFIX.…` with Envoy's names."""

from __future__ import annotations

from sidecar.telemetry.stats import Counter, Stats
from sidecar.upstream.cluster_stats import StatusCounters

_COUNTERS = {
    "rq_total": "downstream_rq_total",
    "rq_completed": "downstream_rq_completed",
    "rq_http1_total": "downstream_rq_http1_total",
    "rq_rx_reset": "downstream_rq_rx_reset",
    "rq_tx_reset": "downstream_rq_tx_reset",
    "rq_idle_timeout": "downstream_rq_idle_timeout",
    "rq_timeout": "downstream_rq_timeout",
    "rq_header_timeout": "downstream_rq_header_timeout",
    "rq_max_duration_reached": "downstream_rq_max_duration_reached",
    "rq_too_large": "downstream_rq_too_large",
    "rq_ws_on_non_ws_route": "downstream_rq_ws_on_non_ws_route",
    "cx_total": "downstream_cx_total",
    "cx_http1_total": "downstream_cx_http1_total",
    "cx_destroy": "downstream_cx_destroy",
    "cx_destroy_remote_active_rq": "downstream_cx_destroy_remote_active_rq",
    "cx_idle_timeout": "downstream_cx_idle_timeout",
    "cx_max_duration_reached": "downstream_cx_max_duration_reached",
    "cx_drain_close": "downstream_cx_drain_close",
    "cx_protocol_error": "downstream_cx_protocol_error",
    "cx_rx_bytes": "downstream_cx_rx_bytes_total",
    "cx_tx_bytes": "downstream_cx_tx_bytes_total",
    "cx_upgrades_total": "downstream_cx_upgrades_total",
}


class HttpStats:
    """Counters and gauges as attributes."""

    __slots__ = (*_COUNTERS, "codes", "cx_active", "rq_active", "rq_time")

    rq_total: Counter
    rq_completed: Counter
    rq_http1_total: Counter
    rq_rx_reset: Counter
    rq_tx_reset: Counter
    rq_idle_timeout: Counter
    rq_timeout: Counter
    rq_header_timeout: Counter
    rq_max_duration_reached: Counter
    rq_too_large: Counter
    rq_ws_on_non_ws_route: Counter
    cx_total: Counter
    cx_http1_total: Counter
    cx_destroy: Counter
    cx_destroy_remote_active_rq: Counter
    cx_idle_timeout: Counter
    cx_max_duration_reached: Counter
    cx_drain_close: Counter
    cx_protocol_error: Counter
    cx_rx_bytes: Counter
    cx_tx_bytes: Counter
    cx_upgrades_total: Counter

    def __init__(self, stats: Stats, prefix: str) -> None:
        base = f"http.{prefix}."
        for attribute, name in _COUNTERS.items():
            setattr(self, attribute, stats.counter(base + name))
        self.cx_active = stats.gauge(base + "downstream_cx_active")
        self.rq_active = stats.gauge(base + "downstream_rq_active")
        self.rq_time = stats.histogram(base + "downstream_rq_time")
        self.codes = StatusCounters(stats, base + "downstream_rq_", with_codes=False)
