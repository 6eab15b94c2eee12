from __future__ import annotations

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster

from sidecar.compiler.cluster_protocol import compile_dns, compile_http_options, compile_keepalive
from sidecar.config.clusters import Dns, HttpOptions, TcpKeepalive
from sidecar.config.rejected import At, Rejected
from tests.sidecar.compiler.protos import proto

AT = At("r")
NAME = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def options(text: str) -> HttpOptions:
    inside = f"{{{NAME}: {{'@type': type.googleapis.com/{NAME}{text}}}}}"
    return compile_http_options(proto(Cluster, f"{{typed_extension_protocol_options: {inside}}}"), AT)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", HttpOptions()),
        (", explicit_http_config: {http_protocol_options: {}}", HttpOptions(protocol="http1")),
        (", explicit_http_config: {http2_protocol_options: {}}", HttpOptions(protocol="http2")),
        (", use_downstream_protocol_config: {http2_protocol_options: {}}", HttpOptions(protocol="downstream")),
        (", auto_config: {}", HttpOptions(protocol="auto")),
        (", common_http_protocol_options: {idle_timeout: 30s}", HttpOptions(idle_timeout_ms=30_000.0)),
        (", common_http_protocol_options: {idle_timeout: 0s}", HttpOptions(idle_timeout_ms=None)),
        (
            ", common_http_protocol_options: {max_requests_per_connection: 1}",
            HttpOptions(max_requests_per_connection=1),
        ),
        (
            ", upstream_http_protocol_options: {auto_sni: true, auto_san_validation: true}",
            HttpOptions(auto_sni=True, auto_san_validation=True),
        ),
    ],
)
def test_http(text: str, expected: HttpOptions) -> None:
    assert options(text) == expected


def test_http_without_options() -> None:
    assert compile_http_options(Cluster(), AT) == HttpOptions()
    old = proto(Cluster, "{max_requests_per_connection: 5}")
    assert compile_http_options(old, AT) == HttpOptions(max_requests_per_connection=5)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (", explicit_http_config: {http3_protocol_options: {}}", "explicit_http_config.http3_protocol_options"),
        (", http_filters: [{name: x}]", "http_filters"),
        (
            ", common_http_protocol_options: {headers_with_underscores_action: DROP_HEADER}",
            "common_http_protocol_options.headers_with_underscores_action",
        ),
        (
            ", upstream_http_protocol_options: {override_auto_sni_header: x}",
            "upstream_http_protocol_options.override_auto_sni_header",
        ),
    ],
)
def test_http_refused(text: str, path: str) -> None:
    with pytest.raises(Rejected, match="not supported") as caught:
        options(text)
    assert caught.value.path == f"typed_extension_protocol_options[{NAME}].{path}"


def test_other_protocol_options_are_refused() -> None:
    struct = "{'@type': type.googleapis.com/envoy.config.route.v3.Decorator}"
    with pytest.raises(Rejected, match=r"typed_extension_protocol_options\[x\]"):
        compile_http_options(proto(Cluster, f"{{typed_extension_protocol_options: {{x: {struct}}}}}"), AT)


def test_keepalive() -> None:
    text = "{upstream_connection_options: {tcp_keepalive: {keepalive_time: 7200, keepalive_interval: 75}}}"
    assert compile_keepalive(proto(Cluster, text), AT) == TcpKeepalive(time_s=7200, interval_s=75)
    assert compile_keepalive(Cluster(), AT) is None


def test_dns() -> None:
    text = """
    dns_refresh_rate: 60s
    dns_jitter: 0.1s
    respect_dns_ttl: true
    dns_lookup_family: V4_ONLY
    dns_failure_refresh_rate: {base_interval: 1s, max_interval: 2s}
    """
    assert compile_dns(proto(Cluster, text), AT) == Dns(
        refresh_ms=60_000.0,
        failure_base_ms=1000.0,
        failure_max_ms=2000.0,
        jitter_ms=100.0,
        respect_ttl=True,
        family="v4_only",
    )
    assert compile_dns(Cluster(), AT) == Dns()
    with pytest.raises(Rejected, match="1 ms or more"):
        compile_dns(proto(Cluster, "{dns_refresh_rate: 0s}"), AT)
