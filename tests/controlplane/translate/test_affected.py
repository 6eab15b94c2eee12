"""What is said to be unaffected really is; what is said to be affected is no more than it must be."""

from itertools import permutations

import pytest

from controlplane.model.mesh_snapshot import MeshSnapshot
from controlplane.translate.affected import ALL_TYPES, PROXY_TYPES, RULE_TYPES, affected_types
from controlplane.translate.build import Translator
from controlplane.translate.protos import LISTENER_TYPE, ROUTE_TYPE, WORKLOAD_TYPE
from lugsail.api.base import Resource
from tests.controlplane.model.factory import resource, sidecar
from tests.controlplane.translate.test_build import base, changed, versions

GATEWAY = "{selector: {a: b}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}"
TCP = "{hosts: [api], tcp: [{route: [{destination: {host: api}}]}]}"

VARIANTS: dict[str, tuple[Resource, ...]] = {
    "none": (),
    "http rule": (resource("VirtualService", "extra", "{hosts: [api], http: [{directResponse: {status: 200}}]}"),),
    "other status": (resource("VirtualService", "extra", "{hosts: [api], http: [{directResponse: {status: 503}}]}"),),
    "tcp rule": (resource("VirtualService", "extra", TCP),),
    "elsewhere": (
        resource("VirtualService", "extra", "{hosts: [api], http: [{route: [{destination: {host: web}}]}]}"),
    ),
    "rule": (resource("DestinationRule", "extra", "{host: api, trafficPolicy: {loadBalancer: {simple: RANDOM}}}"),),
    "gateway": (resource("Gateway", "extra", GATEWAY),),
    "sidecar": (resource("Sidecar", "extra", "{egress: [{hosts: ['./web.default.svc.cluster.local']}]}"),),
    "importing sidecar": (
        resource("Sidecar", "extra", "{egress: [{hosts: ['./api.default.svc.cluster.local']}]}"),
        resource("VirtualService", "extra", "{hosts: [api], http: [{route: [{destination: {host: web}}]}]}"),
    ),
}


def snapshot(variant: str, previous: MeshSnapshot | None = None) -> MeshSnapshot:
    return base("{host: web}", *VARIANTS[variant], previous=previous)


@pytest.mark.parametrize(("old", "new"), list(permutations(VARIANTS, 2)))
def test_nothing_else_changes(old: str, new: str) -> None:
    first = snapshot(old)
    second = snapshot(new, first)
    before = versions(Translator(), first, sidecar())
    after = versions(Translator(), second, sidecar())
    assert {type_url for type_url, _ in changed(before, after)} <= affected_types(first, second)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("http rule", "http rule", frozenset()),
        ("http rule", "other status", {ROUTE_TYPE}),
        ("none", "gateway", {LISTENER_TYPE, ROUTE_TYPE}),
        ("http rule", "elsewhere", RULE_TYPES),
        ("none", "rule", PROXY_TYPES),
        ("none", "sidecar", RULE_TYPES),
    ],
)
def test_no_more_than_needed(old: str, new: str, expected: frozenset[str]) -> None:
    first = snapshot(old)
    assert affected_types(first, snapshot(new, first)) == expected


def test_layer_4_rules_reach_into_listeners() -> None:
    first = snapshot("tcp rule")
    match = "{hosts: [api], tcp: [{match: [{port: 81}], route: [{destination: {host: api}}]}]}"
    second = base("{host: web}", resource("VirtualService", "extra", match), previous=first)
    assert affected_types(first, second) == {LISTENER_TYPE, ROUTE_TYPE}


def test_a_changed_endpoint_affects_everything_but_names() -> None:
    first = base("{host: web}")
    found = affected_types(first, base("{host: web}", address="10.0.0.9", previous=first))
    assert found == PROXY_TYPES | {WORKLOAD_TYPE}


def test_a_changed_endpoint_of_a_service_without_an_address_affects_names_too() -> None:
    def wild(address: str, previous: MeshSnapshot | None = None) -> MeshSnapshot:
        spec = f"{{hosts: ['*.db.example'], resolution: STATIC, ports: [{{number: 90, name: t, protocol: TCP}}], \
            endpoints: [{{address: {address}}}]}}"
        return base("{host: web}", resource("ServiceEntry", "wild", spec), previous=previous)

    first = wild("10.0.0.50")
    assert affected_types(first, wild("10.0.0.51", first)) == RULE_TYPES


def test_the_first_snapshot_affects_everything() -> None:
    assert affected_types(None, snapshot("none")) == ALL_TYPES
