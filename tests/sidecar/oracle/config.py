"""One static configuration for both proxies: as Envoy's bootstrap, and as protos for the Python proxy."""

from __future__ import annotations

from typing import Any

_HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_FAULT = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"
_CORS = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors"
_LOG = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"

LOG_FORMAT = (
    '%REQ(X-CASE)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%"'
    ' %BYTES_RECEIVED% %BYTES_SENT% "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%"'
    ' "%REQ(:AUTHORITY)%" %UPSTREAM_CLUSTER% %ROUTE_NAME%\n'
)
ISTIO_LOG_FORMAT = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS%'
    ' %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%"'
    ' %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%"'
    ' "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW%'
    " %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME%"
    " %ROUTE_NAME%\n"
)
RETRIES: dict[str, Any] = {
    "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
    "num_retries": 2,
    "retriable_status_codes": [503],
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
            },
        }
    ],
    "host_selection_retry_max_attempts": "5",
}


def cluster(name: str, address: tuple[str, int] | None, **more: Any) -> dict[str, Any]:
    """A STATIC cluster of one endpoint, or of none."""
    endpoints = []
    if address is not None:
        socket = {"socket_address": {"address": address[0], "port_value": address[1]}}
        endpoints = [{"lb_endpoints": [{"endpoint": {"address": socket}}]}]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
        **more,
    }


def listener(address: tuple[str, int], routes: dict[str, Any], log_path: str, **hcm: Any) -> dict[str, Any]:
    """A listener with a connection manager as Istio sets one up; `hcm` replaces single fields."""
    log_format = hcm.pop("log_format", LOG_FORMAT)
    return {
        "name": "main",
        "address": {"socket_address": {"address": address[0], "port_value": address[1]}},
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": {
                            "@type": _HCM,
                            "stat_prefix": "main",
                            "route_config": routes,
                            "http_filters": [
                                {"name": "envoy.filters.http.fault", "typed_config": {"@type": _FAULT}},
                                {"name": "envoy.filters.http.cors", "typed_config": {"@type": _CORS}},
                                {"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}},
                            ],
                            "access_log": [
                                {
                                    "name": "envoy.access_loggers.file",
                                    "typed_config": {
                                        "@type": _LOG,
                                        "path": log_path,
                                        "log_format": {"text_format_source": {"inline_string": log_format}},
                                    },
                                }
                            ],
                            "use_remote_address": False,
                            "proxy_100_continue": True,
                            "upgrade_configs": [{"upgrade_type": "websocket"}],
                            "stream_idle_timeout": "0s",
                            "normalize_path": True,
                            "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
                            **hcm,
                        },
                    }
                ]
            }
        ],
    }


def bootstrap(
    listeners: list[dict[str, Any]], clusters: list[dict[str, Any]], admin: tuple[str, int]
) -> dict[str, Any]:
    """Envoy's bootstrap around the resources."""
    return {
        "node": {"id": "oracle", "cluster": "oracle"},
        "admin": {"address": {"socket_address": {"address": admin[0], "port_value": admin[1]}}},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    }
