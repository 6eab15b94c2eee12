from __future__ import annotations

from typing import Any

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster as ClusterProto

from sidecar.compiler.clusters import compile_cluster
from sidecar.config.clusters import Cluster
from sidecar.config.rejected import Rejected
from tests.sidecar.compiler.protos import proto

EDS = "type: EDS, eds_cluster_config: {eds_config: {ads: {}}}"
ENDPOINT = "{endpoint: {address: {socket_address: {address: %s, port_value: 80}}}}"


def cluster(text: str) -> Cluster:
    return compile_cluster(proto(ClusterProto, f"{{name: c, {text}}}"))


def assigned(*addresses: str) -> str:
    endpoints = ", ".join(ENDPOINT % address for address in addresses)
    return f"load_assignment: {{cluster_name: c, endpoints: [{{lb_endpoints: [{endpoints}]}}]}}"


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        (EDS, "type", "eds"),
        (EDS, "eds_service_name", "c"),
        ("type: EDS, eds_cluster_config: {service_name: s, eds_config: {ads: {}}}", "eds_service_name", "s"),
        (EDS, "endpoints", None),
        (EDS, "connect_timeout_ms", 5_000.0),
        (EDS + ", connect_timeout: 3s", "connect_timeout_ms", 3_000.0),
        (EDS + ", alt_stat_name: 'c;'", "stat_name", "c"),
        (EDS, "stat_name", "c"),
        (EDS, "outlier", None),
        (EDS, "bind_address", ""),
        ("upstream_bind_config: {source_address: {address: 127.0.0.6, port_value: 0}}", "bind_address", "127.0.0.6"),
        ("metadata: {filter_metadata: {istio: {subset: v1, config: /x}}}", "source", "/x"),
        ("per_connection_buffer_limit_bytes: 5", "buffer_limit_bytes", 5),
    ],
)
def test_fields(text: str, field: str, value: Any) -> None:
    assert getattr(cluster(text), field) == value


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("type: STATIC", "kind", "round_robin"),
        ("lb_policy: LEAST_REQUEST", "kind", "least_request"),
        ("lb_policy: LEAST_REQUEST, least_request_lb_config: {choice_count: 3}", "choice_count", 3),
        (
            "lb_policy: LEAST_REQUEST, least_request_lb_config: {active_request_bias: {default_value: 0.5}}",
            "active_request_bias",
            0.5,
        ),
        ("lb_policy: RANDOM", "kind", "random"),
        ("lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 5}", "minimum_ring_size", 5),
        ("lb_policy: MAGLEV, maglev_lb_config: {table_size: 101}", "maglev_table_size", 101),
        ("type: STATIC", "panic_threshold", 0.5),
        ("common_lb_config: {}", "panic_threshold", 0.5),
        ("common_lb_config: {healthy_panic_threshold: {}}", "panic_threshold", 0.0),
        ("common_lb_config: {healthy_panic_threshold: {value: 20}}", "panic_threshold", 0.2),
        ("common_lb_config: {locality_weighted_lb_config: {}}", "locality_weighted", True),
        ("type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED", "kind", "cluster_provided"),
        (
            "type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, original_dst_lb_config: {upstream_port_override: 443}",
            "port_override",
            443,
        ),
        (
            "type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, original_dst_lb_config: {use_http_header: true}",
            "address_header",
            b"x-envoy-original-dst-host",
        ),
    ],
)
def test_load_balancing(text: str, field: str, value: Any) -> None:
    assert getattr(cluster(text).lb, field) == value


def test_static_and_dns_clusters_have_their_endpoints() -> None:
    static = cluster("type: STATIC, " + assigned("10.0.0.1")).endpoints
    assert static is not None
    assert static.localities[0].endpoints[0].address == "10.0.0.1"
    named = cluster("type: STRICT_DNS, " + assigned("a.example", "b.example")).endpoints
    assert named is not None
    assert len(named.localities[0].endpoints) == 2
    empty = cluster("type: STATIC").endpoints
    assert empty is not None
    assert empty.localities == ()


def test_transport_sockets_by_label() -> None:
    raw = (
        "{name: r, typed_config: {'@type': type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3."
        "RawBuffer}}"
    )
    tls = (
        "{name: t, typed_config: {'@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."
        "UpstreamTlsContext, sni: s}}"
    )
    found = cluster(
        f"transport_socket_matches: [{{name: a, match: {{tlsMode: istio}}, transport_socket: {tls}}}, "
        f"{{name: b, match: {{}}, transport_socket: {raw}}}]"
    )
    mutual = found.tls_for({"tlsMode": "istio"})
    assert mutual is not None
    assert mutual.sni == "s"
    assert found.tls_for({}) is None


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        ("cluster_type: {name: x}", "cluster_type", "not supported"),
        ("connect_timeout: 0s", "connect_timeout", "more than 0s"),
        ("type: EDS", "eds_cluster_config.eds_config", "over ads only"),
        (EDS + ", " + assigned("10.0.0.1"), "load_assignment", "has none"),
        (
            "type: STATIC, " + assigned("a.example"),
            "load_assignment.endpoints[0].lb_endpoints[0].endpoint.address",
            "malf",
        ),
        ("type: LOGICAL_DNS, " + assigned("a", "b"), "load_assignment", "exactly one endpoint"),
        ("lb_policy: CLUSTER_PROVIDED", "lb_policy", "belongs to clusters of type ORIGINAL_DST"),
        ("type: ORIGINAL_DST", "lb_policy", "belongs to clusters of type ORIGINAL_DST"),
        ("lb_policy: LOAD_BALANCING_POLICY_CONFIG", "lb_policy", "is not supported"),
        ("ring_hash_lb_config: {minimum_ring_size: 9, maximum_ring_size: 8}", "ring_hash_lb_config", "ring sizes"),
        ("ring_hash_lb_config: {hash_function: MURMUR_HASH_2}", "ring_hash_lb_config.hash_function", "only XX_HASH"),
        ("maglev_lb_config: {table_size: 100}", "maglev_lb_config.table_size", "must be prime"),
        ("least_request_lb_config: {choice_count: 1}", "least_request_lb_config.choice_count", "2 or more"),
        ("health_checks: [{}]", "health_checks", "not supported"),
        ("lb_subset_config: {}", "lb_subset_config", "not supported"),
        ("filters: [{name: istio.metadata_exchange}]", "filters", "not supported"),
        (
            "common_lb_config: {consistent_hashing_lb_config: {hash_balance_factor: 120}}",
            "common_lb_config.consistent_hashing_lb_config",
            "not supported",
        ),
        (
            "upstream_bind_config: {source_address: {address: x, port_value: 0}}",
            "upstream_bind_config.source_address.address",
            "malformed IP address",
        ),
        ("load_balancing_policy: {}", "load_balancing_policy", "not supported"),
    ],
)
def test_refuses(text: str, path: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason) as caught:
        cluster(text)
    assert caught.value.resource == "c"
    assert caught.value.path.startswith(path)


def test_a_cluster_needs_a_name() -> None:
    with pytest.raises(Rejected, match="name: empty"):
        compile_cluster(ClusterProto())
