"""Fields that this proxy leaves aside on purpose, each with its reason; any other field it does not know it refuses.

One table for all messages, so that what is silently accepted can be read in one place.
"""

from __future__ import annotations

from collections.abc import Collection

from google.protobuf.message import Message

from sidecar.config.protos import reject_unhandled
from sidecar.config.rejected import At

_STATS = "names statistics only; ours are counted under the resource's own name"
_METADATA = "describes the resource; only the Istio entries that the proxy reports are read"
_ENVOY_INTERNAL = "tunes how Envoy's own machinery works, not what a request sees"
_VALIDATED_ELSEWHERE = "a reference is checked when it is used: an unknown cluster answers 503 NC"
_GRPC = "the header grpc-timeout belongs to gRPC, which needs HTTP/2, which is not spoken yet"
_TLS_LIBRARY = "left to the platform's TLS library, whose defaults are safe"
_SLOW_START = "a new host takes its full share at once"

#: Message type → field → why it may be left aside.
IGNORED: dict[str, dict[str, str]] = {
    "envoy.config.route.v3.RouteConfiguration": {
        "validate_clusters": _VALIDATED_ELSEWHERE,
        "max_direct_response_body_size_bytes": "bodies are bounded by the size of an xDS message",
        "metadata": _METADATA,
    },
    "envoy.config.route.v3.VirtualHost": {
        "virtual_clusters": _STATS,
        "metadata": _METADATA,
    },
    "envoy.config.route.v3.Route": {
        "stat_prefix": _STATS,
    },
    "envoy.config.route.v3.RouteAction": {"max_grpc_timeout": _GRPC},
    "envoy.config.route.v3.RouteAction.MaxStreamDuration": {
        "grpc_timeout_header_max": _GRPC,
        "grpc_timeout_header_offset": _GRPC,
    },
    "envoy.config.route.v3.RouteAction.RequestMirrorPolicy": {
        "trace_sampled": "a mirrored request has no span of its own; it carries the context of what it mirrors",
    },
    "envoy.config.route.v3.WeightedCluster": {
        "total_weight": "the sum of the weights is used, as Envoy does",
        "runtime_key_prefix": "there is no runtime layer",
    },
    "envoy.config.cluster.v3.Cluster": {
        "cleanup_interval": _ENVOY_INTERNAL,
        "respect_dns_ttl": "the system's resolver tells no time to live; dns_refresh_rate counts",
        "typed_dns_resolver_config": "names are resolved by the system's resolver",
        "wait_for_warm_on_init": _ENVOY_INTERNAL,
        "ignore_health_on_host_removal": "there is no active health checking to keep a removed host for",
        "track_cluster_stats": _STATS,
        "track_timeout_budgets": _STATS,
        "preconnect_policy": "connections are opened when they are needed",
        "close_connections_on_host_health_failure": "there is no active health checking",
    },
    "envoy.config.cluster.v3.UpstreamConnectionOptions": {
        "happy_eyeballs_config": "a name's addresses are hosts of their own, each of which may fail and be ejected",
    },
    "envoy.config.core.v3.BindConfig": {
        "extra_source_addresses": "the first source address is used, whose family the endpoints have",
    },
    "envoy.config.cluster.v3.Cluster.CommonLbConfig": {
        "update_merge_window": "endpoint updates are applied at once",
        "close_connections_on_host_set_change": "connections to hosts that stay are kept",
        "ignore_new_hosts_until_first_hc": "there is no active health checking",
        "override_host_status": "there are no stateful sessions",
    },
    "envoy.config.cluster.v3.Cluster.LeastRequestLbConfig": {"slow_start_config": _SLOW_START},
    "envoy.config.cluster.v3.Cluster.RoundRobinLbConfig": {"slow_start_config": _SLOW_START},
    "envoy.config.cluster.v3.Cluster.CommonLbConfig.ZoneAwareLbConfig": {
        "routing_enabled": "zone-aware routing needs a cluster of one's own kind, which Istio does not name",
        "min_cluster_size": "as routing_enabled",
    },
    "envoy.config.cluster.v3.CircuitBreakers.Thresholds": {
        "track_remaining": _STATS,
        "max_connection_pools": "a host has one pool",
    },
    "envoy.config.cluster.v3.OutlierDetection": {
        "successful_active_health_check_uneject_host": "there is no active health checking",
        "enforcing_local_origin_success_rate": "success rates count all errors together",
        "enforcing_failure_percentage_local_origin": "failure percentages count all errors together",
    },
    "envoy.config.endpoint.v3.ClusterLoadAssignment.Policy": {
        "endpoint_stale_after": "endpoints live as long as the control plane says",
    },
    "envoy.config.endpoint.v3.LocalityLbEndpoints": {
        "metadata": _METADATA,
        "proximity": "no load balancer uses it, Envoy's neither",
    },
    "envoy.config.endpoint.v3.Endpoint": {"health_check_config": "there is no active health checking"},
    "envoy.config.listener.v3.Listener": {
        "metadata": _METADATA,
        "reuse_port": "deprecated; listeners always share their port with those that replace them",
        "per_connection_buffer_limit_bytes": "bodies are not gathered; a slow reader stops its sender at 64 KiB",
        "drain_type": "removed and changed listeners drain",
        "enable_reuse_port": "a listener has one socket, handed over in-process",
        "connection_balance_config": "there is one worker",
        "ignore_global_conn_limit": "there is no global connection limit",
        "bypass_overload_manager": "there is no overload manager",
        "max_connections_to_accept_per_socket_event": "libuv accepts in its own batches",
    },
    "envoy.config.listener.v3.FilterChain": {
        "transport_socket_connect_timeout": "it bounds TLS handshakes with clients, which there are none yet",
    },
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy": {
        "access_log_options": "one line is written when the connection ends",
    },
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager": {
        "drain_timeout": "it lies between two GOAWAYs of HTTP/2; an HTTP/1 connection ends with its next response",
        "set_current_client_cert_details": "there is no TLS with clients yet, so there are no details",
        "internal_address_config": "no header is trusted for being internal",
        "http2_protocol_options": "tunes HTTP/2, which the listener does not speak yet",
        "http3_protocol_options": "there is no QUIC",
        "stream_error_on_invalid_http_message": "an invalid HTTP/1 message ends its connection",
        "represent_ipv4_remote_address_as_ipv4_mapped_ipv6": "addresses are written as they are",
        "access_log_options": "one line is written when the request ends",
        "access_log_flush_interval": "one line is written when the request ends",
        "flush_access_log_on_new_request": "one line is written when the request ends",
    },
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.Tracing": {
        "verbose": "adds moments inside a span, which no back end of Istio's asks for",
    },
    "envoy.extensions.filters.http.router.v3.Router": {
        "dynamic_stats": _STATS,
        "start_child_span": "deprecated; the connection manager's spawn_upstream_span says it",
        "strict_check_headers": "malformed x-envoy-* request headers are left out of account",
        "suppress_grpc_request_failure_code_stats": _STATS,
    },
    "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext": {
        "max_session_keys": "sessions are not resumed",
        "allow_renegotiation": _TLS_LIBRARY,
    },
    "envoy.extensions.transport_sockets.tls.v3.TlsParameters": {
        "cipher_suites": _TLS_LIBRARY,
        "ecdh_curves": _TLS_LIBRARY,
    },
    "envoy.config.core.v3.Http1ProtocolOptions": {
        "enable_trailers": "trailers are always passed on",
        "header_key_format": "header names go out in lower case, which HTTP/1.1 calls equal",
        "override_stream_error_on_invalid_http_message": "an invalid HTTP/1 message ends its connection",
        "use_balsa_parser": _ENVOY_INTERNAL,
        "ignore_http_11_upgrade": "only upgrades that are allowed by name are passed",
        "allow_custom_methods": "every method token of RFC 9110 is passed",
    },
}

#: Filters that are accepted and left out, by the type of their settings.
IGNORED_HTTP_FILTERS: dict[str, str] = {
    "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig": "counts gRPC calls; changes no request",
}


def check(message: Message, handled: Collection[str], at: At) -> None:
    """Refuse the fields of `message` that are set, but neither in `handled` nor ignored on purpose."""
    ignored = IGNORED.get(message.DESCRIPTOR.full_name)
    reject_unhandled(message, {*handled, *ignored} if ignored else handled, at)
