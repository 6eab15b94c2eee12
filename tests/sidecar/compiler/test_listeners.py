from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from envoy.config.listener.v3.listener_pb2 import Listener as ListenerProto

from sidecar.compiler.listeners import compile_listener
from sidecar.config.listeners import FilterChainMatch, Listener
from sidecar.config.rejected import Rejected
from tests.sidecar.compiler.protos import HCM, ROUTER, STRANGER, TCP_PROXY, proto

ADDRESS = "address: {socket_address: {address: 127.0.0.1, port_value: 80}}"
TCP = f"{{name: t, typed_config: {{'@type': {TCP_PROXY}, stat_prefix: s, cluster: c}}}}"
HTTP = (
    f"{{name: h, typed_config: {{'@type': {HCM}, stat_prefix: s, "
    f"rds: {{route_config_name: %s, config_source: {{ads: {{}}}}}}, "
    f"http_filters: [{{name: r, typed_config: {{'@type': {ROUTER}}}}}]}}}}"
)


def listener(chains: str = f"[{{filters: [{TCP}]}}]", more: str = "", address: str = ADDRESS) -> Listener:
    return compile_listener(proto(ListenerProto, f"{{name: l, {address}, filter_chains: {chains}{more}}}"))


@pytest.mark.parametrize(
    ("more", "field", "value"),
    [
        ("", "addresses", (("127.0.0.1", 80),)),
        ("", "bind", True),
        (", bind_to_port: false", "bind", False),
        (", deprecated_v1: {bind_to_port: false}", "bind", False),
        (", use_original_dst: true", "use_original_dst", True),
        ("", "listener_filters_timeout_ms", 15_000.0),
        (", listener_filters_timeout: 0s", "listener_filters_timeout_ms", None),
        (", continue_on_listener_filters_timeout: true", "continue_on_listener_filters_timeout", True),
        (", tcp_backlog_size: 5", "backlog", 5),
        (", max_connections_to_accept_per_socket_event: 1", "bind", True),
        (
            ", additional_addresses: [{address: {socket_address: {address: '::1', port_value: 80}}}]",
            "addresses",
            (("127.0.0.1", 80), ("::1", 80)),
        ),
    ],
)
def test_fields(more: str, field: str, value: Any) -> None:
    assert getattr(listener(more=more), field) == value


def test_chains_end_in_http_or_tcp() -> None:
    found = listener(
        f"[{{name: a, filters: [{HTTP % 'n'}], filter_chain_match: {{destination_port: 1}}}}, {{filters: [{TCP}]}}]",
        f", default_filter_chain: {{name: d, filters: [{HTTP % 'm'}]}}",
    )
    http, tcp = found.filter_chains
    assert (http.name, http.http is not None, http.tcp) == ("a", True, None)
    assert (tcp.http, tcp.tcp is not None) == (None, True)
    assert found.default_filter_chain is not None
    assert found.default_filter_chain.name == "d"
    assert found.rds_names == {"n", "m"}


def test_what_a_chain_matches() -> None:
    text = """{destination_port: 9080, server_names: [A.example, '*.b.example'], transport_protocol: tls,
        application_protocols: [istio], source_type: EXTERNAL, source_ports: [1, 2],
        prefix_ranges: [{address_prefix: 10.0.0.1, prefix_len: 8}],
        source_prefix_ranges: [{address_prefix: '::1', prefix_len: 128}]}"""
    assert listener(f"[{{filters: [{TCP}], filter_chain_match: {text}}}]").filter_chains[0].match == FilterChainMatch(
        destination_port=9080,
        server_names=("a.example", "*.b.example"),
        transport_protocol="tls",
        application_protocols=("istio",),
        source_type="external",
        source_ports=(1, 2),
        destination_networks=(ip_network("10.0.0.0/8"),),
        source_networks=(ip_network("::1/128"),),
    )


@pytest.mark.parametrize(
    ("chains", "path", "reason"),
    [
        ("[]", "filter_chains", "no filter chains"),
        ("[{}]", "filter_chains[0].filters", "must end with"),
        (f"[{{filters: [{TCP}, {TCP}]}}]", "filter_chains[0].filters[1]", "comes after a filter that ends"),
        (
            f"[{{filters: [{{name: istio.x, typed_config: {{'@type': {STRANGER}}}}}, {TCP}]}}]",
            "filter_chains[0].filters[0].typed_config",
            "is not known to this proxy",
        ),
        (
            f"[{{name: a, filters: [{TCP}]}}, {{name: b, filters: [{TCP}]}}]",
            "filter_chains[1]",
            "filter chain 'b' has the same matching rules defined as 'a'",
        ),
        (
            f"[{{filters: [{TCP}], transport_socket: {{name: t, typed_config: {{'@type': {STRANGER}}}}}}}]",
            "filter_chains[0].transport_socket",
            "not supported yet",
        ),
        (
            f"[{{filters: [{TCP}], filter_chain_match: {{server_names: ['a.*']}}}}]",
            "filter_chains[0].filter_chain_match.server_names[0]",
            "only a whole first label",
        ),
        (
            f"[{{filters: [{TCP}], filter_chain_match: {{prefix_ranges: [{{address_prefix: x}}]}}}}]",
            "filter_chains[0].filter_chain_match.prefix_ranges[0]",
            "is not a range",
        ),
        (
            f"[{{filters: [{TCP}], filter_chain_match: {{address_suffix: x}}}}]",
            "filter_chains[0].filter_chain_match.address_suffix",
            "not supported",
        ),
        (
            f"[{{filters: [{TCP}], use_proxy_proto: true}}]",
            "filter_chains[0].use_proxy_proto",
            "not supported",
        ),
        (
            "[{filters: [" + HTTP % '""' + "]}]",
            "filter_chains[0].filters[0].typed_config.rds.route_config_name",
            "empty",
        ),
    ],
)
def test_chains_refused(chains: str, path: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason) as caught:
        listener(chains)
    assert (caught.value.resource, caught.value.path) == ("l", path)


@pytest.mark.parametrize(
    ("more", "address", "path"),
    [
        ("", "address: {socket_address: {address: localhost, port_value: 80}}", "address.socket_address.address"),
        ("", "address: {pipe: {path: /x}}", "address"),
        (", udp_listener_config: {}", ADDRESS, "udp_listener_config"),
        (", api_listener: {}", ADDRESS, "api_listener"),
        (", socket_options: [{level: 1}]", ADDRESS, "socket_options"),
    ],
)
def test_listeners_refused(more: str, address: str, path: str) -> None:
    with pytest.raises(Rejected) as caught:
        listener(more=more, address=address)
    assert caught.value.path == path


def test_a_listener_needs_a_name() -> None:
    with pytest.raises(Rejected, match="name: empty"):
        compile_listener(ListenerProto())
