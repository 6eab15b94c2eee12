import pytest

from tests.lugsail.api.helpers import assert_refused, error_texts, warning_texts

HTTP = "ports: [{number: 80, name: http, protocol: HTTP}]"
TCP = "ports: [{number: 3306, name: tcp, protocol: TCP}]"


def refused(spec: str, *expected: tuple[str, str]) -> None:
    assert_refused("ServiceEntry", spec, *expected)


@pytest.mark.parametrize(
    "spec",
    [
        f"hosts: [a.com, '*.b.com']\n{HTTP}",
        f"hosts: [a.com]\n{HTTP}\nresolution: DNS",
        f"hosts: ['*.a.com']\n{HTTP}\nresolution: DNS\nendpoints: [{{address: b.com, ports: {{http: 8080}}}}]",
        f"hosts: [a]\n{HTTP}\nresolution: STATIC\nendpoints: [{{address: 10.0.0.1}}, {{address: '::1'}}]",
        f"hosts: [a]\n{HTTP}\nresolution: STATIC\nendpoints: [{{address: 'unix:///run/a'}}]",
        f"hosts: [a]\n{HTTP}\nresolution: STATIC\nworkloadSelector: {{labels: {{app: a}}}}\naddresses: [10.0.0.0/24]",
        f"hosts: [a, b]\n{TCP}",
        f"hosts: ['*.a.com']\n{HTTP}\nresolution: DYNAMIC_DNS",
        f"hosts: [a.com]\n{HTTP}\nexportTo: ['~']",
        "hosts: [a.com]\nports: [{number: 80, name: a}]",
    ],
)
def test_good_entries(spec: str) -> None:
    assert error_texts("ServiceEntry", spec) == []


def test_hosts() -> None:
    refused(HTTP, ("hosts", "is required"))
    refused(f"hosts: ['*', 'a b']\n{HTTP}", ("hosts[0]", "would stand for every host"), ("hosts[1]", "DNS label"))
    refused(f"hosts: ['*.a.com']\n{HTTP}\nresolution: DNS", ("hosts[0]", "cannot be looked up for resolution DNS"))
    assert "part of a label" in warning_texts("ServiceEntry", f"hosts: ['*a.com']\n{HTTP}")[0]


def test_addresses() -> None:
    refused(f"hosts: [a]\naddresses: [nowhere]\n{HTTP}", ("addresses[0]", "neither an IP address nor a CIDR block"))
    refused(
        f"hosts: [a]\naddresses: [10.0.0.1, 10.0.0.0/8]\n{HTTP}\nresolution: DNS",
        ("addresses[1]", "a CIDR block has no place with resolution DNS"),
    )


def test_ports() -> None:
    refused(
        "hosts: [a]\nports: [{number: 80, name: a, protocol: HTTP}, {number: 80, name: a, protocol: SPDY,"
        " targetPort: 70000}, {number: 0, name: b.c}]",
        ("ports[1].protocol", "'SPDY' is not a protocol"),
        ("ports[1].name", "'a' is there twice"),
        ("ports[1].number", "80 is there twice"),
        ("ports[1].targetPort", "70000"),
        ("ports[2].name", "not a port name"),
        ("ports[2].number", "0 is not a port"),
    )


def test_endpoints_fit_the_resolution() -> None:
    refused(
        f"hosts: [a]\n{HTTP}\nendpoints: [{{address: 10.0.0.1}}]", ("endpoints", "has no place with resolution NONE")
    )
    refused(
        f"hosts: [a]\n{HTTP}\nresolution: STATIC\nendpoints: [{{address: b.com, ports: {{grpc: 1}}}}]",
        ("endpoints[0].address", "'b.com' is not an IP address; use resolution DNS"),
        ("endpoints[0].ports.grpc", "'grpc' is not a port of the service; write one of http"),
    )
    refused(
        f"hosts: [a]\n{HTTP}\nresolution: DNS_ROUND_ROBIN\nendpoints: [{{address: b.com}}, {{address: c.com}}]",
        ("endpoints", "2 are too many"),
    )
    refused(
        "hosts: [a]\nports: [{number: 80, name: a, protocol: HTTP}, {number: 81, name: b, protocol: HTTP}]\n"
        "resolution: STATIC\nendpoints: [{address: 'unix:///a'}]",
        ("endpoints[0].address", "exactly one port"),
    )


def test_selector_or_endpoints() -> None:
    refused(
        f"hosts: [a]\n{HTTP}\nresolution: STATIC\nworkloadSelector: {{labels: {{a: b}}}}\n"
        "endpoints: [{address: '::1'}]",
        ("workloadSelector", "has no place beside endpoints"),
    )
    spec = f"hosts: [a]\n{HTTP}\nworkloadSelector: {{}}"
    assert warning_texts("ServiceEntry", spec) == [
        "spec.workloadSelector.labels: selects by no label; all workloads of the namespace are endpoints",
        "spec.workloadSelector: has no place with resolution NONE; use STATIC",
    ]


def test_tcp_does_not_say_which_host() -> None:
    refused(
        f"hosts: [a.com, b.com]\n{TCP}\nresolution: DNS",
        ("ports[0].protocol", "TCP does not say which of 2 hosts is meant"),
    )
