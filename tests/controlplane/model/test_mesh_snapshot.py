"""The snapshot: indexes, precedence, warnings, and that what did not change keeps its identity."""

from controlplane.model.mesh_snapshot import MeshSnapshot, build_snapshot
from controlplane.model.proxy import Proxy
from lugsail.api.base import Resource
from tests.controlplane.model.factory import mesh, resource, service, sidecar, workload

ROUTE = "{hosts: [web], http: [{route: [{destination: {host: web, subset: %s}}]}]}"


def hosts(made: MeshSnapshot, proxy: Proxy) -> list[str]:
    return [service.host.split(".")[0] for service in made.services_of(proxy)]


def resting(name: str, address: str, app: str) -> Resource:
    status = {"conditions": [{"type": "Healthy", "status": "False"}]}
    return workload(name, address, app).model_copy(update={"status": status})


def test_a_proxys_services_are_those_of_the_workload_of_its_name_wherever_it_is() -> None:
    made = mesh(service("web"), service("api"), workload("web-v1", "10.0.0.1", "web"), workload("x", "10.0.0.2", "api"))
    assert hosts(made, sidecar("web-v1", "10.0.0.1")) == ["web"]
    assert hosts(made, sidecar("web-v1", "10.0.0.2")) == ["web"], "the old address is another's by now"
    assert hosts(made, sidecar("web-v1", "10.0.0.2", namespace="other")) == ["api"]


def test_a_proxy_without_such_a_workload_is_known_by_its_address() -> None:
    made = mesh(service("web"), service("api"), workload("web-v1", "10.0.0.1", "web"))
    assert hosts(made, sidecar("other", "10.0.0.1")) == ["web"]
    assert hosts(made, sidecar("other", "10.9.9.9")) == []


def test_services_with_endpoints_of_their_own_on_the_workloads_address_count_too() -> None:
    spec = "{hosts: [in.line], location: MESH_INTERNAL, resolution: STATIC, endpoints: [{address: 10.0.0.1}], %s}"
    inline = resource("ServiceEntry", "web", spec % "ports: [{number: 1, name: a}]")
    made = mesh(inline, service("api"), workload("web-v1", "10.0.0.1", "api"))
    assert hosts(made, sidecar("web-v1", "10.9.9.9")) == ["api", "in"]
    assert hosts(made, sidecar("web-0", "10.9.9.9")) == [], "the name of an inline endpoint is nobody's"


def test_an_unhealthy_workload_is_no_endpoint_but_its_proxy_keeps_its_services() -> None:
    first = mesh(service("web"), workload("web-v1", "10.0.0.1", "web"))
    second = mesh(service("web"), resting("web-v1", "10.0.0.1", "web"), previous=first)
    assert second.endpoints_for(second.services[0]) == ()
    assert hosts(second, sidecar("web-v1", "10.0.0.1")) == ["web"] == hosts(second, sidecar("other", "10.0.0.1"))
    assert second.instances_of(sidecar("web-v1")) == first.instances_of(sidecar("web-v1"))


def test_the_registry_knows_where_a_workload_is() -> None:
    placed = resource("WorkloadEntry", "web-v1", "{address: 10.0.0.1, labels: {app: web}, locality: eu/a}")
    made = mesh(service("web"), placed, workload("web-v2", "10.0.0.2", "web"))
    assert [made.locality_of(sidecar(name)) for name in ("web-v1", "web-v2", "other")] == ["eu/a", "", "eu/a"]


def test_applied_resources_come_before_the_registry() -> None:
    registry = [service("web", port=80)]
    made = build_snapshot([service("web", port=81)], registry)
    assert [s.ports[0].number for s in made.services] == [81]


def test_one_host_declared_twice_in_a_namespace_is_the_older_ones() -> None:
    spec = "{hosts: [api.example], resolution: NONE, ports: [{number: %d, name: a, protocol: TCP}]}"
    made = mesh(
        resource("ServiceEntry", "late", spec % 1, created="2024-02-02T00:00:00Z"),
        resource("ServiceEntry", "early", spec % 2, created="2024-01-01T00:00:00Z"),
    )
    assert [s.config.name for s in made.services] == ["early"]
    assert "already declared by ServiceEntry default/early" in str(made.warnings[0])


def test_a_destination_rule_for_nothing_is_warned_of() -> None:
    made = mesh(resource("DestinationRule", "lost", "{host: nobody}"))
    assert "no service is called nobody.default.svc.cluster.local" in str(made.warnings[0])


def test_what_did_not_change_is_the_same_object() -> None:
    kept = [service("web"), workload("web-v1", "10.0.0.1", "web"), resource("DestinationRule", "web", "{host: web}")]
    first = mesh(*kept, resource("VirtualService", "web", ROUTE % "v1"))
    second = mesh(*kept, resource("VirtualService", "web", ROUTE % "v2"), previous=first)
    assert second.services is first.services
    assert second.endpoints_for(second.services[0]) is first.endpoints_for(first.services[0])
    assert second.virtual_services != first.virtual_services
    again = [service("web"), workload("web-v1", "10.0.0.1", "web"), resource("DestinationRule", "web", "{host: web}")]
    third = mesh(*again, resource("VirtualService", "web", ROUTE % "v2"), previous=second)
    assert third.virtual_services is second.virtual_services, "the same words are the same, whoever loaded them"
    assert third.services is second.services


def test_an_endpoint_change_leaves_services_alone() -> None:
    first = mesh(service("web"), workload("web-v1", "10.0.0.1", "web"))
    second = mesh(service("web"), workload("web-v1", "10.0.0.2", "web"), previous=first)
    assert second.services is first.services
    assert [e.address for e in second.endpoints_for(second.services[0])] == ["10.0.0.2"]


def test_a_new_delegate_changes_the_virtual_service_that_names_it() -> None:
    root = resource("VirtualService", "root", "{hosts: [web], http: [{delegate: {name: inner}}]}")
    inner = "{http: [{timeout: %s, route: [{destination: {host: web}}]}]}"
    first = mesh(root, resource("VirtualService", "inner", inner % "1s"))
    second = mesh(root, resource("VirtualService", "inner", inner % "2s"), previous=first)
    assert [v.name for v in first.virtual_services] == ["root"]
    assert second.virtual_services[0] is not first.virtual_services[0]
    assert second.virtual_services[0].http[0].rule.timeout == "2s"


def test_endpoints_are_indexed_again_only_when_services_or_workloads_changed() -> None:
    parts = (service("web"), workload("web-1", "10.0.0.1", "web"))
    first = mesh(*parts)
    route = "{hosts: [web], http: [{directResponse: {status: 200}}]}"
    second = mesh(*parts, resource("VirtualService", "web", route), previous=first)
    assert second.endpoints is first.endpoints
    third = mesh(*parts, workload("web-2", "10.0.0.2", "web"), previous=second)
    assert len(third.endpoints[third.services[0].key]) == 2
    assert third.services_of(sidecar("web-2")) == third.services
