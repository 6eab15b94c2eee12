"""What guards a cluster's hosts: circuit breakers and outlier detection."""

from __future__ import annotations

from typing import Any

from sidecar.compiler.ignored import check
from sidecar.config.clusters import CircuitBreakers, OutlierDetection, Thresholds
from sidecar.config.protos import duration_ms, wrapped
from sidecar.config.rejected import At

_THRESHOLD_FIELDS = (
    "priority",
    "max_connections",
    "max_pending_requests",
    "max_requests",
    "max_retries",
    "retry_budget",
)
#: OutlierDetection's plain counts, which keep their names.
_COUNTS = (
    "consecutive_5xx",
    "consecutive_gateway_failure",
    "consecutive_local_origin_failure",
    "success_rate_minimum_hosts",
    "success_rate_request_volume",
    "failure_percentage_minimum_hosts",
    "failure_percentage_request_volume",
)
#: OutlierDetection's percentages, which become fractions: (field of the proto, field of ours).
_PERCENTAGES = (
    ("max_ejection_percent", "max_ejection_fraction"),
    ("enforcing_consecutive_5xx", "enforcing_consecutive_5xx"),
    ("enforcing_consecutive_gateway_failure", "enforcing_consecutive_gateway_failure"),
    ("enforcing_consecutive_local_origin_failure", "enforcing_consecutive_local_origin_failure"),
    ("enforcing_success_rate", "enforcing_success_rate"),
    ("enforcing_failure_percentage", "enforcing_failure_percentage"),
    ("failure_percentage_threshold", "failure_percentage_threshold"),
)
_DURATIONS = (
    ("interval", "interval_ms"),
    ("base_ejection_time", "base_ejection_ms"),
    ("max_ejection_time_jitter", "max_ejection_jitter_ms"),
)
_OTHERS = (
    "success_rate_stdev_factor",
    "split_external_local_origin_errors",
    "max_ejection_time",
    "always_eject_one_host",
)
_OUTLIER_FIELDS = (*_COUNTS, *(f for f, _ in _PERCENTAGES), *(f for f, _ in _DURATIONS), *_OTHERS)


def compile_circuit_breakers(breakers: Any, at: At) -> CircuitBreakers:
    """envoy.config.cluster.v3.CircuitBreakers; the first thresholds of a priority count."""
    check(breakers, ("thresholds",), at)
    found: dict[int, Thresholds] = {}
    for index, limits in enumerate(breakers.thresholds):
        place = at.field("thresholds", index)
        check(limits, _THRESHOLD_FIELDS, place)
        budget = None
        if limits.HasField("retry_budget"):
            share = limits.retry_budget.budget_percent.value if limits.retry_budget.HasField("budget_percent") else 20.0
            budget = (share / 100, wrapped(limits.retry_budget, "min_retry_concurrency", 3))
        defaults = Thresholds()
        found.setdefault(
            limits.priority,
            Thresholds(
                max_connections=wrapped(limits, "max_connections", defaults.max_connections),
                max_pending_requests=wrapped(limits, "max_pending_requests", defaults.max_pending_requests),
                max_requests=wrapped(limits, "max_requests", defaults.max_requests),
                max_retries=wrapped(limits, "max_retries", defaults.max_retries),
                retry_budget=budget,
            ),
        )
    return CircuitBreakers(default=found.get(0, Thresholds()), high=found.get(1, Thresholds()))


def compile_outlier_detection(outlier: Any, at: At) -> OutlierDetection:
    """envoy.config.cluster.v3.OutlierDetection."""
    check(outlier, _OUTLIER_FIELDS, at)
    values: dict[str, Any] = {name: getattr(outlier, name).value for name in _COUNTS if outlier.HasField(name)}
    for name, ours in _PERCENTAGES:
        if outlier.HasField(name):
            percent = getattr(outlier, name).value
            if percent > 100:
                at.field(name).reject(f"{percent} is more than 100 percent")
            values[ours] = percent / 100
    for name, ours in _DURATIONS:
        if outlier.HasField(name):
            values[ours] = duration_ms(outlier, name, at)
            if not values[ours] and name != "max_ejection_time_jitter":
                at.field(name).reject("must be more than 0s")
    longest_ms = duration_ms(outlier, "max_ejection_time", at)
    base_ms = values.get("base_ejection_ms", OutlierDetection().base_ejection_ms)
    values["max_ejection_ms"] = max(300_000.0, base_ms) if longest_ms is None else longest_ms
    if outlier.HasField("success_rate_stdev_factor"):
        values["success_rate_stdev_factor"] = outlier.success_rate_stdev_factor.value / 1000
    return OutlierDetection(
        split_local_origin_errors=outlier.split_external_local_origin_errors,
        always_eject_one=wrapped(outlier, "always_eject_one_host", False),
        **values,
    )
