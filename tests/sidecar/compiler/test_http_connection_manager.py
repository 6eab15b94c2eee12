from __future__ import annotations

from typing import Any

import pytest
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager as ManagerProto,
)

from sidecar.compiler.http_connection_manager import compile_http_connection_manager
from sidecar.config.listeners import ForwardedClientCert, HttpConnectionManager
from sidecar.config.rejected import At, Rejected
from tests.sidecar.compiler.protos import ROUTER, proto

FILTERS = f"http_filters: [{{name: r, typed_config: {{'@type': {ROUTER}}}}}]"
RDS = "rds: {route_config_name: n, config_source: {ads: {}}}"


def manager(text: str = "") -> HttpConnectionManager:
    whole = f"{{stat_prefix: s, {FILTERS}, {RDS}{text}}}"
    return compile_http_connection_manager(proto(ManagerProto, whole), At("l"))


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("", "rds_name", "n"),
        ("", "server_name", b"envoy"),
        ("", "generate_request_id", True),
        ("", "stream_idle_timeout_ms", 300_000.0),
        (", stream_idle_timeout: 0s", "stream_idle_timeout_ms", None),
        ("", "idle_timeout_ms", 3_600_000.0),
        ("", "request_timeout_ms", None),
        (", request_timeout: 5s", "request_timeout_ms", 5000.0),
        (", drain_timeout: 5s", "rds_name", "n"),
        (", delayed_close_timeout: 0s", "delayed_close_timeout_ms", None),
        (", common_http_protocol_options: {idle_timeout: 0s}", "idle_timeout_ms", None),
        (", common_http_protocol_options: {max_stream_duration: 1s}", "max_stream_duration_ms", 1000.0),
        (", common_http_protocol_options: {max_requests_per_connection: 2}", "max_requests_per_connection", 2),
        (", max_request_headers_kb: 8", "max_request_headers_bytes", 8192),
        (", codec_type: HTTP1", "rds_name", "n"),
        (", server_name: istio-envoy", "server_name", b"istio-envoy"),
        (", server_header_transformation: PASS_THROUGH", "server_header", "pass_through"),
        (", use_remote_address: true", "use_remote_address", True),
        (", xff_num_trusted_hops: 2", "xff_trusted_hops", 2),
        (", normalize_path: true", "normalize_path", True),
        (", path_with_escaped_slashes_action: KEEP_UNCHANGED", "escaped_slashes", "keep"),
        (", path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT", "escaped_slashes", "unescape_redirect"),
        (
            ", upgrade_configs: [{upgrade_type: WebSocket}, {upgrade_type: x, enabled: false}]",
            "upgrades",
            {b"websocket"},
        ),
        (", http_protocol_options: {accept_http_10: true, allow_absolute_url: true}", "accept_http_10", True),
        (
            ", forward_client_cert_details: SANITIZE_SET, set_current_client_cert_details: {subject: true, uri: true}",
            "forward_client_cert",
            ForwardedClientCert(mode="sanitize_set"),
        ),
    ],
)
def test_fields(text: str, field: str, value: Any) -> None:
    assert getattr(manager(text), field) == value


def test_inline_routes_tell_where_they_are_wrong() -> None:
    routes = "route_config: {name: r, virtual_hosts: [{name: v, domains: ['*'], routes: [%s]}]}"
    whole = f"{{stat_prefix: s, {FILTERS}, {routes}}}"
    good = whole % "{match: {prefix: /}, route: {cluster: c}}"
    found = compile_http_connection_manager(proto(ManagerProto, good), At("l"))
    assert found.route_config is not None
    assert found.route_config.clusters == {"c"}
    with pytest.raises(Rejected) as caught:
        compile_http_connection_manager(proto(ManagerProto, whole % "{match: {prefix: /}}"), At("l"))
    assert (caught.value.resource, caught.value.path) == ("l", "route_config.virtual_hosts[0].routes[0]")


def test_the_router_may_suppress_envoys_headers() -> None:
    filters = FILTERS.replace("Router}", "Router, suppress_envoy_headers: true}")
    found = compile_http_connection_manager(proto(ManagerProto, f"{{stat_prefix: s, {filters}, {RDS}}}"), At("l"))
    assert found.suppress_envoy_headers


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        (f"{{{FILTERS}, {RDS}}}", "stat_prefix", "empty"),
        (f"{{stat_prefix: s, {FILTERS}}}", "", "needs rds or route_config"),
        (f"{{stat_prefix: s, {FILTERS}, rds: {{config_source: {{ads: {{}}}}}}}}", "rds.route_config_name", "empty"),
        (
            f"{{stat_prefix: s, {FILTERS}, rds: {{route_config_name: n, config_source: {{path: /x}}}}}}",
            "rds.config_source",
            "over ads only",
        ),
        (f"{{stat_prefix: s, {RDS}}}", "http_filters", "must end with"),
    ],
)
def test_incomplete_ones_refused(text: str, path: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason) as caught:
        compile_http_connection_manager(proto(ManagerProto, text), At("l"))
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        (", codec_type: HTTP2", "codec_type", "only AUTO and HTTP1"),
        (", codec_type: HTTP3", "codec_type", "only AUTO and HTTP1"),
        (", max_request_headers_kb: 9000", "max_request_headers_kb", "not between"),
        (", upgrade_configs: [{upgrade_type: CONNECT}]", "upgrade_configs[0].upgrade_type", "CONNECT"),
        (", upgrade_configs: [{upgrade_type: a}, {upgrade_type: A}]", "upgrade_configs[1].upgrade_type", "twice"),
        (", strip_any_host_port: true", "strip_any_host_port", "not supported"),
        (", strip_matching_host_port: true", "strip_matching_host_port", "not supported"),
        (", strip_trailing_host_dot: true", "strip_trailing_host_dot", "not supported"),
        (", append_x_forwarded_port: true", "append_x_forwarded_port", "not supported"),
        (
            ", http_protocol_options: {default_host_for_http_10: h}",
            "http_protocol_options.default_host_for_http_10",
            "not supported",
        ),
        (
            ", http_protocol_options: {allow_absolute_url: false}",
            "http_protocol_options.allow_absolute_url",
            "must be true",
        ),
        (", local_reply_config: {}", "local_reply_config", "not supported"),
        (", original_ip_detection_extensions: [{name: x}]", "original_ip_detection_extensions", "not supported"),
        (
            ", common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}",
            "common_http_protocol_options.headers_with_underscores_action",
            "not supported",
        ),
        (
            ", http_protocol_options: {allow_chunked_length: true}",
            "http_protocol_options.allow_chunked_length",
            "not supported",
        ),
    ],
)
def test_refuses(text: str, path: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason) as caught:
        manager(text)
    assert caught.value.path == path
