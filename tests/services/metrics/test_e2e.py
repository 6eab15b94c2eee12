"""Both proxies count the same traffic alike, and exactly; the service can stop without anybody noticing."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.metrics.chains import PROXIES, Chains, wait

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

Series = dict[tuple[tuple[str, str], ...], float]

N = 60
TOLD_BY = (
    *("reporter", "response_code", "response_flags", "destination_service", "source_workload", "destination_workload"),
    *("destination_version", "connection_security_policy", "request_protocol"),
)
#: What is sent, and the status that the client gets.
TRAFFIC = {"/status/200": 200, "/status/404": 404, "/status/500": 500, "/fault/200": 418}


@pytest.fixture(scope="module")
def chains(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chains]:
    with Chains(Path(tmp_path_factory.mktemp("chains"))) as made:
        yield made


def total(chains: Chains, proxy: str, name: str = "istio_requests_total") -> float:
    return sum(chains.samples(proxy).get(name, {}).values())


def settled(chains: Chains, proxy: str, expected: float, name: str = "istio_requests_total") -> None:
    wait(f"{expected} of {proxy}", lambda: total(chains, proxy, name) >= expected, 20)


def test_the_same_requests_make_the_same_metrics(chains: Chains) -> None:
    for proxy in PROXIES:
        begin = total(chains, proxy)
        for _ in range(N):
            for path, code in TRAFFIC.items():
                assert chains.get(proxy, path, body=b"four") == code
            assert chains.get(proxy, "/status/200", host=f"empty-{proxy}.default.svc.cluster.local") == 503
            assert chains.get(proxy, "/status/200", host="nobody.example") in (404, 502)
        for _ in range(5):
            chains.talk(proxy, 1000)
        settled(chains, proxy, max(begin, 2) + N * (3 * 2 + 3))
        settled(chains, proxy, 10, "istio_tcp_connections_closed_total")
    ours, envoys = (chains.samples(proxy) for proxy in PROXIES)
    assert sorted(ours) == sorted(envoys)
    different = {name: _differences(ours[name], envoys[name]) for name in ours if not name.endswith("_sum")}
    assert {name: found for name, found in different.items() if found} == {}


def test_the_messages_of_grpc_calls(chains: Chains) -> None:
    """Of stock Envoys: the Python sidecar speaks no HTTP/2 yet."""
    assert [chains.call("envoy", messages) for messages in (3, 1, 0)] == [6, 2, 0]
    settled(chains, "envoy", 2 * 8, "istio_response_messages_total")
    counted = chains.samples("envoy")
    for name, expected in (("istio_request_messages_total", 4), ("istio_response_messages_total", 8)):
        by_side = {dict(labels)["reporter"]: value for labels, value in counted[name].items()}
        assert by_side == {"source": expected, "destination": expected}, name
        told = dict(next(iter(counted[name])))
        assert (told["request_protocol"], told["grpc_response_status"]) == ("grpc", "0")


def test_a_service_that_hangs_costs_no_request_and_no_count(chains: Chains) -> None:
    assert chains.metrics is not None
    before = total(chains, "envoy")
    chains.metrics.send_signal(signal.SIGSTOP)
    try:
        times = []
        for _ in range(200):
            started = time.monotonic()
            assert chains.get("envoy", "/status/200") == 200
            times.append(time.monotonic() - started)
    finally:
        chains.metrics.send_signal(signal.SIGCONT)
    assert sorted(times)[198] < 0.5, "the 99th percentile"
    settled(chains, "envoy", before + 400)
    assert total(chains, "envoy") == before + 400


def _differences(ours: Series, envoys: Series) -> list[str]:
    """Series that only one has, or that count differently, by what tells them from another."""
    return [
        f"{side} {value:g}: " + " ".join(f"{k}={v}" for k, v in labels if k in TOLD_BY)
        for side, one, other in (("python", ours, envoys), ("envoy", envoys, ours))
        for labels, value in one.items()
        if other.get(labels) != value
    ]
