from __future__ import annotations

import pytest
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment

from sidecar.compiler.endpoints import compile_endpoints
from sidecar.config.endpoints import Locality
from sidecar.config.rejected import Rejected
from tests.sidecar.compiler.protos import proto


def at(address: str, more: str = "") -> str:
    return f"{{endpoint: {{address: {{socket_address: {{address: '{address}', port_value: 80}}}}}}{more}}}"


def assignment(*endpoints: str, group: str = "", more: str = "") -> ClusterLoadAssignment:
    return proto(
        ClusterLoadAssignment,
        f"{{cluster_name: c, endpoints: [{{lb_endpoints: [{', '.join(endpoints)}]{group}}}]{more}}}",
    )


def test_an_endpoint() -> None:
    text = at(
        "10.0.0.1",
        ", health_status: DRAINING, load_balancing_weight: 3, "
        "metadata: {filter_metadata: {istio: {workload: w;ns}, envoy.lb: {hash_key: k}}}",
    )
    found = compile_endpoints(assignment(text, group=", locality: {region: r}, priority: 0, load_balancing_weight: 5"))
    assert found.cluster_name == "c"
    (group,) = found.localities
    assert (group.locality, group.priority, group.weight) == (Locality(region="r"), 0, 5)
    (endpoint,) = group.endpoints
    assert (endpoint.address, endpoint.port, endpoint.weight, endpoint.health) == ("10.0.0.1", 80, 3, "draining")
    assert (endpoint.workload.namespace, endpoint.hash_key) == ("ns", "k")


@pytest.mark.parametrize(
    ("status", "health"),
    [
        ("UNKNOWN", "healthy"),
        ("HEALTHY", "healthy"),
        ("UNHEALTHY", "unhealthy"),
        ("DRAINING", "draining"),
        ("TIMEOUT", "unhealthy"),
    ],
)
def test_health(status: str, health: str) -> None:
    found = compile_endpoints(assignment(at("10.0.0.1", f", health_status: {status}")))
    assert found.localities[0].endpoints[0].health == health


def test_degraded_endpoints_are_refused() -> None:
    with pytest.raises(Rejected, match=r"endpoints\[0\]\.lb_endpoints\[0\]\.health_status: DEGRADED is not supported"):
        compile_endpoints(assignment(at("10.0.0.1", ", health_status: DEGRADED")))


def test_an_empty_assignment_is_fine() -> None:
    assert compile_endpoints(proto(ClusterLoadAssignment, "{cluster_name: c}")).localities == ()


def test_names_only_where_they_are_resolved() -> None:
    with pytest.raises(Rejected, match=r"malformed IP address: 'a\.example'"):
        compile_endpoints(assignment(at("a.example")))
    endpoint = compile_endpoints(assignment(at("a.example")), names=True).localities[0].endpoints[0]
    assert (endpoint.address, endpoint.hostname) == ("a.example", "a.example")


def test_policy() -> None:
    drops = "[{category: x, drop_percentage: {numerator: 50}}]"
    found = compile_endpoints(
        assignment(at("10.0.0.1"), more=f", policy: {{overprovisioning_factor: 200, drop_overloads: {drops}}}")
    )
    assert (found.overprovisioning, found.drop_fractions) == (2.0, (("x", 0.5),))


def test_a_unix_socket() -> None:
    found = compile_endpoints(assignment("{endpoint: {address: {pipe: {path: /run/app.sock}}}}"))
    assert found.localities[0].endpoints[0].host_port == "/run/app.sock"


@pytest.mark.parametrize(
    ("one", "path", "reason"),
    [
        (proto(ClusterLoadAssignment, "{}"), "cluster_name", "empty"),
        (assignment(at("10.0.0.1"), group=", priority: 1"), "endpoints", "have gaps"),
        (assignment(at("10.0.0.1"), group=", priority: 200"), "endpoints[0].priority", "more than 128"),
        (
            assignment(at("10.0.0.1", ", load_balancing_weight: 0")),
            "endpoints[0].lb_endpoints[0].load_balancing_weight",
            "1 or more",
        ),
        (
            assignment(at("10.0.0.1", ", load_balancing_weight: 4294967295"), at("10.0.0.2")),
            "endpoints[0]",
            "weights of its endpoints",
        ),
        (
            assignment("{endpoint_name: x}"),
            "endpoints[0].lb_endpoints[0].endpoint_name",
            "not supported",
        ),
        (
            assignment("{endpoint: {address: {pipe: {path: rel}}}}"),
            "endpoints[0].lb_endpoints[0].endpoint.address.pipe.path",
            "absolute",
        ),
        (
            assignment("{endpoint: {address: {envoy_internal_address: {server_listener_name: x}}}}"),
            "endpoints[0].lb_endpoints[0].endpoint.address",
            "only a socket_address",
        ),
    ],
)
def test_refuses(one: ClusterLoadAssignment, path: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason) as caught:
        compile_endpoints(one)
    assert caught.value.path == path
