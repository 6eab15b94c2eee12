"""Endpoints of services: picked by selector, written inline, or the host itself."""

from controlplane.model.endpoint import Endpoint
from controlplane.model.service import Port
from tests.controlplane.model.factory import mesh, resource, service, workload


def test_a_selector_picks_workloads_of_its_own_namespace() -> None:
    made = mesh(
        service("web"),
        workload("web-v1", "10.0.0.1", "web"),
        workload("web-v2", "10.0.0.2", "web", version="v2"),
        workload("other", "10.0.0.3", "other"),
        workload("web-v1", "10.0.0.4", "web", namespace="elsewhere"),
    )
    assert [e.address for e in made.endpoints_for(made.services[0])] == ["10.0.0.1", "10.0.0.2"]


def test_inline_endpoints_are_called_after_the_service() -> None:
    made = mesh(
        resource(
            "ServiceEntry",
            "db",
            """
            hosts: [db.example]
            resolution: STATIC
            ports: [{number: 1, name: tcp, protocol: TCP}]
            endpoints: [{address: 10.0.0.1, weight: 5}, {address: 10.0.0.2, locality: eu/a}]
            """,
        )
    )
    first, second = made.endpoints_for(made.services[0])
    assert (first.workload, first.weight, second.workload, second.weight) == ("db-0", 5, "db-1", 1)
    assert second.locality == "eu/a"


def test_dns_without_endpoints_resolves_the_host() -> None:
    spec = "{hosts: [api.example], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}"
    made = mesh(resource("ServiceEntry", "api", spec))
    assert [e.address for e in made.endpoints_for(made.services[0])] == ["api.example"]


def test_the_port_of_an_endpoint() -> None:
    port = Port(80, "http", "HTTP", 8080)
    plain = Endpoint("10.0.0.1", (), (), "", 1, "", "w", "default")
    own = Endpoint("10.0.0.1", (("http", 9999),), (), "", 1, "", "w", "default")
    assert (plain.port_for(port), own.port_for(port)) == (8080, 9999)


def test_the_description_is_istios_workload_metadata() -> None:
    labels = (("app", "reviews"), ("version", "v2"))
    endpoint = Endpoint("10.0.0.1", (), labels, "", 1, "", "reviews-v2", "shop")
    assert endpoint.description("Kubernetes") == "reviews-v2;shop;reviews;v2;Kubernetes"
    assert Endpoint("a", (), (), "", 1, "", "w", "ns").description("c") == "w;ns;w;;c"
