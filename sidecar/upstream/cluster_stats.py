"""The counters of one cluster, bound once: `cluster.NAME.…` with Envoy's names."""

from __future__ import annotations

from sidecar.telemetry.stats import Counter, Stats

_COUNTERS = {
    "rq_total": "upstream_rq_total",
    "rq_completed": "upstream_rq_completed",
    "rq_pending_total": "upstream_rq_pending_total",
    "rq_pending_overflow": "upstream_rq_pending_overflow",
    "rq_pending_failure_eject": "upstream_rq_pending_failure_eject",
    "rq_cancelled": "upstream_rq_cancelled",
    "rq_timeout": "upstream_rq_timeout",
    "rq_max_duration_reached": "upstream_rq_max_duration_reached",
    "rq_per_try_timeout": "upstream_rq_per_try_timeout",
    "rq_retry": "upstream_rq_retry",
    "rq_retry_success": "upstream_rq_retry_success",
    "rq_retry_overflow": "upstream_rq_retry_overflow",
    "rq_retry_limit_exceeded": "upstream_rq_retry_limit_exceeded",
    "rq_rx_reset": "upstream_rq_rx_reset",
    "rq_tx_reset": "upstream_rq_tx_reset",
    "cx_total": "upstream_cx_total",
    "cx_http1_total": "upstream_cx_http1_total",
    "cx_connect_fail": "upstream_cx_connect_fail",
    "cx_connect_timeout": "upstream_cx_connect_timeout",
    "cx_overflow": "upstream_cx_overflow",
    "cx_destroy": "upstream_cx_destroy",
    "cx_destroy_with_active_rq": "upstream_cx_destroy_with_active_rq",
    "cx_idle_timeout": "upstream_cx_idle_timeout",
    "cx_max_requests": "upstream_cx_max_requests",
    "cx_none_healthy": "upstream_cx_none_healthy",
    "cx_rx_bytes": "upstream_cx_rx_bytes_total",
    "cx_tx_bytes": "upstream_cx_tx_bytes_total",
    "protocol_error": "upstream_cx_protocol_error",
    "ejections": "outlier_detection.ejections_enforced_total",
    "membership_change": "membership_change",
    "update_attempt": "update_attempt",
    "update_success": "update_success",
    "update_failure": "update_failure",
    "update_empty": "update_empty",
}
_GAUGES = {
    "rq_active": "upstream_rq_active",
    "rq_pending_active": "upstream_rq_pending_active",
    "cx_active": "upstream_cx_active",
    "membership_total": "membership_total",
    "membership_healthy": "membership_healthy",
}


class StatusCounters(dict[int, tuple[Counter, Counter]]):
    """Status code → (the counter of the code, of its class): `…_rq_200` and `…_rq_2xx`, made when first seen."""

    def __init__(self, stats: Stats, prefix: str, with_codes: bool = True) -> None:
        super().__init__()
        self._stats = stats
        self._prefix = prefix
        self._with_codes = with_codes

    def __missing__(self, status: int) -> tuple[Counter, Counter]:
        by_class = self._stats.counter(f"{self._prefix}{status // 100}xx")
        by_code = self._stats.counter(f"{self._prefix}{status}") if self._with_codes else Counter("")
        found = self[status] = (by_code, by_class)
        return found


class ClusterStats:
    """Counters and gauges as attributes; see the tables above for what each is called outside."""

    __slots__ = (*_COUNTERS, *_GAUGES, "codes", "prefix", "rq_time")

    rq_total: Counter
    rq_completed: Counter
    rq_pending_total: Counter
    rq_pending_overflow: Counter
    rq_pending_failure_eject: Counter
    rq_cancelled: Counter
    rq_timeout: Counter
    rq_max_duration_reached: Counter
    rq_per_try_timeout: Counter
    rq_retry: Counter
    rq_retry_success: Counter
    rq_retry_overflow: Counter
    rq_retry_limit_exceeded: Counter
    rq_rx_reset: Counter
    rq_tx_reset: Counter
    cx_total: Counter
    cx_http1_total: Counter
    cx_connect_fail: Counter
    cx_connect_timeout: Counter
    cx_overflow: Counter
    cx_destroy: Counter
    cx_destroy_with_active_rq: Counter
    cx_idle_timeout: Counter
    cx_max_requests: Counter
    cx_none_healthy: Counter
    cx_rx_bytes: Counter
    cx_tx_bytes: Counter
    protocol_error: Counter
    ejections: Counter
    membership_change: Counter
    update_attempt: Counter
    update_success: Counter
    update_failure: Counter
    update_empty: Counter

    def __init__(self, stats: Stats, stat_name: str) -> None:
        self.prefix = f"cluster.{stat_name}."
        for attribute, name in _COUNTERS.items():
            setattr(self, attribute, stats.counter(self.prefix + name))
        self.rq_active = stats.gauge(self.prefix + "upstream_rq_active")
        self.rq_pending_active = stats.gauge(self.prefix + "upstream_rq_pending_active")
        self.cx_active = stats.gauge(self.prefix + "upstream_cx_active")
        self.membership_total = stats.gauge(self.prefix + "membership_total")
        self.membership_healthy = stats.gauge(self.prefix + "membership_healthy")
        self.rq_time = stats.histogram(self.prefix + "upstream_rq_time")
        self.codes = StatusCounters(stats, self.prefix + "upstream_rq_")
