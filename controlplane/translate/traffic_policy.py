"""DestinationRule.trafficPolicy onto a cluster: connection pool, outlier detection, load balancer, protocol options."""

from typing import Any

from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2, outlier_detection_pb2
from envoy.config.core.v3 import address_pb2, base_pb2, protocol_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from envoy.type.v3 import percent_pb2
from google.protobuf.wrappers_pb2 import UInt64Value

from controlplane.model.destination_rule import EffectivePolicy, MergedRule, effective_policy
from controlplane.translate.protos import any_of, duration, uint32
from lugsail.api.destination_rule import (
    ConnectionPoolSettings,
    ConsistentHash,
    LoadBalancerSettings,
    OutlierDetection,
    RetryBudget,
    TCPSettings,
)
from lugsail.api.scalars import parse_duration

# Istio writes "no limit" as the largest number, since leaving a threshold out means Envoy's small defaults.
NO_LIMIT = 2**32 - 1
DEFAULT_RING_SIZE = 1024
# Istio's defaults for keepalive fields that were not given are Envoy's (the system's), so only given ones are written.
HTTP_PROTOCOL_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

_Cluster = cluster_pb2.Cluster


def cluster_policy(rule: MergedRule | None, port: int, subset: str) -> EffectivePolicy:
    """The policy for one cluster."""
    return effective_policy(rule, port, subset)


def apply_connection_pool(
    cluster: Any, options: Any, pool: ConnectionPoolSettings | None, retry_budget: RetryBudget | None = None
) -> None:
    """Thresholds, timeouts and keepalive; HTTP settings go into `options` (HttpProtocolOptions)."""
    http = pool.http if pool is not None else None
    tcp = pool.tcp if pool is not None else None
    threshold = circuit_breaker_pb2.CircuitBreakers.Thresholds(
        max_connections=uint32((tcp.max_connections if tcp else 0) or NO_LIMIT),
        max_pending_requests=uint32((http.http1_max_pending_requests if http else 0) or NO_LIMIT),
        max_requests=uint32((http.http2_max_requests if http else 0) or NO_LIMIT),
        max_retries=uint32((http.max_retries if http else 0) or NO_LIMIT),
    )
    if retry_budget is not None:
        threshold.retry_budget.min_retry_concurrency.value = retry_budget.min_retry_concurrency or 3
        threshold.retry_budget.budget_percent.value = 20.0 if retry_budget.percent is None else retry_budget.percent
    cluster.circuit_breakers.thresholds.append(threshold)
    if tcp is not None:
        _apply_tcp(cluster, options, tcp)
    if http is None:
        return
    common = options.common_http_protocol_options
    if http.idle_timeout is not None:
        common.idle_timeout.CopyFrom(duration(parse_duration(http.idle_timeout)))
    if http.max_requests_per_connection > 0:
        common.max_requests_per_connection.value = http.max_requests_per_connection
    if http.use_client_protocol:
        options.use_downstream_protocol_config.http_protocol_options.SetInParent()
        options.use_downstream_protocol_config.http2_protocol_options.SetInParent()


def _apply_tcp(cluster: Any, options: Any, tcp: TCPSettings) -> None:
    if tcp.connect_timeout is not None:
        cluster.connect_timeout.CopyFrom(duration(parse_duration(tcp.connect_timeout)))
    if tcp.max_connection_duration is not None:
        options.common_http_protocol_options.max_connection_duration.CopyFrom(
            duration(parse_duration(tcp.max_connection_duration))
        )
    if tcp.idle_timeout is not None:
        options.common_http_protocol_options.idle_timeout.CopyFrom(duration(parse_duration(tcp.idle_timeout)))
    if tcp.tcp_keepalive is not None:
        keepalive = address_pb2.TcpKeepalive()
        if tcp.tcp_keepalive.probes:
            keepalive.keepalive_probes.value = tcp.tcp_keepalive.probes
        if tcp.tcp_keepalive.time is not None:
            keepalive.keepalive_time.value = int(parse_duration(tcp.tcp_keepalive.time))
        if tcp.tcp_keepalive.interval is not None:
            keepalive.keepalive_interval.value = int(parse_duration(tcp.tcp_keepalive.interval))
        cluster.upstream_connection_options.tcp_keepalive.CopyFrom(keepalive)


def apply_http2(options: Any, port_is_http2: bool, pool: ConnectionPoolSettings | None) -> None:
    """HTTP/2 to the endpoints when the port says so or `h2UpgradePolicy` asks for it."""
    http = pool.http if pool is not None else None
    upgrade = http is not None and http.h2_upgrade_policy == "UPGRADE"
    if not (port_is_http2 or upgrade) or options.HasField("use_downstream_protocol_config"):
        return
    h2 = options.explicit_http_config.http2_protocol_options
    h2.SetInParent()
    if http is not None and http.max_concurrent_streams > 0:
        h2.max_concurrent_streams.value = http.max_concurrent_streams


def set_http_options(cluster: Any, options: Any) -> None:
    """Attach the options unless there is nothing in them. Envoy wants a protocol to be named: HTTP/1.1 by default."""
    if not options.ByteSize():
        return
    if options.WhichOneof("upstream_protocol_options") is None:
        options.explicit_http_config.http_protocol_options.SetInParent()
    cluster.typed_extension_protocol_options[HTTP_PROTOCOL_OPTIONS].CopyFrom(any_of(options))


