"""What stands in a proxy's name table, and what does not change it."""

from typing import Any

from controlplane.model.mesh_snapshot import MeshSnapshot
from controlplane.model.proxy import Proxy
from controlplane.translate.build import Translator
from controlplane.translate.name_table import RESOURCE_NAME
from controlplane.translate.protos import NAME_TABLE_TYPE
from tests.controlplane.model.factory import mesh, resource, service, sidecar, workload

CAPTURING = sidecar("web-v1", "10.0.0.1", metadata=(("DNS_CAPTURE", "true"),))
WEB = "web.default.svc.cluster.local"


def entry(host: str, more: str, name: str = "entry", namespace: str = "default") -> Any:
    ports = "ports: [{number: 90, name: tcp, protocol: TCP}]"
    return resource("ServiceEntry", name, f"{{hosts: ['{host}'], {ports}, {more}}}", namespace)


def table(made: MeshSnapshot, proxy: Proxy = CAPTURING) -> dict[str, list[str]]:
    (built,) = Translator().build(made, proxy, NAME_TABLE_TYPE, None).values()
    return {host: list(info.ips) for host, info in built.message.table.items()}


def test_a_service_is_named_by_its_addresses_and_says_who_it_is() -> None:
    made = mesh(service("web", more="addresses: [10.1.1.1, 10.2.0.0/16, 'fd00::1']"))
    (built,) = Translator().build(made, CAPTURING, NAME_TABLE_TYPE, None).values()
    info = built.message.table[WEB]
    assert (built.name, list(info.ips)) == (RESOURCE_NAME, ["10.1.1.1", "fd00::1"])
    assert (info.registry, info.shortname, info.namespace) == ("Kubernetes", "web", "default")


def test_a_network_alone_names_nothing() -> None:
    assert table(mesh(entry("net.example", "addresses: [10.2.0.0/16], resolution: NONE"))) == {}


def test_a_wildcard_is_answered_with_its_endpoints_and_never_with_names() -> None:
    endpoints = "endpoints: [{address: 192.0.2.1}, {address: 192.0.2.2}]"
    assert table(mesh(entry("*.wild.example", f"resolution: STATIC, {endpoints}"))) == {
        "*.wild.example": ["192.0.2.1", "192.0.2.2"]
    }
    by_name = "endpoints: [{address: lb.example}]"
    assert table(mesh(entry("*.wild.example", f"resolution: DNS, {by_name}"))) == {}


def test_what_the_proxy_may_not_see_is_not_named() -> None:
    hidden = entry("hidden.example", "exportTo: ['.'], resolution: DNS", "hidden", "other")
    shown = entry("shown.example", "resolution: DNS", "shown", "other")
    assert table(mesh(hidden, shown)).keys() == {"shown.example"}
    scope = resource("Sidecar", "default", "{egress: [{hosts: ['./*']}]}")
    assert table(mesh(shown, service("web"), scope)).keys() == {WEB}


def test_a_proxy_that_captures_no_dns_is_given_no_automatic_addresses() -> None:
    made = mesh(entry("a.example", "resolution: DNS"))
    assert table(made).keys() == {"a.example"}
    assert table(made, sidecar()) == {}


def test_endpoints_come_and_go_without_a_new_table() -> None:
    translator = Translator()
    first = mesh(service("web"), workload("web-v1", "10.0.0.1", "web"))
    second = mesh(service("web"), workload("web-v1", "10.0.0.9", "web"), previous=first)
    one, other = (translator.build(made, CAPTURING, NAME_TABLE_TYPE, None) for made in (first, second))
    assert one[RESOURCE_NAME] is other[RESOURCE_NAME]


def test_names_that_are_asked_for() -> None:
    made = mesh(service("web"))
    assert Translator().build(made, CAPTURING, NAME_TABLE_TYPE, frozenset({"other"})) == {}
    assert RESOURCE_NAME in Translator().build(made, CAPTURING, NAME_TABLE_TYPE, frozenset({RESOURCE_NAME}))
