"""Which names are found, by what, and which are not."""

import pytest

from sidecar.agent.dns_message import wire_name
from sidecar.agent.dns_names import NameIndex
from sidecar.config.names import HostAddresses, NameTable


def host(n: int) -> HostAddresses:
    return HostAddresses((bytes((10, 0, 0, n)),))


INDEX = NameIndex(
    NameTable(
        {
            "reviews": host(1),
            "reviews.default": host(1),
            "api.example": host(2),
            "*.wild.example": host(3),
            "own.wild.example": host(4),
            "*.deep.wild.example": host(5),
        }
    ),
    search="default.svc.cluster.local",
)


@pytest.mark.parametrize(
    ("name", "number", "alias_of"),
    [
        ("reviews", 1, ""),
        ("reviews.default", 1, ""),
        ("reviews.other", None, ""),
        ("api.example", 2, ""),
        ("www.api.example", None, ""),
        ("a.wild.example", 3, ""),
        ("b.a.wild.example", 3, ""),
        ("wild.example", None, ""),
        ("notwild.example", None, ""),
        ("own.wild.example", 4, ""),
        ("x.deep.wild.example", 5, ""),
        ("deep.wild.example", 3, ""),
        # With the search domain behind it.
        ("reviews.default.svc.cluster.local", 1, "reviews"),
        ("api.example.default.svc.cluster.local", 2, "api.example"),
        ("a.wild.example.default.svc.cluster.local", 3, "a.wild.example"),
        ("api.example.svc.cluster.local", None, ""),
        ("unknown.default.svc.cluster.local", None, ""),
        ("default.svc.cluster.local", None, ""),
        ("reviewsdefault.svc.cluster.local", None, ""),
        ("", None, ""),
    ],
)
def test_finding(name: str, number: int | None, alias_of: str) -> None:
    found = INDEX.find(wire_name(name))
    assert (found.addresses if found else None) == (host(number) if number else None)
    assert found is None or found.alias_of == (wire_name(alias_of) if alias_of else b"")


def test_the_search_domain_must_begin_at_a_label() -> None:
    index = NameIndex(NameTable({"a": host(1)}), search="b")
    assert index.find(wire_name("a.b")) is not None
    # A label whose bytes look like the search domain's wire form.
    assert index.find(b"\x01a\x03xx\x01b\x00"[:-1] + b"\x00") is None
    assert index.find(b"\x04a\x01\x01b\x00") is None


def test_a_declared_name_is_itself_and_no_alias() -> None:
    index = NameIndex(NameTable({"a": host(1), "a.b": host(2)}), search="b")
    found = index.find(wire_name("a.b"))
    assert found is not None and (found.addresses, found.alias_of) == (host(2), b"")


def test_a_host_that_is_no_domain_name_costs_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    index = NameIndex(NameTable({"x" * 64 + ".example": host(1), "a..b": host(2), "ok.example": host(3)}))
    assert index.find(wire_name("ok.example")) is not None
    assert len(caplog.messages) == 2 and "a..b" in caplog.text
