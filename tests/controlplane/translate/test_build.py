"""The translator as a whole: what is shared, what gets a new version, what can change at all."""

from controlplane.model.mesh_snapshot import MeshSnapshot
from controlplane.model.proxy import Proxy
from controlplane.translate.build import TYPES, Translator
from controlplane.translate.built import BuiltResource
from controlplane.translate.protos import (
    CLUSTER_TYPE,
    ENDPOINT_TYPE,
    LISTENER_TYPE,
    NAME_TABLE_TYPE,
    ROUTE_TYPE,
    WORKLOAD_TYPE,
)
from tests.controlplane.model.factory import mesh, resource, service, sidecar, workload

WEB = "web.default.svc.cluster.local"
API = "api.default.svc.cluster.local"
SUBSETS = "{host: web, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}"
Versions = dict[tuple[str, str], str]


def base(route: str, *more: object, previous: MeshSnapshot | None = None, address: str = "10.0.0.1") -> MeshSnapshot:
    return mesh(
        service("web"),
        service("api", port=81),
        workload("web-v1", address, "web"),
        workload("web-v2", "10.0.0.2", "web", version="v2"),
        workload("api-v1", "10.0.0.3", "api"),
        resource("DestinationRule", "web", SUBSETS),
        resource("VirtualService", "web", f"{{hosts: [web], http: [{{route: [{{destination: {route}}}]}}]}}"),
        *more,  # type: ignore[arg-type]
        previous=previous,
    )


def everything(translator: Translator, made: MeshSnapshot, proxy: Proxy) -> dict[tuple[str, str], BuiltResource]:
    out: dict[tuple[str, str], BuiltResource] = {}
    clusters = translator.build(made, proxy, CLUSTER_TYPE, None)
    names = {
        CLUSTER_TYPE: None,
        LISTENER_TYPE: None,
        NAME_TABLE_TYPE: None,
        WORKLOAD_TYPE: None,
        ROUTE_TYPE: frozenset({"80", "81"}),
        ENDPOINT_TYPE: frozenset(name for name in clusters if name.startswith("outbound")),
    }
    for type_url in TYPES:
        built = translator.build(made, proxy, type_url, names[type_url])
        out.update({(type_url, name): resource for name, resource in built.items()})
    return out


def versions(translator: Translator, made: MeshSnapshot, proxy: Proxy) -> Versions:
    return {key: resource.version for key, resource in everything(translator, made, proxy).items()}


def changed(before: Versions, after: Versions) -> set[tuple[str, str]]:
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


def test_only_the_routes_change_with_a_virtual_service() -> None:
    translator = Translator()
    first = base("{host: web, subset: v1}")
    before = versions(translator, first, sidecar())
    after = versions(translator, base("{host: web, subset: v2}", previous=first), sidecar())
    assert changed(before, after) == {(ROUTE_TYPE, "80")}


def test_only_the_endpoints_change_with_a_workload() -> None:
    translator = Translator()
    caller = sidecar("api-v1", "10.0.0.3", "api")
    first = base("{host: web}")
    before = versions(translator, first, caller)
    after = versions(translator, base("{host: web}", previous=first, address="10.0.0.9"), caller)
    workloads = {(WORKLOAD_TYPE, "10.0.0.1"), (WORKLOAD_TYPE, "10.0.0.9")}
    assert changed(before, after) == {(ENDPOINT_TYPE, f"outbound|80|{s}|{WEB}") for s in ("", "v1")} | workloads


def test_only_the_cluster_changes_with_a_traffic_policy() -> None:
    translator = Translator()
    first = base("{host: web}")
    rule = resource("DestinationRule", "api", "{host: api, trafficPolicy: {loadBalancer: {simple: RANDOM}}}")
    before = versions(translator, first, sidecar())
    after = versions(translator, base("{host: web}", rule, previous=first), sidecar())
    assert changed(before, after) == {(CLUSTER_TYPE, f"outbound|81||{API}")}


