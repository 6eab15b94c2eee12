from __future__ import annotations

import pytest
from envoy.config.cluster.v3.circuit_breaker_pb2 import CircuitBreakers as BreakersProto
from envoy.config.cluster.v3.outlier_detection_pb2 import OutlierDetection as OutlierProto

from sidecar.compiler.cluster_health import compile_circuit_breakers, compile_outlier_detection
from sidecar.config.clusters import CircuitBreakers, OutlierDetection, Thresholds
from sidecar.config.rejected import At, Rejected
from tests.sidecar.compiler.protos import proto

AT = At("r")


def test_circuit_breakers() -> None:
    text = """
    thresholds:
    - {max_connections: 1, max_pending_requests: 2, max_requests: 3, max_retries: 4}
    - {max_connections: 9}
    - {priority: HIGH, retry_budget: {budget_percent: {value: 50}}}
    """
    found = compile_circuit_breakers(proto(BreakersProto, text), AT)
    assert found.default == Thresholds(max_connections=1, max_pending_requests=2, max_requests=3, max_retries=4)
    assert found.high == Thresholds(retry_budget=(0.5, 3))
    assert compile_circuit_breakers(BreakersProto(), AT) == CircuitBreakers()
    default_budget = compile_circuit_breakers(proto(BreakersProto, "{thresholds: [{retry_budget: {}}]}"), AT)
    assert default_budget.default.retry_budget == (0.2, 3)


def test_limits_per_host_are_refused() -> None:
    with pytest.raises(Rejected, match="per_host_thresholds: is not supported"):
        compile_circuit_breakers(proto(BreakersProto, "{per_host_thresholds: [{}]}"), AT)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", OutlierDetection()),
        ("{consecutive_5xx: 1, interval: 1s}", OutlierDetection(consecutive_5xx=1, interval_ms=1000.0)),
        (
            "{base_ejection_time: 180s, max_ejection_percent: 100}",
            OutlierDetection(base_ejection_ms=180_000.0, max_ejection_fraction=1.0),
        ),
        ("{base_ejection_time: 600s}", OutlierDetection(base_ejection_ms=600_000.0, max_ejection_ms=600_000.0)),
        ("{max_ejection_time: 10s}", OutlierDetection(max_ejection_ms=10_000.0)),
        (
            "{consecutive_gateway_failure: 2, enforcing_consecutive_gateway_failure: 100, enforcing_success_rate: 0}",
            OutlierDetection(
                consecutive_gateway_failure=2,
                enforcing_consecutive_gateway_failure=1.0,
                enforcing_success_rate=0.0,
            ),
        ),
        (
            "{split_external_local_origin_errors: true, consecutive_local_origin_failure: 3}",
            OutlierDetection(split_local_origin_errors=True, consecutive_local_origin_failure=3),
        ),
        ("{success_rate_stdev_factor: 2500}", OutlierDetection(success_rate_stdev_factor=2.5)),
        ("{always_eject_one_host: true}", OutlierDetection(always_eject_one=True)),
        ("{max_ejection_time_jitter: 1s}", OutlierDetection(max_ejection_jitter_ms=1000.0)),
    ],
)
def test_outlier_detection(text: str, expected: OutlierDetection) -> None:
    assert compile_outlier_detection(proto(OutlierProto, text), AT) == expected


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("{max_ejection_percent: 101}", "max_ejection_percent"),
        ("{interval: 0s}", "interval"),
        ("{base_ejection_time: 0s}", "base_ejection_time"),
        ("{monitors: [{name: x}]}", "monitors"),
    ],
)
def test_outlier_detection_refused(text: str, path: str) -> None:
    with pytest.raises(Rejected) as caught:
        compile_outlier_detection(proto(OutlierProto, text), AT)
    assert caught.value.path == path
