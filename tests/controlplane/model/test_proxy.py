"""What a proxy's Envoy node says about it."""

import pytest
from envoy.config.core.v3 import base_pb2
from google.protobuf.struct_pb2 import Struct

from controlplane.model.proxy import InvalidNode, Proxy


def node(identity: str, **metadata: object) -> base_pb2.Node:
    struct = Struct()
    struct.update(metadata)
    return base_pb2.Node(id=identity, metadata=struct)


def test_a_whole_node() -> None:
    proxy = Proxy.from_node(
        node(
            "sidecar~127.20.3.1~reviews-v1.default~default.svc.cluster.local",
            NAMESPACE="default",
            WORKLOAD_NAME="reviews-v1",
            LABELS={"version": "v1", "app": "reviews"},
            SERVICE_ACCOUNT="bookinfo-reviews",
            INTERCEPTION_MODE="NONE",
            INSTANCE_IPS="127.20.3.1,127.20.3.9",
            BIND_ADDRESS="127.0.0.1",
        )
    )
    assert proxy.id == "reviews-v1.default"
    assert proxy.addresses == ("127.20.3.1", "127.20.3.9")
    assert proxy.label_map == {"app": "reviews", "version": "v1"}
    assert (proxy.captures, proxy.is_router, proxy.bind_address) == (False, False, "127.0.0.1")
    assert proxy.service_account == "bookinfo-reviews"


def test_the_id_is_enough() -> None:
    proxy = Proxy.from_node(node("router~10.0.0.9~edge.istio-system~istio-system.svc.cluster.local"))
    assert (proxy.name, proxy.namespace, proxy.is_router, proxy.captures) == ("edge", "istio-system", True, True)
    assert proxy.bind_address == "0.0.0.0"  # noqa: S104 - the default is Istio's


def test_locality_comes_from_the_node() -> None:
    made = node("sidecar~10.0.0.1~a.b~b.svc.cluster.local")
    made.locality.region = "north"
    made.locality.zone = "n1"
    assert Proxy.from_node(made).locality == "north/n1"


@pytest.mark.parametrize("identity", ["", "envoy", "ztunnel~1~a.b~c", "sidecar~1~a.b"])
def test_another_id_is_refused_with_what_would_be_right(identity: str) -> None:
    with pytest.raises(InvalidNode, match=r"is not `sidecar\|router"):
        Proxy.from_node(node(identity))


def test_equal_nodes_make_equal_proxies() -> None:
    identity = "sidecar~10.0.0.1~a.b~b.svc.cluster.local"
    assert Proxy.from_node(node(identity, X="1")) == Proxy.from_node(node(identity, X="1"))
