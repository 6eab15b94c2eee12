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
        # As in Istio's samples: taken, and told that it does nothing yet.
        (
            "DestinationRule",
            "host: a\ntrafficPolicy: {tls: {mode: ISTIO_MUTUAL}}\nsubsets: [{name: v1, labels: {version: v1}}]",
            [
                "spec.trafficPolicy.tls.mode: ISTIO_MUTUAL is ignored: the mesh issues no certificates yet: mutual TLS"
                " comes later, and traffic stays plain text"
            ],
        ),
        # What the stock Envoy does and the Python sidecar does not; one warning for a message.
        (
            "DestinationRule",
            "host: a\ntrafficPolicy: {proxyProtocol: {version: V2}}",
            [
                "spec.trafficPolicy.proxyProtocol: acts on the stock Envoy only: the Python sidecar refuses a cluster"
                " that has it"
            ],
        ),
        (
            "DestinationRule",
            "host: a\ntrafficPolicy: {loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 5s, aggression: 2}}}",
            [
                "spec.trafficPolicy.loadBalancer.warmup: acts on the stock Envoy only: the Python sidecar gives a new"
                " endpoint its full share at once"
            ],
        ),
        (
            "DestinationRule",
            "host: a\ntrafficPolicy: {loadBalancer: {simple: ROUND_ROBIN, warmupDurationSecs: 5s}}",
            [
                "spec.trafficPolicy.loadBalancer.warmupDurationSecs: acts on the stock Envoy only: the Python sidecar"
                " gives a new endpoint its full share at once",
                "spec.trafficPolicy.loadBalancer.warmupDurationSecs: is deprecated; use `warmup.duration`",
            ],
        ),
        (
            "DestinationRule",
            "host: a\ntrafficPolicy: {connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}",
            [
                "spec.trafficPolicy.connectionPool.http.h2UpgradePolicy: UPGRADE acts on the stock Envoy only: the"
                " Python sidecar speaks HTTP/1.1 only, and answers 502 UPE for a cluster of HTTP/2"
            ],
        ),
        (
            "ServiceEntry",
            "hosts: [a.example]\nresolution: DNS\nports: [{number: 80, name: a, protocol: grpc}]",
            [
                "spec.ports[0].protocol: grpc acts on the stock Envoy only: the Python sidecar speaks HTTP/1.1 only,"
                " and answers 502 UPE for a cluster of HTTP/2"
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
