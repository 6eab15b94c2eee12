import pytest

from tests.lugsail.api.helpers import warning_texts


@pytest.mark.parametrize(
    ("kind", "spec", "expected"),
    [
        ("VirtualService", "hosts: [a]\nhttp: [{route: [{destination: {host: a}}], mirror: {host: b}}]", []),
        (
            "VirtualService",
            "hosts: [a]\nhttp: [{route: [{destination: {host: a}}], mirror: {host: b}, mirrorPercent: 5}]",
            ["spec.http[0].mirrorPercent: is deprecated; use `mirrorPercentage`"],
        ),
        (
            "VirtualService",
            "hosts: [a]\nhttp: [{route: [{destination: {host: a}}], corsPolicy: {allowOrigin: [x]}}]",
            ["spec.http[0].corsPolicy.allowOrigin: is deprecated; use `allowOrigins`"],
        ),
        (
            "DestinationRule",
            "host: a\nsubsets: [{name: v1, trafficPolicy: {loadBalancer: {simple: LEAST_CONN}}}]",
            [
                "spec.subsets[0].trafficPolicy.loadBalancer.simple: LEAST_CONN is deprecated; write LEAST_REQUEST",
            ],
        ),
        (
            "DestinationRule",
            "host: a\ntrafficPolicy: {tls: {mode: SIMPLE, credentialName: c}}",
            ["spec.trafficPolicy.tls.credentialName: is ignored: the mesh issues and fetches no certificates yet"],
        ),
        (
            "Gateway",
            "servers: [{port: {number: 443, name: a, protocol: TLS}, hosts: ['*'], tls: {mode: PASSTHROUGH}}]",
            [],
        ),
        (
            "Gateway",
            "servers: [{port: {number: 443, name: a, protocol: HTTPS}, hosts: ['*'], tls: {mode: SIMPLE,"
            " credentialName: c}}]",
            [
                "spec.servers[0].tls.mode: SIMPLE is ignored: the mesh issues and fetches no certificates yet; the port"
                " stays closed",
                "spec.servers[0].tls.credentialName: is ignored: the mesh issues and fetches no certificates yet",
            ],
        ),
        # One warning for an ignored message, none for the fields inside, none for an empty value.
        (
            "DestinationRule",
            "host: a\ntrafficPolicy: {tunnel: {protocol: CONNECT, targetHost: b.example, targetPort: 443}}",
            ["spec.trafficPolicy.tunnel: is ignored: tunnels through HTTP proxies are not built yet"],
        ),
        ("EnvoyFilter", "configPatches: [{applyTo: CLUSTER, match: {context: ANY}, patch: {operation: REMOVE}}]", []),
        ("EnvoyFilter", "configPatches: []", []),
        ("WorkloadEntry", "address: 10.0.0.1\nnetwork: ''", []),
    ],
)
def test_warnings(kind: str, spec: str, expected: list[str]) -> None:
    assert warning_texts(kind, spec) == expected
