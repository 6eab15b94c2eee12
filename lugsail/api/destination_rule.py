"""DestinationRule: what happens to traffic for a host after routing (networking.istio.io)."""

from typing import Literal

from pydantic import Field

from lugsail.api.base import ApiModel, MatchLabelsSelector, Resource
from lugsail.api.scalars import Bool, Double, Duration, Int32, UInt32, UInt64
from lugsail.api.virtual_service import PortSelector


class HTTPCookieAttribute(ApiModel):
    """An extra attribute of the generated cookie, such as `SameSite`."""

    name: str = ""
    value: str = ""


class HTTPCookie(ApiModel):
    """Hash on a cookie; with `ttl` the proxy makes the cookie when it is missing (0s: a session cookie)."""

    name: str = ""
    path: str = ""
    ttl: Duration | None = None
    attributes: tuple[HTTPCookieAttribute, ...] = ()


class RingHash(ApiModel):
    """Ketama ring."""

    minimum_ring_size: UInt64 = 0


class MagLev(ApiModel):
    """Maglev table; the size is a prime."""

    table_size: UInt64 = 0


class ConsistentHash(ApiModel):
    """Exactly one key to hash on, and at most one algorithm."""

    http_header_name: str | None = None
    http_cookie: HTTPCookie | None = None
    use_source_ip: Bool | None = None
    http_query_parameter_name: str | None = None
    ring_hash: RingHash | None = None
    maglev: MagLev | None = None
    minimum_ring_size: UInt64 = 0


class LocalityDistribute(ApiModel):
    """Shares (percent) of traffic from one locality to others."""

    from_: str = Field(default="", alias="from")
    to: dict[str, UInt32] = Field(default_factory=dict)


class LocalityFailover(ApiModel):
    """Which region takes over for another."""

    from_: str = Field(default="", alias="from")
    to: str = ""


class LocalityLbSetting(ApiModel):
    """Locality-aware balancing; `distribute`, `failover` exclude each other."""

    distribute: tuple[LocalityDistribute, ...] = ()
    failover: tuple[LocalityFailover, ...] = ()
    failover_priority: tuple[str, ...] = ()
    enabled: Bool | None = None


class WarmupConfiguration(ApiModel):
    """Slow start of new endpoints. Percent 0 to 100, aggression at least 1."""

    duration: Duration | None = None
    minimum_percent: Double | None = None
    aggression: Double | None = None


class LoadBalancerSettings(ApiModel):
    """`simple` or `consistentHash`, not both."""

    simple: (
        Literal["UNSPECIFIED", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST"] | None
    ) = None
    consistent_hash: ConsistentHash | None = None
    locality_lb_setting: LocalityLbSetting | None = None
    warmup_duration_secs: Duration | None = None
    warmup: WarmupConfiguration | None = None


class TcpKeepalive(ApiModel):
    """SO_KEEPALIVE settings."""

    probes: UInt32 = 0
    time: Duration | None = None
    interval: Duration | None = None


class TCPSettings(ApiModel):
    """Limits of connections, for HTTP and TCP alike."""

    max_connections: Int32 = 0
    connect_timeout: Duration | None = None
    tcp_keepalive: TcpKeepalive | None = None
    max_connection_duration: Duration | None = None
    idle_timeout: Duration | None = None


class HTTPSettings(ApiModel):
    """Limits of requests. 0 is unset."""

    http1_max_pending_requests: Int32 = 0
    http2_max_requests: Int32 = 0
    max_requests_per_connection: Int32 = 0
    max_retries: Int32 = 0
    idle_timeout: Duration | None = None
    h2_upgrade_policy: Literal["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"] = "DEFAULT"
    use_client_protocol: Bool = False
    max_concurrent_streams: Int32 = 0


class ConnectionPoolSettings(ApiModel):
    """Circuit breaking by volume."""

    tcp: TCPSettings | None = None
    http: HTTPSettings | None = None


class OutlierDetection(ApiModel):
    """Ejection of endpoints that fail."""

    consecutive_errors: Int32 = 0
    split_external_local_origin_errors: Bool = False
    consecutive_local_origin_failures: UInt32 | None = None
    consecutive_gateway_errors: UInt32 | None = None
    consecutive_5xx_errors: UInt32 | None = None
    interval: Duration | None = None
    base_ejection_time: Duration | None = None
    max_ejection_percent: Int32 = 0
    min_health_percent: Int32 = 0


class ClientTLSSettings(ApiModel):
    """TLS towards the destination."""

    mode: Literal["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"] = "DISABLE"
    client_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    credential_name: str = ""
    subject_alt_names: tuple[str, ...] = ()
    sni: str = ""
    insecure_skip_verify: Bool | None = None
    ca_crl: str = ""


class TunnelSettings(ApiModel):
    """CONNECT or POST through an HTTP proxy."""

    protocol: str = ""
    target_host: str = ""
    target_port: UInt32 = 0


class ProxyProtocol(ApiModel):
    """HAProxy's PROXY protocol towards the destination."""

    version: Literal["V1", "V2"] = "V1"


class RetryBudget(ApiModel):
    """Retries in flight as a share of requests in flight."""

    percent: Double | None = None
    min_retry_concurrency: UInt32 = 0
    budget_interval: Duration | None = None


class PortTrafficPolicy(ApiModel):
    """A policy for one port. It replaces the destination's policy whole, fields left out are defaults."""

    port: PortSelector | None = None
    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None


class TrafficPolicy(ApiModel):
    """A policy for all ports of a destination, or of a subset of it."""

    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None
    port_level_settings: tuple[PortTrafficPolicy, ...] = ()
    tunnel: TunnelSettings | None = None
    proxy_protocol: ProxyProtocol | None = None
    retry_budget: RetryBudget | None = None


class Subset(ApiModel):
    """The endpoints of the host that carry these labels."""

    name: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    traffic_policy: TrafficPolicy | None = None


class DestinationRuleSpec(ApiModel):
    """`host` is a service of the registry; a short name is resolved in the rule's own namespace."""

    host: str = ""
    traffic_policy: TrafficPolicy | None = None
    subsets: tuple[Subset, ...] = ()
    export_to: tuple[str, ...] = ()
    workload_selector: MatchLabelsSelector | None = None


class DestinationRule(Resource):
    """DestinationRule."""

    spec: DestinationRuleSpec
