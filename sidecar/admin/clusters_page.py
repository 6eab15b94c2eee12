"""/clusters in Envoy's text and JSON: every cluster with its limits and its hosts as they are now."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from envoy.admin.v3 import clusters_pb2, metrics_pb2
from envoy.config.core.v3 import base_pb2, health_check_pb2

from sidecar.admin.render import to_dict
from sidecar.config.clusters import Thresholds
from sidecar.upstream.cluster import ClusterRuntime
from sidecar.upstream.host import Host

_HEALTH = {
    "healthy": health_check_pb2.HEALTHY,
    "unhealthy": health_check_pb2.UNHEALTHY,
    "draining": health_check_pb2.DRAINING,
}


def clusters_text(clusters: Iterable[ClusterRuntime]) -> str:
    """`name::address::statistic::value` lines."""
    lines: list[str] = []
    for cluster in sorted(clusters, key=lambda one: one.name):
        name = cluster.name
        lines.append(f"{name}::observability_name::{cluster.config.stat_name or name}")
        breakers = cluster.config.circuit_breakers
        for priority, limits in (("default", breakers.default), ("high", breakers.high)):
            for field, value in _limits(limits):
                lines.append(f"{name}::{priority}_priority::{field}::{value}")
        lines.append(f"{name}::added_via_api::true")
        if cluster.config.eds_service_name:
            lines.append(f"{name}::eds_service_name::{cluster.config.eds_service_name}")
        for host in cluster.hosts:
            lines += [f"{name}::{host.address}::{field}::{value}" for field, value in _host_lines(host)]
    return "".join(line + "\n" for line in lines)


def clusters_json(clusters: Iterable[ClusterRuntime]) -> dict[str, Any]:
    """envoy.admin.v3.Clusters as JSON data."""
    return {"cluster_statuses": [to_dict(_status(one)) for one in sorted(clusters, key=lambda one: one.name)]}


def _limits(limits: Thresholds) -> tuple[tuple[str, int], ...]:
    return (
        ("max_connections", limits.max_connections),
        ("max_pending_requests", limits.max_pending_requests),
        ("max_requests", limits.max_requests),
        ("max_retries", limits.max_retries),
    )


def _counters(host: Host) -> tuple[tuple[str, int], ...]:
    return (
        ("cx_connect_fail", host.connect_failures),
        ("cx_total", host.connections_total),
        ("rq_error", host.requests_error),
        ("rq_success", host.requests_success),
        ("rq_timeout", host.requests_timeout),
        ("rq_total", host.requests_total),
    )


def _gauges(host: Host) -> tuple[tuple[str, int], ...]:
    return (
        ("cx_active", host.active_connections),
        ("rq_active", host.active_requests),
        ("rq_pending_active", len(host.pool.pending) if host.pool is not None else 0),
    )


def _host_lines(host: Host) -> Iterable[tuple[str, object]]:
    locality = host.locality
    yield from sorted((*_counters(host), *_gauges(host)))
    yield "hostname", host.endpoint.hostname
    yield "health_flags", _health_flags(host)
    yield "weight", host.weight
    yield "region", locality.region if locality is not None else ""
    yield "zone", locality.zone if locality is not None else ""
    yield "sub_zone", locality.sub_zone if locality is not None else ""
    yield "canary", "false"
    yield "priority", host.priority
    # Envoy keeps these only while outlier detection counts success rates, which Istio turns off.
    yield "success_rate", -1
    yield "local_origin_success_rate", -1


def _health_flags(host: Host) -> str:
    flags = []
    if host.failed_health_check:
        flags.append("/failed_active_hc")
    if host.ejected:
        flags.append("/failed_outlier_check")
    if not host.endpoint.healthy:
        flags.append("/failed_eds_health")
    return "".join(flags) or "healthy"


def _status(cluster: ClusterRuntime) -> clusters_pb2.ClusterStatus:
    config = cluster.config
    status = clusters_pb2.ClusterStatus(
        name=cluster.name,
        added_via_api=True,
        observability_name=config.stat_name or cluster.name,
        eds_service_name=config.eds_service_name,
    )
    for priority, limits in (
        (base_pb2.DEFAULT, config.circuit_breakers.default),
        (base_pb2.HIGH, config.circuit_breakers.high),
    ):
        thresholds = status.circuit_breakers.thresholds.add(priority=priority)
        for field, value in _limits(limits):
            getattr(thresholds, field).value = value
    for host in cluster.hosts:
        _add_host(status, host)
    return status


def _add_host(status: clusters_pb2.ClusterStatus, host: Host) -> None:
    shown = status.host_statuses.add(weight=host.weight, priority=host.priority, hostname=host.endpoint.hostname)
    endpoint = host.endpoint
    if endpoint.port:
        shown.address.socket_address.address = endpoint.address
        shown.address.socket_address.port_value = endpoint.port
    else:
        shown.address.pipe.path = endpoint.address
    for name, value in _counters(host):
        shown.stats.add(name=name, value=value)
    gauge = metrics_pb2.SimpleMetric.GAUGE
    for name, value in _gauges(host):
        shown.stats.add(name=name, value=value, type=gauge)
    shown.health_status.eds_health_status = _HEALTH[endpoint.health]
    shown.health_status.failed_outlier_check = host.ejected
    shown.health_status.failed_active_health_check = host.failed_health_check
    if host.locality is not None:
        shown.locality.region = host.locality.region
        shown.locality.zone = host.locality.zone
        shown.locality.sub_zone = host.locality.sub_zone