def test_versions_are_content_not_history() -> None:
    one = versions(Translator(), base("{host: web}"), sidecar())
    other = versions(Translator(), base("{host: web}"), sidecar())
    assert one == other


def test_proxies_that_see_the_same_share_the_same_objects() -> None:
    translator = Translator()
    made = base("{host: web}")
    one = everything(translator, made, sidecar("web-v1", "10.0.0.1"))
    other = everything(translator, made, sidecar("web-v2", "10.0.0.2"))
    shared = [key for key in one if one[key] is other.get(key)]
    kinds = {CLUSTER_TYPE, ENDPOINT_TYPE, ROUTE_TYPE, NAME_TABLE_TYPE, WORKLOAD_TYPE}
    assert {type_url for type_url, _ in shared} == kinds
    assert (ROUTE_TYPE, "80") in shared and (CLUSTER_TYPE, f"outbound|80||{WEB}") in shared


def test_callers_that_rules_tell_apart_do_not_share() -> None:
    translator = Translator()
    rule = "{hosts: [api], http: [{match: [{sourceLabels: {app: web}}], directResponse: {status: 418}}, {route: [{destination: {host: api}}]}]}"  # noqa: E501
    made = base("{host: web}", resource("VirtualService", "api", rule))
    names = frozenset({"81"})
    web = translator.build(made, sidecar(), ROUTE_TYPE, names)["81"]
    api = translator.build(made, sidecar("api-v1", "10.0.0.3", "api"), ROUTE_TYPE, names)["81"]
    assert web.version != api.version


def test_unknown_names() -> None:
    made = base("{host: web}")
    translator = Translator()
    assert translator.build(made, sidecar(), ROUTE_TYPE, frozenset({"9999", "nonsense"})).keys() == {"9999"}
    gone = f"outbound|80|v9|{WEB}"
    built = translator.build(made, sidecar(), ENDPOINT_TYPE, frozenset({gone, "nonsense"}))
    assert {name: len(r.message.endpoints) for name, r in built.items()} == {gone: 0, "nonsense": 0}
    assert translator.build(made, sidecar(), "type.googleapis.com/unknown", None) == {}


def test_a_router_without_gateways_has_no_listeners_or_routes() -> None:
    router = sidecar("edge", "10.0.0.8", "edge", kind="router")
    translator = Translator()
    made = base("{host: web}")
    assert translator.build(made, router, LISTENER_TYPE, None) == {}
    assert translator.build(made, router, ROUTE_TYPE, frozenset({"http.80"})) == {}


def test_names_pick_listeners_and_clusters() -> None:
    made = base("{host: web}")
    built = Translator().build(made, sidecar(), CLUSTER_TYPE, frozenset({"BlackHoleCluster"}))
    assert built.keys() == {"BlackHoleCluster"}


def test_conflicts_are_kept_while_results_are_reused_and_dropped_on_leaving() -> None:
    second = resource("VirtualService", "z", "{hosts: [web], http: [{directResponse: {status: 200}}]}")
    made = base("{host: web}", second)
    translator = Translator()
    for _ in range(2):
        translator.build(made, sidecar(), ROUTE_TYPE, frozenset({"80"}))
        assert [str(c) for c in translator.conflicts(sidecar())] == [
            f"VirtualService default/z: host {WEB} is already routed by VirtualService default/web; the oldest wins"
        ]
    translator.forget(sidecar())
    assert translator.conflicts(sidecar()) == ()


def test_the_bind_address_of_a_gateway() -> None:
    gateway = resource(
        "Gateway",
        "edge",
        "{selector: {app: edge}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}",
    )
    made = base("{host: web}", gateway)
    router = sidecar("edge", "10.0.0.8", "edge", kind="router", bind_address="127.0.0.1")
    built = Translator().build(made, router, LISTENER_TYPE, None)
    assert built.keys() == {"127.0.0.1_80"}
    assert built["127.0.0.1_80"].message.address.socket_address.address == "127.0.0.1"
