import pytest

from tests.lugsail.api.helpers import assert_refused, error_texts, errors_of, resource, warning_texts

HTTP = "port: {number: 80, name: http, protocol: HTTP}"
HTTPS = "port: {number: 443, name: https, protocol: HTTPS}"


def spec(server: str) -> str:
    return f"selector: {{istio: ingressgateway}}\nservers: [{{{server}}}]"


def refused(server: str, *expected: tuple[str, str]) -> None:
    assert_refused("Gateway", spec(server), *((f"servers[0].{path}", part) for path, part in expected))


@pytest.mark.parametrize(
    "server",
    [
        f"{HTTP}, hosts: ['*']",
        f"{HTTP}, hosts: [a.com, ns/b.com, ./c.com, '*/*.d.com', 10.0.0.1], bind: 127.0.0.1",
        f"{HTTP}, hosts: ['*'], tls: {{httpsRedirect: true}}",
        f"{HTTPS}, hosts: [a.com], tls: {{mode: SIMPLE, credentialName: c}}",
        "port: {number: 443, name: t, protocol: tls}, hosts: [a.com], tls: {mode: PASSTHROUGH}",
        "port: {number: 31400, name: tcp, protocol: TCP}, hosts: ['*']",
        "port: {name: u, protocol: HTTP}, bind: 'unix:///run/a', hosts: ['*']",
    ],
)
def test_good_servers(server: str) -> None:
    assert error_texts("Gateway", spec(server)) == []


def test_it_needs_servers_and_a_simple_name() -> None:
    assert_refused("Gateway", "selector: {a: '*'}", ("selector.a", "label value"), ("servers", "is required"))
    good = spec(f"{HTTP}, hosts: ['*']")
    assert [error.path for error in errors_of(resource("Gateway", good, name="a.b"))] == ["metadata.name"]


def test_hosts() -> None:
    refused(
        f"{HTTP}, hosts: [short, '*foo.com', ns/, a.b/c.com, '~/c.com', 'a b.com']",
        ("hosts[0]", "short name 'short' is not allowed"),
        ("hosts[1]", "wildcard for a part of a label"),
        ("hosts[2]", "empty part"),
        ("hosts[3]", "'a.b' is not a namespace"),
        ("hosts[4]", "'~' is not a namespace"),
        ("hosts[5]", "not a DNS label"),
    )
    refused(HTTP, ("hosts", "is required"))


def test_ports() -> None:
    refused("hosts: ['*']", ("port", "is required"))
    refused(
        "port: {number: 0, protocol: SPDY, targetPort: 8080}, bind: nowhere, hosts: ['*']",
        ("bind", "not an IP address"),
        ("port.protocol", "'SPDY' is not a protocol"),
        ("port.number", "0 is not a port"),
        ("port.targetPort", "has no effect on gateways"),
        ("port.name", "is required"),
    )
    refused("port: {number: 80, name: a}, hosts: ['*']", ("port.protocol", "is required"))
    refused(
        "port: {number: 80, name: a, protocol: HTTP}, bind: 'unix://a/', hosts: ['*']",
        ("bind", "not a Unix socket"),
        ("port.number", "a Unix socket has no port"),
    )


def test_port_names_are_unique() -> None:
    text = f"servers: [{{{HTTP}, hosts: ['*']}}, {{port: {{number: 81, name: http, protocol: HTTP}}, hosts: ['*']}}]"
    assert_refused("Gateway", text, ("servers[1].port.name", "'http' is already the name of spec.servers[0]"))


def test_tls_fits_the_protocol() -> None:
    refused(f"{HTTPS}, hosts: ['*']", ("tls", "is required for HTTPS"))
    refused(f"{HTTP}, hosts: ['*'], tls: {{mode: SIMPLE, credentialName: c}}", ("tls", "only httpsRedirect"))
    refused(f"{HTTP}, hosts: ['*'], tls: {{privateKey: x}}", ("tls", "clear text"))
    refused("port: {number: 1, name: t, protocol: TCP}, hosts: ['*'], tls: {}", ("tls", "has no place on TCP"))
    warned = warning_texts("Gateway", spec(f"{HTTPS}, hosts: ['*'], tls: {{httpsRedirect: true}}"))
    assert warned == ["spec.servers[0].tls.httpsRedirect: has no effect on HTTPS; set it on an HTTP port"]
