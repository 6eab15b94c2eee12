from __future__ import annotations

from dataclasses import replace

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster

from sidecar.compiler.cluster_protocol import compile_auto_tls, compile_dns, compile_http_options, compile_keepalive
from sidecar.config.clusters import Dns, HttpOptions, Service, TcpKeepalive, UpstreamTls
from sidecar.config.matchers import StringMatch
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
        (", explicit_http_config: {http_protocol_options: {}}", HttpOptions()),
        (", use_downstream_protocol_config: {http2_protocol_options: {}}", HttpOptions()),
        (", auto_config: {}", HttpOptions()),
        (", explicit_http_config: {http2_protocol_options: {}}", HttpOptions(http2=True)),
        (", common_http_protocol_options: {idle_timeout: 30s}", HttpOptions(idle_timeout_ms=30_000.0)),
        (", common_http_protocol_options: {idle_timeout: 0s}", HttpOptions(idle_timeout_ms=None)),
        (
            ", common_http_protocol_options: {max_requests_per_connection: 1}",
            HttpOptions(max_requests_per_connection=1),
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
    ],
)
def test_http_refused(text: str, path: str) -> None:
    with pytest.raises(Rejected, match=r"not (supported|spoken) by this proxy") as caught:
        options(text)
    assert caught.value.path == f"typed_extension_protocol_options[{NAME}].{path}"


def test_other_protocol_options_are_refused() -> None:
    struct = "{'@type': type.googleapis.com/envoy.config.route.v3.Decorator}"
    with pytest.raises(Rejected, match=r"typed_extension_protocol_options\[x\]"):
        compile_http_options(proto(Cluster, f"{{typed_extension_protocol_options: {{x: {struct}}}}}"), AT)


PLAIN = UpstreamTls(verify=True)
PAY = (Service(host="Pay.example", name="pay", namespace="n"),)


def auto_tls(text: str, tls: UpstreamTls | None, services: tuple[Service, ...] = PAY) -> UpstreamTls | None:
    inside = f"{{{NAME}: {{'@type': type.googleapis.com/{NAME}, upstream_http_protocol_options: {text}}}}}"
    return compile_auto_tls(proto(Cluster, f"{{typed_extension_protocol_options: {inside}}}"), tls, services, AT)


def test_the_server_name_and_the_name_in_its_certificate_are_the_services() -> None:
    assert auto_tls("{auto_sni: true}", PLAIN) == replace(PLAIN, sni="Pay.example")
    both = auto_tls("{auto_sni: true, auto_san_validation: true}", PLAIN)
    assert both is not None
    assert both.sni == "Pay.example"
    assert both.match_names == (StringMatch(kind="exact", value=b"pay.example", ignore_case=True),)
    assert auto_tls("{}", PLAIN) is PLAIN
    assert auto_tls("{auto_sni: true}", None) is None
    assert compile_auto_tls(Cluster(), PLAIN, (), AT) is PLAIN


def test_names_that_are_given_stay() -> None:
    named = replace(PLAIN, match_names=(StringMatch(kind="exact", value=b"x"),))
    assert auto_tls("{auto_san_validation: true}", named) == named


@pytest.mark.parametrize("host", ["", "*.example"])
def test_automatic_names_need_a_host(host: str) -> None:
    with pytest.raises(Rejected, match="name the one host"):
        auto_tls("{auto_sni: true}", PLAIN, (Service(host=host, name="", namespace=""),))
    with pytest.raises(Rejected, match="name the one host"):
        auto_tls("{auto_sni: true}", PLAIN, (*PAY, *PAY))
    with pytest.raises(Rejected, match="override_auto_sni_header"):
        auto_tls("{override_auto_sni_header: x}", PLAIN)


def test_keepalive() -> None:
    text = "{upstream_connection_options: {tcp_keepalive: {keepalive_time: 7200, keepalive_interval: 75}}}"
    assert compile_keepalive(proto(Cluster, text), AT) == TcpKeepalive(time_s=7200, interval_s=75)
    assert compile_keepalive(Cluster(), AT) is None


def test_dns() -> None:
    text = """
    dns_refresh_rate: 60s
    dns_jitter: 0.1s
    dns_lookup_family: V4_ONLY
    dns_failure_refresh_rate: {base_interval: 1s, max_interval: 2s}
    """
    assert compile_dns(proto(Cluster, text), AT) == Dns(
        refresh_ms=60_000.0,
        failure_base_ms=1000.0,
        failure_max_ms=2000.0,
        jitter_ms=100.0,
        family="v4_only",
    )
    assert compile_dns(Cluster(), AT) == Dns()
    with pytest.raises(Rejected, match="1 ms or more"):
        compile_dns(proto(Cluster, "{dns_refresh_rate: 0s}"), AT)
