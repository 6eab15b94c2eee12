import pytest

from tests.lugsail.api.helpers import assert_refused, error_texts, warning_texts


def spec(policy: str) -> str:
    return f"host: a\ntrafficPolicy: {{{policy}}}"


def refused(policy: str, *expected: tuple[str, str]) -> None:
    paths = ((f"trafficPolicy{'.' if path else ''}{path}", part) for path, part in expected)
    assert_refused("DestinationRule", spec(policy), *paths)


@pytest.mark.parametrize(
    "policy",
    [
        "loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 30s, minimumPercent: 10, aggression: 1.5}}",
        "loadBalancer: {consistentHash: {httpCookie: {name: a, ttl: 0s}, maglev: {tableSize: 65537}}}",
        "loadBalancer: {consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: '1024'}}}",
        "connectionPool: {tcp: {maxConnections: 1, tcpKeepalive: {time: 2h, probes: 3}}}",
        "connectionPool: {http: {h2UpgradePolicy: UPGRADE}}",
        "connectionPool: {tcp: {idleTimeout: 0s}}",
        "outlierDetection: {consecutive5xxErrors: 0, interval: 1s, maxEjectionPercent: 100}",
        "outlierDetection: {splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 3}",
        "portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE}}]",
        "tunnel: {protocol: CONNECT, targetHost: 10.0.0.1, targetPort: 443}",
        "retryBudget: {percent: 20, minRetryConcurrency: 3}",
        "proxyProtocol: {}",
    ],
)
def test_good_policies(policy: str) -> None:
    assert error_texts("DestinationRule", spec(policy)) == []


def test_a_policy_sets_something() -> None:
    refused("", ("", "sets nothing"))
    refused("connectionPool: {}", ("connectionPool", "sets nothing"))
    refused("portLevelSettings: [{port: {number: 80}}]", ("portLevelSettings[0]", "sets nothing"))


def test_exclusive_settings() -> None:
    refused(
        "tunnel: {targetHost: a, targetPort: 1}, proxyProtocol: {version: V2}",
        ("", "tunnel and proxyProtocol exclude each other"),
    )
    refused(
        "loadBalancer: {simple: RANDOM, consistentHash: {useSourceIp: true}}",
        ("loadBalancer", "simple and consistentHash exclude each other"),
    )
    refused(
        "loadBalancer: {consistentHash: {useSourceIp: true, httpHeaderName: a, ringHash: {}, maglev: {tableSize: 7},"
        " minimumRingSize: 5}}",
        ("loadBalancer.consistentHash", "httpHeaderName and useSourceIp exclude each other"),
        ("loadBalancer.consistentHash", "ringHash and maglev exclude each other"),
        ("loadBalancer.consistentHash.minimumRingSize", "has no place beside ringHash or maglev"),
    )


@pytest.mark.parametrize(
    ("size", "part"), [(0, "is required"), (1, "not a prime"), (65536, "not a prime"), (5000011, "below")]
)
def test_a_maglev_table_is_a_prime(size: int, part: str) -> None:
    refused(
        f"loadBalancer: {{consistentHash: {{useSourceIp: true, maglev: {{tableSize: {size}}}}}}}",
        ("loadBalancer.consistentHash.maglev.tableSize", part),
    )


def test_load_balancer_details() -> None:
    refused(
        "loadBalancer: {consistentHash: {httpCookie: {ttl: -1s}}, warmupDurationSecs: 0s,"
        " warmup: {minimumPercent: 101, aggression: 0.5}}",
        ("loadBalancer.consistentHash.httpCookie.name", "is required"),
        ("loadBalancer.consistentHash.httpCookie.ttl", "negative"),
        ("loadBalancer.warmupDurationSecs", "shorter"),
        ("loadBalancer.warmup.duration", "is required"),
        ("loadBalancer.warmup.minimumPercent", "101"),
        ("loadBalancer.warmup.aggression", "below 1"),
    )
    assert "hashes on nothing" in warning_texts("DestinationRule", spec("loadBalancer: {consistentHash: {}}"))[0]


def test_connection_pools() -> None:
    refused(
        "connectionPool: {http: {http1MaxPendingRequests: -1, http2MaxRequests: -1, maxRequestsPerConnection: -1,"
        " maxRetries: -1, maxConcurrentStreams: -1, idleTimeout: 0s, useClientProtocol: true,"
        " h2UpgradePolicy: UPGRADE}, tcp: {maxConnections: -1, connectTimeout: 0s, maxConnectionDuration: 1us,"
        " idleTimeout: 1us, tcpKeepalive: {time: 0s, interval: 0s}}}",
        ("connectionPool.http.http1MaxPendingRequests", "negative"),
        ("connectionPool.http.http2MaxRequests", "negative"),
        ("connectionPool.http.maxRequestsPerConnection", "negative"),
        ("connectionPool.http.maxRetries", "negative"),
        ("connectionPool.http.maxConcurrentStreams", "negative"),
        ("connectionPool.http.idleTimeout", "shorter"),
        ("connectionPool.http.useClientProtocol", "has no place beside h2UpgradePolicy UPGRADE"),
        ("connectionPool.tcp.maxConnections", "negative"),
        ("connectionPool.tcp.connectTimeout", "shorter"),
        ("connectionPool.tcp.maxConnectionDuration", "shorter"),
        ("connectionPool.tcp.idleTimeout", "shorter"),
        ("connectionPool.tcp.tcpKeepalive.time", "shorter"),
        ("connectionPool.tcp.tcpKeepalive.interval", "shorter"),
    )


def test_outlier_detection() -> None:
    refused(
        "outlierDetection: {interval: 0s, baseEjectionTime: 0s, maxEjectionPercent: 101, minHealthPercent: -1,"
        " consecutiveErrors: -1, consecutiveLocalOriginFailures: 3}",
        ("outlierDetection.interval", "shorter"),
        ("outlierDetection.baseEjectionTime", "shorter"),
        ("outlierDetection.maxEjectionPercent", "101"),
        ("outlierDetection.minHealthPercent", "-1"),
        ("outlierDetection.consecutiveErrors", "negative"),
        ("outlierDetection.consecutiveLocalOriginFailures", "splitExternalLocalOriginErrors: true"),
    )


def test_port_level_settings_tunnel_and_budget() -> None:
    refused(
        "portLevelSettings: [{tls: {mode: MUTUAL}}, {port: {}, tls: {mode: DISABLE}}],"
        " tunnel: {protocol: GET, targetHost: '*.a', targetPort: 0}, retryBudget: {percent: 101, budgetInterval: 0s}",
        ("tunnel.protocol", "'GET' is not a way to tunnel"),
        ("tunnel.targetHost", "neither a host name nor an IP"),
        ("tunnel.targetPort", "0 is not a port"),
        ("portLevelSettings[0].port", "is required"),
        ("portLevelSettings[0].tls.clientCertificate", "is required for mode MUTUAL"),
        ("portLevelSettings[0].tls.privateKey", "is required for mode MUTUAL"),
        ("portLevelSettings[1].port.number", "0 is not a port"),
        ("retryBudget.percent", "101"),
        ("retryBudget.budgetInterval", "shorter"),
    )
