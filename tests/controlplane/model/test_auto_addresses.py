import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.model import auto_addresses
from controlplane.model.auto_addresses import SLOTS, NoAddressLeft, address_key, address_of_slot, allocate
from controlplane.model.mesh_snapshot import MeshSnapshot
from tests.controlplane.model.factory import mesh, resource, sidecar

NETWORK = ipaddress.ip_network("240.240.0.0/16")
WILD = """{hosts: ['*.example'], resolution: STATIC, endpoints: [{address: 1.2.3.4}],
    ports: [{number: 9000, name: tcp, protocol: TCP}]}"""
KEYS = st.lists(st.text("abcdef/.", min_size=1, max_size=8), unique=True, max_size=50)


def entry(name: str, spec: str = "resolution: DNS", created: str = "") -> object:
    ports = "ports: [{number: 9000, name: tcp, protocol: TCP}]"
    return resource("ServiceEntry", name, f"{{hosts: ['{name}.example'], {ports}, {spec}}}", created=created)


def automatic(made: MeshSnapshot) -> dict[str, str]:
    return {service.host: service.automatic_address for service in made.services}


@pytest.mark.parametrize(
    ("slot", "address"),
    [(0, "240.240.0.1"), (253, "240.240.0.254"), (254, "240.240.1.1"), (SLOTS - 1, "240.240.255.254")],
)
def test_the_ends_of_every_24_are_left_out(slot: int, address: str) -> None:
    assert address_of_slot(slot) == address


def test_the_same_in_every_process() -> None:
    # FNV-1a of "default/a.example", modulo the slots.
    assert allocate([address_key("default", "a.example")]) == {"default/a.example": "240.240.51.221"}


@given(KEYS)
def test_addresses_are_distinct_and_of_the_range(keys: list[str]) -> None:
    found = allocate(keys)
    assert found.keys() == set(keys)
    assert len(set(found.values())) == len(keys)
    assert all(ipaddress.ip_address(a) in NETWORK and a.split(".")[3] not in ("0", "255") for a in found.values())


@given(KEYS, st.integers(0, 50))
def test_a_newcomer_moves_nobody(keys: list[str], count: int) -> None:
    before = allocate(keys[:count])
    after = allocate(keys)
    assert all(after[key] == address for key, address in before.items())


def test_a_taken_address_is_passed_over() -> None:
    (first,) = allocate(["a/b"]).values()
    (second,) = allocate(["a/b"], [first]).values()
    assert first != second


def test_two_that_meet_get_different_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto_addresses, "_fnv1a", lambda data: 5)
    found = allocate(["a", "b", "c"])
    assert found["a"] == address_of_slot(5) and len(set(found.values())) == 3


def test_every_address_can_be_had_and_then_none_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto_addresses, "SLOTS", 12)
    # 65011 - 1 = 65010 is a multiple of 6: probing by it alone would meet two slots of twelve.
    monkeypatch.setattr(auto_addresses, "_fnv1a", lambda data: 1)
    assert len(set(allocate([str(i) for i in range(12)]).values())) == 12
    with pytest.raises(NoAddressLeft, match="for 12: all 12"):
        allocate([str(i) for i in range(13)])


def test_who_gets_one() -> None:
    found = automatic(
        mesh(
            entry("dns"),  # type: ignore[arg-type]
            entry("static", "resolution: STATIC, endpoints: [{address: 1.2.3.4}]"),  # type: ignore[arg-type]
            entry("none", "resolution: NONE"),  # type: ignore[arg-type]
            entry("own", "resolution: DNS, addresses: [10.0.0.1]"),  # type: ignore[arg-type]
            resource("ServiceEntry", "wild", WILD),
        )
    )
    assert {host for host, address in found.items() if address} == {"dns.example", "static.example"}


def test_an_older_service_keeps_its_address_when_a_newer_one_meets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto_addresses, "_fnv1a", lambda data: 7)
    old = mesh(entry("z", created="2024-01-01T00:00:00Z"))  # type: ignore[arg-type]
    new = mesh(
        entry("a", created="2024-01-02T00:00:00Z"),  # type: ignore[arg-type]
        entry("z", created="2024-01-01T00:00:00Z"),  # type: ignore[arg-type]
    )
    assert automatic(new)["z.example"] == automatic(old)["z.example"] == address_of_slot(7)


def test_an_address_that_somebody_declares_is_not_given_out_again() -> None:
    (taken,) = automatic(mesh(entry("a"))).values()  # type: ignore[arg-type]
    found = automatic(mesh(entry("a"), entry("b", f"resolution: DNS, addresses: [{taken}]")))  # type: ignore[arg-type]
    assert found["a.example"] not in ("", taken)


def test_unchanged_services_stay_the_same_objects() -> None:
    first = mesh(entry("a"), entry("b"))  # type: ignore[arg-type]
    kept = [r.resource for r in first.configs.values()]
    second = mesh(*kept, entry("c"), previous=first)  # type: ignore[arg-type]
    assert {id(s) for s in first.services} <= {id(s) for s in second.services}


def test_only_proxies_that_capture_dns_use_it() -> None:
    (service,) = mesh(entry("a")).services  # type: ignore[arg-type]
    assert service.addresses_for(sidecar()) == ()
    capturing = sidecar(metadata=(("DNS_CAPTURE", "true"),))
    assert service.addresses_for(capturing) == (service.automatic_address,) != ("",)
