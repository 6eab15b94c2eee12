import pytest

from tests.lugsail.api.helpers import assert_refused, error_texts, warning_texts

HTTP = "http: [{route: [{destination: {host: a}}]}]"
TLS_ROUTE = "route: [{destination: {host: a}}]"


def refused(spec: str, *expected: tuple[str, str]) -> None:
    assert_refused("VirtualService", spec, *expected)


@pytest.mark.parametrize(
    "spec",
    [
        f"hosts: [reviews]\n{HTTP}",
        f"hosts: [10.0.0.1, '*.example.com', a.b.c]\n{HTTP}",
        f"hosts: ['*']\ngateways: [gw, ns/gw2]\n{HTTP}",
        HTTP,
        f"hosts: [a]\ntcp: [{{match: [{{port: 31400, destinationSubnets: [10.0.0.0/8]}}], {TLS_ROUTE}}}]",
        f"hosts: ['*.a.com']\ntls: [{{match: [{{sniHosts: [x.a.com]}}], {TLS_ROUTE}}}]",
        "hosts: ['outbound_.80_._.e2e.foobar.mesh']\ngateways: [gw]\n"
        f"tls: [{{match: [{{sniHosts: ['outbound_.80_._.e2e.foobar.mesh']}}], {TLS_ROUTE}}}]",
        f"hosts: [a]\nexportTo: ['.', other]\n{HTTP}",
    ],
)
def test_good_specs(spec: str) -> None:
    assert error_texts("VirtualService", spec) == []


def test_it_needs_rules() -> None:
    refused("hosts: [a]", ("", "needs `http`, `tls` or `tcp`"))


def test_hosts() -> None:
    refused(f"hosts: ['*']\n{HTTP}", ("hosts[0]", '"*" is not allowed for the gateway `mesh`'))
    refused(f"hosts: ['*']\ngateways: [gw, mesh]\n{HTTP}", ("hosts[0]", "not allowed for the gateway `mesh`"))
    refused(
        f"hosts: ['a b', '*.foo.com', '*.com', a, a]\n{HTTP}",
        ("hosts[0]", "not a DNS label"),
        ("hosts[2]", "'*.com' overlaps with '*.foo.com'"),
        ("hosts[4]", "'a' overlaps with 'a'"),
    )


def test_a_delegate_has_only_http_rules() -> None:
    refused(
        f"gateways: [gw]\n{HTTP}\ntcp: [{{{TLS_ROUTE}}}]",
        ("gateways", "has no place without `hosts`"),
        ("tcp", "has no place without `hosts`"),
    )


def test_gateway_names() -> None:
    refused(f"hosts: [a]\ngateways: [a/b.c, /x, 'a b']\n{HTTP}", *((f"gateways[{n}]", "") for n in range(3)))
    assert warning_texts("VirtualService", f"hosts: [a]\ngateways: [gw.ns.svc.cluster.local]\n{HTTP}") == [
        "spec.gateways[0]: 'gw.ns.svc.cluster.local' is an old form; prefer \"ns/gw\""
    ]


def test_tls_rules() -> None:
    refused(
        f"hosts: [a.com]\ntls: [{{{TLS_ROUTE}}}, {{match: [{{port: 443}}, {{sniHosts: [b.com, 'x y'],"
        " destinationSubnets: [nowhere]}]}]",
        ("tls[0].match", "is required"),
        ("tls[1].match[0].sniHosts", "is required"),
        ("tls[1].match[1].sniHosts[0]", "'b.com' is not within any of the hosts a.com"),
        ("tls[1].match[1].sniHosts[1]", "not a DNS label"),
        ("tls[1].match[1].destinationSubnets[0]", "neither an IP address nor a CIDR"),
        ("tls[1].route", "is required"),
    )
    spec = f"hosts: [10.0.0.1]\ntls: [{{match: [{{sniHosts: [10.0.0.1]}}], {TLS_ROUTE}}}]"
    assert "SNI cannot be an address" in warning_texts("VirtualService", spec)[0]


def test_tcp_rules() -> None:
    refused(
        "hosts: [a]\ntcp: [{match: [{sourceSubnet: x, port: 70000}]}, {route: [{destination: {host: a}, weight: -2}]}]",
        ("tcp[0].match[0].sourceSubnet", "neither"),
        ("tcp[0].match[0].port", "70000"),
        ("tcp[0].route", "is required"),
        ("tcp[1].route[0].weight", "negative"),
    )


def test_claims_are_for_gateways() -> None:
    rule = "http: [{match: [{headers: {'@request.auth.claims.sub': {exact: a}}}], route: [{destination: {host: a}}]}]"
    refused(f"hosts: [a]\n{rule}", ('http[0].match[0].headers["@request.auth.claims.sub"]', "at gateways only"))
    assert error_texts("VirtualService", f"hosts: [a]\ngateways: [gw]\n{rule}") == []
