"""Envoy's bootstrap for one pod, as JSON: the one description that both proxies start from.

Everything listens on the pod's own addresses, never on the wildcard: the admin page on 15000, the proxy's own metrics
on 15090 and its readiness on 15021, these two as static listeners that lead to the admin page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidecar.agent.identity import Identity

ADMIN_PORT, HEALTH_PORT, PROMETHEUS_PORT = 15000, 15021, 15090
XDS_CLUSTER, ADMIN_CLUSTER = "xds-grpc", "prometheus_stats"

_HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
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


def build_bootstrap(identity: Identity, discovery: str, admin_address: str) -> dict[str, Any]:
    """The bootstrap. `discovery` is `ip:port` of the control plane's xDS, `admin_address` an IP address."""
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
        "static_resources": {
            "clusters": [_xds_cluster(discovery), _static_cluster(ADMIN_CLUSTER, admin_address, ADMIN_PORT)],
            "listeners": [
                _admin_listener("prometheus", identity.ip, PROMETHEUS_PORT, "/stats/prometheus", "/stats/prometheus"),
                _admin_listener("health", identity.ip, HEALTH_PORT, "/healthz/ready", "/ready"),
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
    """`1.2.3.4:15010` or `[::1]:15010` as (ip, port). Raises ValueError with what would be right."""
    host, separator, port = host_port.rpartition(":")
    if not separator or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{host_port!r} is not an address and port such as 127.20.0.1:15010")
    return host.strip("[]"), int(port)


def discovery_target(bootstrap: Mapping[str, Any]) -> str:
    """The `ip:port` of the control plane that a bootstrap names."""
    for cluster in bootstrap["static_resources"]["clusters"]:
        if cluster["name"] == XDS_CLUSTER:
            endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
            where = endpoint["address"]["socket_address"]
            return f"{where['address']}:{where['port_value']}"
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


def _xds_cluster(discovery: str) -> dict[str, Any]:
    cluster = _static_cluster(XDS_CLUSTER, *address_of(discovery))
    cluster["typed_extension_protocol_options"] = {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": _HTTP_OPTIONS,
            "explicit_http_config": {"http2_protocol_options": {}},
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
