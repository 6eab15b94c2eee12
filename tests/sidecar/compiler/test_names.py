"""The name table's entries, and the short forms that they stand for."""

import ipaddress

import pytest

from sidecar.compiler.names import compile_names
from sidecar.config.names import HostAddresses
from sidecar.config.rejected import Rejected
from sidecar.xds.name_table import NameTable

DOMAIN = "default.svc.cluster.local"


def ip(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


def mesh_service(name: str, namespace: str, *ips: str) -> dict[str, object]:
    return {"ips": ips, "registry": "Kubernetes", "shortname": name, "namespace": namespace}


def hosts(**table: object) -> dict[str, HostAddresses]:
    return dict(compile_names(NameTable(table=table), DOMAIN).hosts)


def test_a_service_of_the_own_namespace() -> None:
    found = hosts(**{"reviews.default.svc.cluster.local": mesh_service("reviews", "default", "10.0.0.1")})
    assert found.keys() == {
        "reviews",
        "reviews.default",
        "reviews.default.svc",
        "reviews.default.svc.cluster.local",
    }
    assert set(found.values()) == {HostAddresses((ip("10.0.0.1"),))}


def test_a_service_of_another_namespace_has_no_bare_name() -> None:
    found = hosts(**{"api.other.svc.cluster.local": mesh_service("api", "other", "10.0.0.1")})
    assert found.keys() == {"api.other", "api.other.svc", "api.other.svc.cluster.local"}


def test_a_service_of_another_domain_and_an_external_host_stand_for_themselves() -> None:
    found = hosts(
        **{"api.other.svc.far.local": mesh_service("api", "other", "10.0.0.1"), "WWW.example": {"ips": ["10.0.0.2"]}}
    )
    assert found.keys() == {"api.other.svc.far.local", "www.example"}


def test_a_declared_host_wins_over_a_short_form() -> None:
    found = hosts(
        **{
            "reviews.default.svc.cluster.local": mesh_service("reviews", "default", "10.0.0.1"),
            "reviews": {"ips": ["10.0.0.2"]},
        }
    )
    assert found["reviews"] == HostAddresses((ip("10.0.0.2"),))


def test_both_families() -> None:
    found = hosts(**{"a.example": {"ips": ["10.0.0.1", "fd00::1", "10.0.0.2"]}})
    assert found["a.example"] == HostAddresses((ip("10.0.0.1"), ip("10.0.0.2")), (ip("fd00::1"),))


def test_what_is_no_address_is_refused_with_its_place() -> None:
    with pytest.raises(Rejected, match=r"table\[a.example\].ips\[1\]: 'nonsense' is not an IP address"):
        hosts(**{"a.example": {"ips": ["10.0.0.1", "nonsense"]}})
