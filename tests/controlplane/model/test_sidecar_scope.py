"""Which Sidecar is a workload's, and what it lets its proxy know."""

from controlplane.model.sidecar_scope import SidecarScope, build_scope, select_sidecar
from controlplane.translate.built import Memo
from tests.controlplane.model.factory import mesh, resource, service

MAIL = "mail.back.svc.cluster.local"
EXTRA = "exportTo: ['.']"


def scope(spec: str | None, namespace: str = "default") -> SidecarScope:
    resources = [
        service("web"),
        service("api", port=81),
        service("mail", namespace="back"),
        service("hidden", namespace="back", more=EXTRA),
        resource("VirtualService", "web", "{hosts: [web], http: [{route: [{destination: {host: mail.back}}]}]}"),
    ]
    if spec is not None:
        resources.append(resource("Sidecar", "s", spec, namespace))
    made = mesh(*resources)
    sidecar = made.sidecars[0] if made.sidecars else None
    return build_scope(sidecar, namespace, made.services, made.virtual_services, mesh_allow_any=True)


def hosts(made: SidecarScope) -> set[str]:
    return {s.host.removesuffix(".svc.cluster.local") for s in made.services}


def test_without_a_sidecar_everything_exported_is_known() -> None:
    assert hosts(scope(None)) == {"web.default", "api.default", "mail.back"}
    assert scope(None).allow_any


def test_hosts_are_namespace_and_name() -> None:
    assert hosts(scope("{egress: [{hosts: [./*]}]}")) == {"web.default", "api.default"}
    assert hosts(scope("{egress: [{hosts: ['back/*']}]}")) == {"mail.back"}
    assert hosts(scope("{egress: [{hosts: ['*/mail.back.svc.cluster.local']}]}")) == {"mail.back"}
    assert hosts(scope("{egress: [{hosts: ['~/*']}]}")) == set()


def test_a_port_shows_what_fits_it_or_the_only_port() -> None:
    made = scope("{egress: [{port: {number: 81, protocol: HTTP, name: x}, hosts: ['*/*']}]}")
    assert {(s.host.split(".")[0], s.ports[0].number) for s in made.services} == {
        ("web", 80), ("api", 81), ("mail", 80),
    }  # fmt: skip
    assert made.egress_for_port(81) is made.egress[0]
    assert made.egress_for_port(80) is None


def test_the_listener_of_all_other_ports() -> None:
    made = scope("{egress: [{port: {number: 81, protocol: HTTP, name: x}, hosts: [./*]}, {hosts: ['back/*']}]}")
    assert made.egress_for_port(9999) is made.egress[1]


def test_what_an_imported_virtual_service_sends_to_is_known_too() -> None:
    made = mesh(
        service("web"),
        service("mail", namespace="back"),
        resource(
            "VirtualService",
            "web",
            "{hosts: [web], http: [{route: [{destination: {host: mail.back.svc.cluster.local}}]}]}",
        ),
        resource("Sidecar", "s", "{egress: [{hosts: [./*]}]}"),
    )
    found = build_scope(made.sidecars[0], "default", made.services, made.virtual_services, mesh_allow_any=True)
    assert hosts(found) == {"web.default", "mail.back"}
    assert [s.host.split(".")[0] for s in found.egress[0].services] == ["web"]


def test_the_outbound_policy_of_the_sidecar() -> None:
    assert not scope("{outboundTrafficPolicy: {mode: REGISTRY_ONLY}, egress: [{hosts: ['*/*']}]}").allow_any


def test_a_selecting_sidecar_comes_before_the_namespaces_default() -> None:
    made = mesh(
        resource("Sidecar", "root", "{egress: [{hosts: ['*/*']}]}", "istio-system"),
        resource("Sidecar", "default", "{egress: [{hosts: ['*/*']}]}"),
        resource("Sidecar", "web", "{workloadSelector: {labels: {app: web}}, egress: [{hosts: ['*/*']}]}"),
    )
    chosen = [
        select_sidecar(made.sidecars, namespace, {"app": app}, "istio-system")
        for namespace, app in (("default", "web"), ("default", "api"), ("other", "web"))
    ]
    assert [c.name if c else None for c in chosen] == ["web", "default", "root"]


def test_own_namespace_first_for_a_host_declared_in_two() -> None:
    spec = "{hosts: [api.example], ports: [{number: %d, name: a, protocol: TCP}]}"
    made = mesh(resource("ServiceEntry", "a", spec % 1, "a"), resource("ServiceEntry", "b", spec % 2, "b"))
    for namespace, port in (("a", 1), ("b", 2), ("c", 1)):
        found = build_scope(None, namespace, made.services, (), mesh_allow_any=True)
        assert [s.ports[0].number for s in found.services] == [port]


def test_sidecars_that_import_the_same_share_it() -> None:
    egress = "egress: [{port: {number: %d, name: proxy, protocol: HTTP_PROXY}, hosts: [./*]}]"
    made = mesh(
        service("web"),
        service("mail", namespace="back"),
        resource("VirtualService", "web", f"{{hosts: [web], http: [{{route: [{{destination: {{host: {MAIL}}}}}]}}]}}"),
        *(resource("Sidecar", f"s{port}", f"{{{egress % port}}}") for port in (15001, 15002)),
    )
    memo = Memo()
    first, second = (
        build_scope(sidecar, "default", made.services, made.virtual_services, True, memo.get)
        for sidecar in made.sidecars
    )
    assert first.services is second.services and hosts(first) == {"web.default", "mail.back"}
    assert first.egress[0].virtual_services is second.egress[0].virtual_services
    assert (first.egress[0].port, second.egress[0].port) == (15001, 15002)
