"""Clusters as the data path reads them. Durations are milliseconds; None means "no limit" or "off"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sidecar.config.endpoints import Endpoints
from sidecar.config.matchers import StringMatch

ClusterType = Literal["static", "eds", "strict_dns", "logical_dns", "original_dst"]
LbKind = Literal["round_robin", "random", "least_request", "ring_hash", "maglev", "cluster_provided"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadBalancing:
    """lb_policy with its settings and common_lb_config. `panic_threshold` is a fraction in [0, 1], 0 = never panic."""

    kind: LbKind = "round_robin"
    panic_threshold: float = 0.5
    fail_traffic_on_panic: bool = False
    locality_weighted: bool = False
    choice_count: int = 2
    active_request_bias: float = 1.0
    minimum_ring_size: int = 1024
    maximum_ring_size: int = 8 * 1024 * 1024
    maglev_table_size: int = 65537
    #: ORIGINAL_DST: this port instead of the original one.
    port_override: int | None = None
    #: ORIGINAL_DST: the address comes from this request header (lower-case), when there.
    address_header: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Limits of one priority (envoy.config.cluster.v3.CircuitBreakers.Thresholds).

    `retry_budget` is (fraction of active requests, smallest number of concurrent retries); it replaces `max_retries`.
    """

    max_connections: int = 1024
    max_pending_requests: int = 1024
    max_requests: int = 1024
    max_retries: int = 3
    retry_budget: tuple[float, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreakers:
    """Thresholds by routing priority."""

    default: Thresholds = Thresholds()
    high: Thresholds = Thresholds()


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlierDetection:
    """envoy.config.cluster.v3.OutlierDetection. Enforcing values are fractions in [0, 1]; a count of 0 is off."""

    consecutive_5xx: int = 5
    consecutive_gateway_failure: int = 5
    consecutive_local_origin_failure: int = 5
    interval_ms: float = 10_000.0
    base_ejection_ms: float = 30_000.0
    max_ejection_ms: float = 300_000.0
    max_ejection_jitter_ms: float = 0.0
    max_ejection_fraction: float = 0.1
    always_eject_one: bool = False
    enforcing_consecutive_5xx: float = 1.0
    enforcing_consecutive_gateway_failure: float = 0.0
    enforcing_consecutive_local_origin_failure: float = 1.0
    enforcing_success_rate: float = 1.0
    success_rate_minimum_hosts: int = 5
    success_rate_request_volume: int = 100
    success_rate_stdev_factor: float = 1.9
    enforcing_failure_percentage: float = 0.0
    failure_percentage_threshold: float = 0.85
    failure_percentage_minimum_hosts: int = 5
    failure_percentage_request_volume: int = 50
    split_local_origin_errors: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """HttpProtocolOptions of the upstream side, where HTTP/1.1 is spoken."""

    idle_timeout_ms: float | None = 3_600_000.0
    max_connection_duration_ms: float | None = None
    max_requests_per_connection: int | None = None
    max_response_headers_bytes: int = 60 * 1024
    max_headers_count: int = 100
    #: The endpoints want HTTP/2: spans over gRPC are sent to them, requests are not.
    http2: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamTls:
    """TLS towards endpoints. `ca_file` "" with `verify` means the system's roots.

    `verify` False sends to anybody (Istio: insecureSkipVerify, or no CA given). `match_names` are accepted subject
    alternative names; empty means that any name will do.
    """

    sni: str = ""
    verify: bool = False
    ca_file: str = ""
    ca_pem: bytes = b""
    certificate_file: str = ""
    private_key_file: str = ""
    match_names: tuple[StringMatch, ...] = ()
    alpn: tuple[str, ...] = ()
    minimum_version: str = "TLSv1_2"
    maximum_version: str = "TLSv1_3"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportSocketMatch:
    """One row of transport_socket_matches: endpoints whose labels hold all of `labels` use `tls` (None: plain text)."""

    name: str
    labels: Mapping[str, str] = field(hash=False)
    tls: UpstreamTls | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpKeepalive:
    """TCP keep-alive of upstream connections; None leaves the system's value."""

    probes: int | None = None
    time_s: int | None = None
    interval_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dns:
    """How clusters with names resolve them."""

    refresh_ms: float = 5_000.0
    failure_base_ms: float = 5_000.0
    failure_max_ms: float = 5_000.0
    jitter_ms: float = 0.0
    family: Literal["auto", "v4_only", "v6_only", "v4_preferred", "all"] = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service that a cluster stands for: metadata filter_metadata.istio.services."""

    host: str
    name: str
    namespace: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """envoy.config.cluster.v3.Cluster.

    `eds_service_name` names the endpoints of type "eds"; other types have theirs in `endpoints`. `stat_name` is what
    statistics are counted under. `source` is the resource that shaped the cluster (metadata istio.config), or "".
    """

    name: str
    type: ClusterType
    stat_name: str = ""
    eds_service_name: str = ""
    connect_timeout_ms: float = 5_000.0
    buffer_limit_bytes: int = 1024 * 1024
    lb: LoadBalancing = LoadBalancing()
    endpoints: Endpoints | None = None
    circuit_breakers: CircuitBreakers = CircuitBreakers()
    outlier: OutlierDetection | None = None
    http: HttpOptions = HttpOptions()
    tls: UpstreamTls | None = None
    transport_matches: tuple[TransportSocketMatch, ...] = ()
    keepalive: TcpKeepalive | None = None
    #: Local address of upstream connections, "" = the system chooses.
    bind_address: str = ""
    dns: Dns = Dns()
    services: tuple[Service, ...] = ()
    source: str = ""

    def tls_for(self, labels: Mapping[str, str]) -> UpstreamTls | None:
        """The TLS settings for an endpoint with these transport labels: the first match, else the cluster's own."""
        for row in self.transport_matches:
            if all(labels.get(key) == value for key, value in row.labels.items()):
                return row.tls
        return self.tls
