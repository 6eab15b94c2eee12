import pytest

from tests.lugsail.api.helpers import assert_refused, error_texts, warning_texts

PORT = "port: {number: 9080, protocol: HTTP, name: http}"


def refused(spec: str, *expected: tuple[str, str]) -> None:
    assert_refused("Sidecar", spec, *expected)


@pytest.mark.parametrize(
    "spec",
    [
        "egress: [{hosts: ['./*', 'istio-system/*', '~/*', '*/a.com']}]",
        "outboundTrafficPolicy: {mode: REGISTRY_ONLY}",
        "outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: a.b, port: {number: 80}}}",
        f"ingress: [{{{PORT}, bind: 127.0.1.1, captureMode: NONE, defaultEndpoint: '127.0.0.1:19080'}}]",
        "egress: [{port: {number: 15080, protocol: HTTP_PROXY}, bind: 127.0.2.1, captureMode: NONE, hosts: ['*/*']}]",
        "egress: [{port: {protocol: HTTP}, bind: 'unix:///a', hosts: ['*/*']}, {hosts: ['*/*']}]",
        "inboundConnectionPool: {http: {maxRetries: 1}}",
    ],
)
def test_good_sidecars(spec: str) -> None:
    assert error_texts("Sidecar", spec) == []


def test_it_sets_something() -> None:
    wildcard = ("workloadSelector.labels.app", "wildcards are not supported")
    refused("workloadSelector: {labels: {app: '*'}}", wildcard, ("", "sets nothing"))
    warned = warning_texts("Sidecar", "workloadSelector: {}\negress: [{hosts: ['*/*']}]")
    assert "all workloads of the namespace" in warned[0]


@pytest.mark.parametrize(
    "endpoint", ["127.0.0.1:80", "0.0.0.0:80", "'[::1]:80'", "'[::]:80'", "':80'", "unix:///a", "unix://@a"]
)
def test_default_endpoints(endpoint: str) -> None:
    assert error_texts("Sidecar", f"ingress: [{{{PORT}, defaultEndpoint: {endpoint}}}]") == []


@pytest.mark.parametrize(
    "endpoint", ["10.0.0.1:80", "127.0.0.1", "localhost:80", "127.0.0.1:0", "127.0.0.1:http", "'::1:80'", "unix://a"]
)
def test_refused_default_endpoints(endpoint: str) -> None:
    refused(f"ingress: [{{{PORT}, defaultEndpoint: {endpoint}}}]", ("ingress[0].defaultEndpoint", ""))


def test_ingress() -> None:
    refused(
        "ingress: [{}, {port: {number: 0, protocol: X, name: a.b, targetPort: 1}, bind: nowhere, connectionPool: {}}]",
        ("ingress[0].port", "is required"),
        ("ingress[1].port.name", "not a port name"),
        ("ingress[1].port.protocol", "'X' is not a protocol"),
        ("ingress[1].port.targetPort", "use defaultEndpoint"),
        ("ingress[1].port.number", "0 is not a port"),
        ("ingress[1].bind", "not an IP address"),
        ("ingress[1].connectionPool", "sets nothing"),
    )


def test_two_listeners_do_not_share_a_port_even_on_two_addresses() -> None:
    refused(
        f"ingress: [{{{PORT}, bind: 127.0.0.1}}, {{{PORT}, bind: 127.0.0.2}}]",
        ("ingress[1].port.number", "9080 is there twice; give each listener its own port; two addresses do not help"),
    )
    refused(
        f"egress: [{{{PORT}, bind: 127.0.0.1, hosts: ['*/*']}}, {{{PORT}, bind: 127.0.0.2, hosts: ['*/*']}}]",
        ("egress[1].port.number", "9080 is there twice"),
    )


def test_ingress_tls() -> None:
    refused(
        f"ingress: [{{{PORT}, tls: {{mode: ISTIO_MUTUAL, httpsRedirect: true, subjectAltNames: [a]}}}}]",
        ("ingress[0].tls.subjectAltNames", "not supported"),
        ("ingress[0].tls.httpsRedirect", "not supported"),
        ("ingress[0].tls.mode", "write SIMPLE or MUTUAL"),
    )


def test_egress() -> None:
    refused(
        "egress: [{hosts: ['*/*']}, {port: {protocol: HTTP}, hosts: ['*/*']},"
        " {port: {}, bind: 'unix:///a', captureMode: IPTABLES, hosts: ['*/*']},"
        " {port: {}, bind: 'unix:///a', hosts: ['*/*']}, {}]",
        ("egress[0].port", "only the last egress listener"),
        ("egress[1].port.number", "is required"),
        ("egress[2].captureMode", "not captured"),
        ("egress[3].bind", "is there twice"),
        ("egress[4].hosts", "is required"),
    )


def test_egress_hosts() -> None:
    refused(
        "egress: [{hosts: [reviews, ./reviews, ns/*foo.com, 'a.b/c.com', /a.com]}]",
        ("egress[0].hosts[0]", "has no namespace"),
        ("egress[0].hosts[1]", "short name"),
        ("egress[0].hosts[2]", "wildcard for a part"),
        ("egress[0].hosts[3]", "not a namespace"),
        ("egress[0].hosts[4]", "empty part"),
    )
    assert warning_texts("Sidecar", "egress: [{hosts: [./*, default/a.com, '*/*']}]") == [
        "spec.egress[0].hosts[1]: 'default/a.com' is covered by another entry; keep one of them",
        'spec.egress[0].hosts: "*/*" already means every host; remove the others',
    ]


def test_egress_proxy() -> None:
    refused(
        "outboundTrafficPolicy: {egressProxy: {host: '*.a'}}",
        ("outboundTrafficPolicy.egressProxy", "only in mode ALLOW_ANY"),
        ("outboundTrafficPolicy.egressProxy.host", ""),
        ("outboundTrafficPolicy.egressProxy.port", "is required"),
    )


def test_http_limits_of_a_tcp_port() -> None:
    spec = "ingress: [{port: {number: 1, protocol: TCP}, connectionPool: {http: {maxRetries: 1}}}]"
    assert warning_texts("Sidecar", spec) == ["spec.ingress[0].connectionPool.http: has no effect on TCP; use `tcp`"]
