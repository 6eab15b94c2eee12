"""Names of xDS resources, and how host names are resolved and matched."""

import pytest

from controlplane.model import names


def test_cluster_names_are_istios() -> None:
    assert names.outbound_cluster("reviews.default.svc.cluster.local", 9080, "v1") == (
        "outbound|9080|v1|reviews.default.svc.cluster.local"
    )
    assert names.inbound_cluster(9080) == "inbound|9080||"


def test_cluster_names_can_be_read_back() -> None:
    assert names.parse_cluster("outbound|9080|v1|reviews") == ("outbound", 9080, "v1", "reviews")
    assert names.parse_cluster("inbound|9080||") == ("inbound", 9080, "", "")


@pytest.mark.parametrize("text", ["BlackHoleCluster", "outbound|x||host", "outbound|1|2", ""])
def test_other_names_are_no_cluster_of_a_service(text: str) -> None:
    assert names.parse_cluster(text) is None


@pytest.mark.parametrize(
    ("host", "resolved"),
    [
        ("reviews", "reviews.shop.svc.cluster.local"),
        ("Reviews", "reviews.shop.svc.cluster.local"),
        ("reviews.other", "reviews.other"),
        ("*", "*"),
        ("*.example", "*.example"),
        ("api.example.com", "api.example.com"),
        ("fd00::1", "fd00::1"),
    ],
)
def test_a_short_name_means_the_own_namespace(host: str, resolved: str) -> None:
    assert names.resolve_host(host, "shop") == resolved


@pytest.mark.parametrize(
    ("gateway", "resolved"),
    [
        ("mesh", "mesh"),
        ("edge", "shop/edge"),
        ("./edge", "shop/edge"),
        ("other/edge", "other/edge"),
        ("edge.other.svc.cluster.local", "other/edge"),
    ],
)
def test_gateway_references(gateway: str, resolved: str) -> None:
    assert names.resolve_gateway(gateway, "shop") == resolved


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("a.example", "a.example", True),
        ("a.example", "b.example", False),
        ("*.example", "a.example", True),
        ("a.b.example", "*.example", True),
        ("*.example", "example", False),
        ("*", "anything", True),
        ("*.example", "*.b.example", True),
        ("*.a.example", "*.b.example", False),
    ],
)
def test_hosts_match_when_some_name_fits_both(one: str, other: str, expected: bool) -> None:
    assert names.hosts_match(one, other) is expected
    assert names.hosts_match(other, one) is expected


def test_within_is_one_sided() -> None:
    assert names.host_within("a.example", "*.example")
    assert not names.host_within("*.example", "a.example")
    assert names.host_within("*.b.example", "*.example")
    assert not names.host_within("*.example", "*.b.example")


def test_the_most_specific_pattern() -> None:
    patterns = ["*", "*.example", "*.b.example", "c.example"]
    assert names.most_specific("a.b.example", patterns) == "*.b.example"
    assert names.most_specific("c.example", patterns) == "c.example"
    assert names.most_specific("other", patterns) == "*"
    assert names.most_specific("other", patterns[1:]) is None


def test_short_domains_depend_on_who_asks() -> None:
    host = "reviews.shop.svc.cluster.local"
    assert set(names.alternative_domains(host, "shop")) == {"reviews", "reviews.shop", "reviews.shop.svc"}
    assert set(names.alternative_domains(host, "other")) == {"reviews.shop", "reviews.shop.svc"}
    assert names.alternative_domains("api.example.com", "shop") == ()
    assert names.alternative_domains("a.b.c.svc.cluster.local", "shop") == ()


def test_ipv6_hosts_are_bracketed() -> None:
    assert names.virtual_host_name("fd00::1", 80) == "[fd00::1]:80"
    assert names.virtual_host_name("a.example", 80) == "a.example:80"
