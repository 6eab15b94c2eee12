import pytest

from lugsail.api.validation import names


@pytest.mark.parametrize(
    "host", ["a", "*", "*.bar.com", "*foo", "*-foo.bar.com", "istio.io.", "x" * 63, "A.b", "1a.b", "outbound.com"]
)
def test_wildcard_hosts(host: str) -> None:
    assert names.wildcard_problem(host) == ""


@pytest.mark.parametrize(
    "host",
    ["", "x" * 64, "a." * 128, "foo.*.com", "foo*.bar.com", "1.1.1.1", "a b", "a..b", ".a", "*.", "**", "*.*.a", "a_b"],
)
def test_what_is_no_host(host: str) -> None:
    assert names.wildcard_problem(host) != ""


def test_a_domain_name_has_no_wildcard() -> None:
    assert names.fqdn_problem("reviews") == ""
    assert names.fqdn_problem("*.a.com") != ""


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("a.com", "a.com", True),
        ("a.com", "b.com", False),
        ("*.com", "a.com", True),
        ("a.com", "*.com", True),
        ("*.foo.com", "*.com", True),
        ("*.com", "*.foo.com", True),
        ("*.com", "*.org", False),
        ("*", "a", True),
        ("*.com", "com", False),
    ],
)
def test_overlap(one: str, other: str, overlap: bool) -> None:
    assert names.hosts_overlap(one, other) is overlap


@pytest.mark.parametrize(
    ("host", "outer", "within"),
    [
        ("a.com", "a.com", True),
        ("a.com", "*.com", True),
        ("*.foo.com", "*.com", True),
        ("*.com", "*.foo.com", False),
        ("*.com", "a.com", False),
        ("a.com", "*", True),
    ],
)
def test_within(host: str, outer: str, within: bool) -> None:
    assert names.host_within(host, outer) is within


def test_addresses_and_subnets() -> None:
    assert [a for a in ("10.0.0.1", "::1", "fe80::1%eth0", "[::1]", "10.0.0.1/8", "10.0.0", "") if names.is_ip(a)] == [
        "10.0.0.1",
        "::1",
    ]
    subnets = ("10.0.0.1", "10.0.0.1/8", "2001:db8::/32", "10.0.0.0/33", "10.0.0.0/255.0.0.0", "10.0.0.0/8/8", "a/8")
    assert [s for s in subnets if names.is_subnet(s)] == ["10.0.0.1", "10.0.0.1/8", "2001:db8::/32"]