def http_options() -> Any:
    """Fresh HttpProtocolOptions."""
    return http_protocol_options_pb2.HttpProtocolOptions()


def passthrough_http_options() -> Any:
    """Speak to the original destination what the client spoke."""
    return http_protocol_options_pb2.HttpProtocolOptions(
        common_http_protocol_options=protocol_pb2.HttpProtocolOptions(idle_timeout=duration(300)),
        use_downstream_protocol_config=http_protocol_options_pb2.HttpProtocolOptions.UseDownstreamHttpConfig(
            http_protocol_options=protocol_pb2.Http1ProtocolOptions(),
            http2_protocol_options=protocol_pb2.Http2ProtocolOptions(),
        ),
    )


def apply_outlier_detection(cluster: Any, outlier: OutlierDetection | None) -> None:
    """Ejection. Success-rate ejection is always off, as in Istio."""
    if outlier is None:
        return
    out = outlier_detection_pb2.OutlierDetection(enforcing_success_rate=uint32(0))
    if outlier.consecutive_5xx_errors is not None:
        out.consecutive_5xx.value = outlier.consecutive_5xx_errors
        out.enforcing_consecutive_5xx.value = 100 if outlier.consecutive_5xx_errors else 0
    if outlier.consecutive_gateway_errors is not None:
        out.consecutive_gateway_failure.value = outlier.consecutive_gateway_errors
        out.enforcing_consecutive_gateway_failure.value = 100 if outlier.consecutive_gateway_errors else 0
    if outlier.interval is not None:
        out.interval.CopyFrom(duration(parse_duration(outlier.interval)))
    if outlier.base_ejection_time is not None:
        out.base_ejection_time.CopyFrom(duration(parse_duration(outlier.base_ejection_time)))
    if outlier.max_ejection_percent > 0:
        out.max_ejection_percent.value = outlier.max_ejection_percent
    if outlier.split_external_local_origin_errors:
        out.split_external_local_origin_errors = True
        if outlier.consecutive_local_origin_failures:
            out.consecutive_local_origin_failure.value = outlier.consecutive_local_origin_failures
            out.enforcing_consecutive_local_origin_failure.value = 100
        out.enforcing_local_origin_success_rate.value = 0
    cluster.outlier_detection.CopyFrom(out)
    # Below this share of healthy endpoints Envoy would use the unhealthy ones too; 0 turns that off.
    cluster.common_lb_config.healthy_panic_threshold.CopyFrom(percent_pb2.Percent(value=outlier.min_health_percent))


def apply_load_balancer(cluster: Any, balancer: LoadBalancerSettings | None) -> None:
    """The policy and its parameters. Istio's default is LEAST_REQUEST."""
    if cluster.type == _Cluster.ORIGINAL_DST:
        cluster.lb_policy = _Cluster.CLUSTER_PROVIDED
        return
    simple = balancer.simple if balancer is not None else None
    if simple == "PASSTHROUGH":
        cluster.type = _Cluster.ORIGINAL_DST
        cluster.lb_policy = _Cluster.CLUSTER_PROVIDED
        cluster.ClearField("load_assignment")
        cluster.ClearField("eds_cluster_config")
        return
    if simple == "RANDOM":
        cluster.lb_policy = _Cluster.RANDOM
    elif simple == "ROUND_ROBIN":
        cluster.lb_policy = _Cluster.ROUND_ROBIN
        _apply_warmup(cluster.round_robin_lb_config, balancer)
    else:
        cluster.lb_policy = _Cluster.LEAST_REQUEST
        _apply_warmup(cluster.least_request_lb_config, balancer)
    if balancer is not None and balancer.consistent_hash is not None:
        _apply_consistent_hash(cluster, balancer.consistent_hash)


def _apply_warmup(config: Any, balancer: LoadBalancerSettings | None) -> None:
    if balancer is None:
        return
    warmup = balancer.warmup
    window = warmup.duration if warmup is not None else balancer.warmup_duration_secs
    if window is None:
        return
    slow_start = _Cluster.SlowStartConfig(slow_start_window=duration(parse_duration(window)))
    if warmup is not None and warmup.minimum_percent is not None:
        slow_start.min_weight_percent.CopyFrom(percent_pb2.Percent(value=warmup.minimum_percent))
    if warmup is not None and warmup.aggression is not None:
        # Envoy requires the name of a runtime key; nobody sets it, so the default counts.
        slow_start.aggression.CopyFrom(
            base_pb2.RuntimeDouble(default_value=warmup.aggression, runtime_key="upstream.slow_start.aggression")
        )
    config.slow_start_config.CopyFrom(slow_start)


def _apply_consistent_hash(cluster: Any, consistent: ConsistentHash) -> None:
    if consistent.maglev is not None:
        cluster.lb_policy = _Cluster.MAGLEV
        if consistent.maglev.table_size:
            cluster.maglev_lb_config.table_size.value = consistent.maglev.table_size
        return
    cluster.lb_policy = _Cluster.RING_HASH
    if consistent.ring_hash is not None:
        size = consistent.ring_hash.minimum_ring_size
    else:
        size = consistent.minimum_ring_size or DEFAULT_RING_SIZE
    cluster.ClearField("least_request_lb_config")
    if size:
        cluster.ring_hash_lb_config.minimum_ring_size.CopyFrom(UInt64Value(value=size))
