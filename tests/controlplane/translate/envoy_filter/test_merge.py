"""Merging values into messages."""

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.route.v3 import route_components_pb2
from google.protobuf.wrappers_pb2 import UInt32Value

from controlplane.translate.envoy_filter.merge import BadPatch, merge, parse
from controlplane.translate.protos import any_of, duration
from controlplane.translate.traffic_policy import HTTP_PROTOCOL_OPTIONS, passthrough_http_options

Cluster = cluster_pb2.Cluster


def test_what_is_set_wins_and_the_rest_stays() -> None:
    target = Cluster(name="c", connect_timeout=duration(10.5), lb_policy=Cluster.RANDOM)
    merge(target, parse(Cluster, {"connect_timeout": "3s", "common_lb_config": {"healthy_panic_threshold": {}}}))
    assert (target.name, target.connect_timeout, target.lb_policy) == ("c", duration(3), Cluster.RANDOM)
    assert target.common_lb_config.HasField("healthy_panic_threshold")


def test_lists_grow() -> None:
    target = route_components_pb2.VirtualHost(name="h", domains=["a"])
    merge(target, parse(route_components_pb2.VirtualHost, {"domains": ["b"]}))
    assert list(target.domains) == ["a", "b"]


def test_wrappers_are_one_value() -> None:
    target = Cluster(per_connection_buffer_limit_bytes=UInt32Value(value=7))
    merge(target, parse(Cluster, {"per_connection_buffer_limit_bytes": 0}))
    assert target.per_connection_buffer_limit_bytes.value == 0


def test_messages_inside_any_are_merged_when_they_are_of_one_type() -> None:
    target = Cluster()
    target.transport_socket.typed_config.CopyFrom(any_of(passthrough_http_options()))
    value = {
        "transport_socket": {
            "typed_config": {
                "@type": f"type.googleapis.com/{HTTP_PROTOCOL_OPTIONS}",
                "common_http_protocol_options": {"max_headers_count": 5},
            }
        }
    }
    merge(target, parse(Cluster, value))
    expected = passthrough_http_options()
    expected.common_http_protocol_options.max_headers_count.value = 5
    assert target.transport_socket.typed_config == any_of(expected)


@pytest.mark.parametrize("value", [{"connect_timeout": "soon"}, {"name": 1}, {"name": {"@type": "x"}}])
def test_a_bad_value_is_told(value: dict[str, object]) -> None:
    with pytest.raises(BadPatch, match="value is not a Cluster of Envoy"):
        parse(Cluster, value)
