from __future__ import annotations

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_pb2 import Listener
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from sidecar.admin.inline_resources import inline_endpoints, inline_routes, with_defaults
from sidecar.xds.resources import Accepted
from tests.sidecar.compiler.protos import proto

HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def accepted(message: Message) -> Accepted:
    value = Any()
    value.Pack(message)
    return Accepted("v", value, 5.0)


def test_routes_of_every_chain_but_not_those_of_rds() -> None:
    def chain(text: str) -> str:
        return f"{{filters: [{{name: h, typed_config: {{'@type': {HCM}, {text}}}}}]}}"

    inline, rds = chain("route_config: {name: %s}"), chain("rds: {route_config_name: x}")
    listener = proto(
        Listener,
        f"{{name: l, filter_chains: [{inline % 'a'}, {rds}], default_filter_chain: {inline % 'b'}}}",
    )
    assert list(inline_routes([accepted(listener)])) == [({"name": "a"}, 5.0), ({"name": "b"}, 5.0)]


def test_endpoints_of_clusters_without_eds() -> None:
    static = proto(Cluster, "{name: s, type: STATIC, load_assignment: {cluster_name: s, endpoints: [{priority: 1}]}}")
    clusters = [accepted(proto(Cluster, "{name: e, type: EDS}")), accepted(static)]
    clusters.append(accepted(proto(Cluster, "{name: o, type: ORIGINAL_DST}")))
    assert list(inline_endpoints(clusters)) == [
        ("s", {"cluster_name": "s", "endpoints": [{"priority": 1}]}),
        ("o", {"cluster_name": "o"}),
    ]


def test_defaults_are_spelt_out_and_what_is_said_stays() -> None:
    said = {"health_status": "DRAINING", "load_balancing_weight": 3}
    shown = with_defaults({"cluster_name": "c", "endpoints": [{"lb_endpoints": [{}, dict(said)]}]})
    assert shown["endpoints"][0]["lb_endpoints"] == [{"health_status": "HEALTHY", "load_balancing_weight": 1}, said]
    assert shown["policy"] == {"overprovisioning_factor": 140}
