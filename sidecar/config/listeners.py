"""Listeners, their filter chains and the two network filters that end a chain: HTTP connection manager and TCP proxy.

Durations are milliseconds; None means "no limit" or "off".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Literal

from sidecar.config.routes import RouteConfiguration
from sidecar.config.tracing import Tracing

Network = IPv4Network | IPv6Network

#: The system makes net.core.somaxconn of it, Envoy's default on Linux.
MOST_BACKLOG = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessLog:
    """envoy.access_loggers.file (or stdout, stderr).

    `render(info)` gives the line, its end included. `keep(info)` says whether a request is logged; None logs all.
    """

    path: str
    render: Callable[[Any], str]
    keep: Callable[[Any], bool] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedTcpCluster:
    """One branch of a TCP proxy's weighted clusters."""

    cluster: str
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpProxy:
    """envoy.filters.network.tcp_proxy. `cluster` is "" where `weighted` has branches."""

    stat_prefix: str
    cluster: str = ""
    weighted: tuple[WeightedTcpCluster, ...] = ()
    idle_timeout_ms: float | None = 3_600_000.0
    max_connect_attempts: int = 1
    hash_source_ip: bool = False
    access_logs: tuple[AccessLog, ...] = ()

    def pick(self, random: float) -> str:
        """The cluster for a connection, by a number in [0, 1)."""
        if not self.weighted:
            return self.cluster
        left = random * sum(branch.weight for branch in self.weighted)
        for branch in self.weighted:
            left -= branch.weight
            if left < 0:
                return branch.cluster
        return self.weighted[-1].cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardedClientCert:
    """What is done with x-forwarded-client-cert; there is no TLS towards clients whose details could be set in it."""

    mode: Literal["sanitize", "forward_only", "append_forward", "sanitize_set", "always_forward_only"] = "sanitize"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HttpConnectionManager:
    """envoy.filters.network.http_connection_manager. Either `route_config` or `rds_name` is set.

    `http_filters` are `sidecar.filters.base.HttpFilter` objects in order, without the router that ends them.
    """

    stat_prefix: str
    rds_name: str = ""
    route_config: RouteConfiguration | None = None
    http_filters: tuple[Any, ...] = ()
    access_logs: tuple[AccessLog, ...] = ()
    use_remote_address: bool = False
    xff_trusted_hops: int = 0
    skip_xff_append: bool = False
    forward_client_cert: ForwardedClientCert = ForwardedClientCert()
    generate_request_id: bool = True
    preserve_external_request_id: bool = False
    always_set_request_id_in_response: bool = False
    server_name: bytes = b"envoy"
    server_header: Literal["overwrite", "append_if_absent", "pass_through"] = "overwrite"
    via: bytes = b""
    proxy_100_continue: bool = False
    normalize_path: bool = False
    merge_slashes: bool = False
    escaped_slashes: Literal["keep", "reject", "unescape_redirect", "unescape_forward"] = "keep"
    upgrades: frozenset[bytes] = frozenset()
    accept_http_10: bool = False
    max_request_headers_bytes: int = 60 * 1024
    max_headers_count: int = 100
    max_requests_per_connection: int | None = None
    idle_timeout_ms: float | None = 3_600_000.0
    max_connection_duration_ms: float | None = None
    max_stream_duration_ms: float | None = None
    stream_idle_timeout_ms: float | None = 300_000.0
    request_timeout_ms: float | None = None
    request_headers_timeout_ms: float | None = None
    delayed_close_timeout_ms: float | None = 1_000.0
    #: The router filter's suppress_envoy_headers: no x-envoy-* headers are added.
    suppress_envoy_headers: bool = False
    tracing: Tracing | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterChainMatch:
    """envoy.config.listener.v3.FilterChainMatch; an empty field matches all. Server names are lower-case."""

    destination_port: int | None = None
    destination_networks: tuple[Network, ...] = ()
    server_names: tuple[str, ...] = ()
    transport_protocol: str = ""
    application_protocols: tuple[str, ...] = ()
    direct_source_networks: tuple[Network, ...] = ()
    source_type: Literal["any", "same_ip_or_loopback", "external"] = "any"
    source_networks: tuple[Network, ...] = ()
    source_ports: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FilterChain:
    """One filter chain: its match and the network filter that ends it (`http` or `tcp`, never both)."""

    name: str = ""
    match: FilterChainMatch = FilterChainMatch()
    http: HttpConnectionManager | None = None
    tcp: TcpProxy | None = None
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerFilter:
    """A listener filter by its kind. `disabled(destination_port)` says where it is skipped; None: nowhere."""

    kind: Literal["original_dst", "tls_inspector", "http_inspector"]
    disabled: Callable[[int], bool] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Listener:
    """envoy.config.listener.v3.Listener on a TCP address.

    `addresses` are (ip, port), the first the main one. `bind` False: connections reach it only through a listener
    with `use_original_dst` that hands them over by original destination. `rds_names` are the route configurations it
    waits for. `inbound`: its traffic is for the workload itself.
    """

    name: str
    addresses: tuple[tuple[str, int], ...]
    filter_chains: tuple[FilterChain, ...] = ()
    default_filter_chain: FilterChain | None = None
    bind: bool = True
    use_original_dst: bool = False
    listener_filters: tuple[ListenerFilter, ...] = ()
    listener_filters_timeout_ms: float | None = 15_000.0
    continue_on_listener_filters_timeout: bool = False
    backlog: int = MOST_BACKLOG
    reuse_port: bool = True
    stat_prefix: str = ""
    rds_names: frozenset[str] = field(default_factory=frozenset)
    inbound: bool = False
