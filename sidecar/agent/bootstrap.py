"""Envoy's bootstrap for one pod, as JSON: the one description that both proxies start from.

The admin page listens on 15000, the proxy's own metrics on 15090 and its readiness on 15021, these two as static
listeners that lead to the admin page. On a machine that pods share, each listens on its own addresses, never on the
wildcard; in a network namespace of its own, a pod's two small pages listen on every address, for these may change.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping
from typing import Any

from sidecar.agent.identity import Identity

ADMIN_PORT, HEALTH_PORT, PROMETHEUS_PORT = 15000, 15021, 15090
#: Of a pod's own network namespace.
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104
#: In such a pod: silence before a ping to the control plane, which takes one a second, and the wait for its answer.
POD_KEEPALIVE_S = (2.0, 3.0)
XDS_CLUSTER, ADMIN_CLUSTER = "xds-grpc", "prometheus_stats"
#: What the control plane's access logs name; an Envoy rejects listeners that name a cluster which is not there.
LOG_SERVICE_CLUSTER = "envoy_accesslog_service"

_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?"
)
_HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_DNS_CLUSTER = "type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster"
_HTTP_OPTIONS = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

# What of a statistic's name becomes a label. Names of clusters hold dots, which Envoy's own rules do not expect: the
# subject ends where a word begins that statistics start with. Istio marks its end with a semicolon besides.
_AFTER_CLUSTER = (
    r"upstream_|(?:external|internal|canary|zone)\.|lb_|membership_|circuit_breakers\.|outlier_detection\.|retry_|update_"
    r"|assignment_|bind_errors|default\.total_match|max_host_weight|original_dst_|http[12]\.|ssl\.[a-z]+_|ssl\.handshake"
    r"|init_fetch_timeout|warming_state|version$|version_text"
)
_AFTER_MANAGER = r"downstream_|rq_|no_route|no_cluster|tracing\.|fault\.|rds\.|passthrough_|user_agent|rbac\.|cors\."
_AFTER_LISTENER = r"downstream_|http\.|no_filter_chain|ssl\.|worker_|connections_"
_STAT_TAGS: tuple[tuple[str, str], ...] = (
    ("envoy.cluster_name", rf"^cluster\.((.+?);?\.)(?:{_AFTER_CLUSTER})"),
    ("envoy.http_conn_manager_prefix", rf"^http\.((.+?);?\.)(?:{_AFTER_MANAGER})"),
    ("envoy.listener_address", rf"^listener\.((.+?)\.)(?:{_AFTER_LISTENER})"),
    ("envoy.tcp_prefix", r"^tcp\.((.+?);?\.)(?:downstream_|upstream_|idle_|max_)"),
    ("envoy.response_code", ""),
    ("envoy.response_code_class", ""),
    ("envoy.rds_route_config", ""),
    ("envoy.worker_id", ""),
)


def build_bootstrap(
    identity: Identity,
    discovery: str,
    admin_address: str,
    *,
    own_network: bool = False,
    access_log_service: str | None = None,
) -> dict[str, Any]:
    """The bootstrap. `discovery` is `host:port` of the control plane's xDS, `admin_address` an IP address.

    `own_network`: the pod has a network namespace to itself, whose address may change.
    `access_log_service`: `host:port` of Envoy's access log service (Istio: `envoyAccessLogService.address`), "" for a
    cluster without endpoints, None for no such cluster.
    """
    source = loopback_source(identity)
    clusters = [
        _grpc_cluster(XDS_CLUSTER, discovery, own_network),
        _static_cluster(ADMIN_CLUSTER, admin_address, ADMIN_PORT),
    ]
    if access_log_service is not None:
        clusters.append(_log_service_cluster(access_log_service, own_network))
    pages = EVERY_ADDRESS if own_network else identity.ip
    ads_only = {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}
    return {
        "node": identity.node(),
        "admin": {"address": _address(admin_address, ADMIN_PORT), "ignore_global_conn_limit": True},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": XDS_CLUSTER}}],
            },
            "cds_config": ads_only,
            "lds_config": ads_only,
        },
        **({"cluster_manager": {"upstream_bind_config": _bind_to(source)}} if source else {}),
        "static_resources": {
            "clusters": [_unbound_beyond_loopback(cluster) if source else cluster for cluster in clusters],
            "listeners": [
                _admin_listener("prometheus", pages, PROMETHEUS_PORT, "/stats/prometheus", "/stats/prometheus"),
                _admin_listener("health", pages, HEALTH_PORT, "/healthz/ready", "/ready"),
            ],
        },
        "stats_config": {
            "use_all_default_tags": False,
            "stats_tags": [{"tag_name": name, **({"regex": regex} if regex else {})} for name, regex in _STAT_TAGS],
        },
        "layered_runtime": {
            "layers": [
                {"name": "static", "static_layer": {"re2.max_program_size.error_level": 32768}},
                {"name": "admin", "admin_layer": {}},
            ]
        },
    }


def address_of(host_port: str) -> tuple[str, int]:
    """`1.2.3.4:15010`, `[::1]:15010` or `control-plane:15010` as (host, port). Raises ValueError with what is right."""
    host, separator, port = host_port.rpartition(":")
    if not separator or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{host_port!r} is not an address and port such as 127.20.0.1:15010 or control-plane:15010")
    host = host.strip("[]")
    if not _is_ip(host) and not _HOST_NAME.fullmatch(host):
        raise ValueError(f"{host_port!r}: {host!r} is neither an IP address nor a host name")
    return host, int(port)


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def discovery_target(bootstrap: Mapping[str, Any]) -> str:
    """The `host:port` of the control plane that a bootstrap names."""
    for cluster in bootstrap["static_resources"]["clusters"]:
        if cluster["name"] == XDS_CLUSTER:
            endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
            where = endpoint["address"]["socket_address"]
            host = where["address"]
            return f"[{host}]:{where['port_value']}" if ":" in host else f"{host}:{where['port_value']}"
    raise ValueError(f"the bootstrap has no cluster {XDS_CLUSTER}")


def _address(ip: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": ip, "port_value": port}}


def _static_cluster(name: str, ip: str, port: int) -> dict[str, Any]:
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(ip, port)}}]}],
        },
    }


def loopback_source(identity: Identity) -> str:
    """The address that a pod's connections to other addresses of 127.0.0.0/8 come from; "" where that is no matter.

    Pods that share a machine would all call from 127.0.0.1; metrics tell callers by their address.
    """
    return identity.ip if identity.interception == "NONE" and identity.ip.startswith("127.") else ""


def _bind_to(address: str) -> dict[str, Any]:
    return {
        "source_address": {"address": address, "port_value": 0},
        # The port is chosen at connect, so that one serves any number of destinations.
        "socket_options": [
            {
                "description": "IP_BIND_ADDRESS_NO_PORT",
                "level": socket.IPPROTO_IP,
                "name": 24,
                "int_value": 1,
                "state": "STATE_PREBIND",
            }
        ],
    }


def _unbound_beyond_loopback(cluster: dict[str, Any]) -> dict[str, Any]:
    """Nothing outside of 127.0.0.0/8 can be reached from an address in it."""
    for group in cluster["load_assignment"]["endpoints"]:
        host = group["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["address"]
        if not host.startswith("127."):
            cluster["upstream_bind_config"] = {"source_address": {"address": EVERY_ADDRESS, "port_value": 0}}
    return cluster


def _log_service_cluster(service: str, own_network: bool) -> dict[str, Any]:
    if service:
        return _grpc_cluster(LOG_SERVICE_CLUSTER, service, own_network)
    cluster = _grpc_cluster(LOG_SERVICE_CLUSTER, "127.0.0.1:9", own_network)
    cluster["load_assignment"]["endpoints"] = []
    return cluster


def _grpc_cluster(name: str, target: str, own_network: bool) -> dict[str, Any]:
    """`target`: `host:port`, the host an address or a name that is looked up again and again."""
    host, port = address_of(target)
    cluster = _static_cluster(name, host, port)
    http2: dict[str, Any] = {}
    if not _is_ip(host):
        # A control plane that comes back elsewhere is found by its name.
        del cluster["type"]
        cluster["cluster_type"] = {
            "name": "envoy.cluster.dns",
            "typed_config": {
                "@type": _DNS_CLUSTER,
                "dns_lookup_family": "V4_ONLY",
                "dns_refresh_rate": "2s",
                "dns_failure_refresh_rate": {"base_interval": "0.2s", "max_interval": "2s"},
            },
        }
    if own_network:
        # A stream from an address that the pod no longer has ends nowhere, and nothing says so.
        ping_s, timeout_s = POD_KEEPALIVE_S
        http2["connection_keepalive"] = {"interval": f"{ping_s:g}s", "timeout": f"{timeout_s:g}s"}
    cluster["typed_extension_protocol_options"] = {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": _HTTP_OPTIONS,
            "explicit_http_config": {"http2_protocol_options": http2},
        }
    }
    cluster["upstream_connection_options"] = {"tcp_keepalive": {"keepalive_time": 300}}
    return cluster


def _admin_listener(name: str, ip: str, port: int, path: str, admin_path: str) -> dict[str, Any]:
    route = {"match": {"path": path}, "route": {"cluster": ADMIN_CLUSTER, "prefix_rewrite": admin_path}}
    manager = {
        "@type": _HCM,
        "stat_prefix": name,
        "route_config": {"virtual_hosts": [{"name": "backend", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}],
    }
    return {
        "name": name,
        "address": _address(ip, port),
        "ignore_global_conn_limit": True,
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
