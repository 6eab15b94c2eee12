from __future__ import annotations

import pytest

from sidecar.config.clusters import OutlierDetection
from sidecar.config.endpoints import Endpoint
from sidecar.upstream.host import Host
from sidecar.upstream.outlier_detection import (
    CONSECUTIVE_5XX,
    CONSECUTIVE_GATEWAY_FAILURE,
    CONSECUTIVE_LOCAL_ORIGIN_FAILURE,
    FAILURE_PERCENTAGE,
    SUCCESS_RATE,
    OutlierDetector,
)


def detector(count: int = 2, random: float = 0.0, **config: object) -> tuple[OutlierDetector, list[Host]]:
    config.setdefault("max_ejection_fraction", 1.0)
    hosts = [Host(Endpoint(address=f"10.0.0.{number}", port=80)) for number in range(count)]
    made = OutlierDetector(OutlierDetection(**config), lambda: random)  # type: ignore[arg-type]
    made.update(hosts)
    return made, hosts


def test_consecutive_5xx_eject_and_time_heals() -> None:
    made, hosts = detector(consecutive_5xx=3)
    assert [made.on_status(hosts[0], 500, 1000.0) for _ in range(3)] == [False, False, True]
    assert hosts[0].ejected
    assert not hosts[0].healthy
    assert made.active == 1
    assert made.enforced[CONSECUTIVE_5XX] == 1
    assert not made.tick(30_999.0)
    assert made.tick(31_000.0)
    assert hosts[0].healthy
    assert made.active == 0


def test_a_success_in_between_starts_over() -> None:
    made, hosts = detector(consecutive_5xx=2)
    for status in (500, 200, 500, 404, 503):
        assert not made.on_status(hosts[0], status, 0.0)


def test_gateway_failures_count_on_their_own() -> None:
    made, hosts = detector(consecutive_5xx=0, consecutive_gateway_failure=2, enforcing_consecutive_gateway_failure=1.0)
    for status in (503, 500, 502):
        assert not made.on_status(hosts[0], status, 0.0)
    assert made.on_status(hosts[0], 504, 0.0)
    assert made.enforced[CONSECUTIVE_GATEWAY_FAILURE] == 1


def test_gateway_failures_are_not_enforced_by_default() -> None:
    made, hosts = detector(consecutive_5xx=0, consecutive_gateway_failure=1)
    assert not made.on_status(hosts[0], 503, 0.0)
    assert made.detected[CONSECUTIVE_GATEWAY_FAILURE] == 1
    assert made.enforced[CONSECUTIVE_GATEWAY_FAILURE] == 0


def test_enforcing_is_a_share() -> None:
    for random, ejected in ((0.49, True), (0.51, False)):
        made, hosts = detector(random=random, consecutive_5xx=1, enforcing_consecutive_5xx=0.5)
        assert made.on_status(hosts[0], 500, 0.0) is ejected


def test_ejections_grow_longer_and_shrink_with_good_conduct() -> None:
    made, hosts = detector(consecutive_5xx=1, base_ejection_ms=10.0, max_ejection_ms=25.0)
    now_ms = 0.0
    for stays_ms in (10.0, 20.0, 25.0, 25.0):
        made.on_status(hosts[0], 500, now_ms)
        assert not made.tick(now_ms + stays_ms - 1)
        assert made.tick(now_ms + stays_ms)
        now_ms += 100.0
    for _ in range(4):
        made.tick(now_ms)
    made.on_status(hosts[0], 500, now_ms)
    assert made.tick(now_ms + 10.0)


def test_jitter_adds_to_the_time() -> None:
    made, hosts = detector(random=0.5, consecutive_5xx=1, base_ejection_ms=10.0, max_ejection_jitter_ms=10.0)
    made.on_status(hosts[0], 500, 0.0)
    assert not made.tick(14.0)
    assert made.tick(15.0)


@pytest.mark.parametrize(
    ("count", "fraction", "always_one", "ejected"),
    [(10, 0.1, False, 1), (10, 0.35, False, 3), (3, 0.1, False, 0), (3, 0.1, True, 1), (2, 1.0, False, 2)],
)
def test_no_more_are_ejected_than_allowed(count: int, fraction: float, always_one: bool, ejected: int) -> None:
    made, hosts = detector(count, consecutive_5xx=1, max_ejection_fraction=fraction, always_eject_one=always_one)
    for host in hosts:
        made.on_status(host, 500, 0.0)
    assert sum(host.ejected for host in hosts) == ejected == made.active
    assert made.overflow == count - ejected


def test_local_failures_stand_for_statuses_unless_split() -> None:
    made, hosts = detector(consecutive_5xx=2)
    assert not made.on_local_failure(hosts[0], 0.0)
    assert made.on_local_failure(hosts[0], 0.0, 504)

    made, hosts = detector(consecutive_5xx=1, split_local_origin_errors=True, consecutive_local_origin_failure=2)
    assert not made.on_local_failure(hosts[0], 0.0)
    made.on_connected(hosts[0])
    assert not made.on_local_failure(hosts[0], 0.0)
    assert made.on_local_failure(hosts[0], 0.0)
    assert made.enforced[CONSECUTIVE_LOCAL_ORIGIN_FAILURE] == 1


def test_success_rates_are_held_against_the_others() -> None:
    made, hosts = detector(5, consecutive_5xx=0, success_rate_request_volume=10)
    for number, host in enumerate(hosts):
        for request in range(10):
            made.on_status(host, 500 if number == 0 and request % 2 else 200, 0.0)
    assert made.tick(1.0)
    assert [host.ejected for host in hosts] == [True, False, False, False, False]
    assert made.enforced[SUCCESS_RATE] == 1
    assert not made.tick(2.0)


def test_success_rates_need_hosts_and_volume() -> None:
    made, hosts = detector(4, consecutive_5xx=0, success_rate_request_volume=10)
    for host in hosts:
        for _ in range(10):
            made.on_status(host, 500 if host is hosts[0] else 200, 0.0)
    assert not made.tick(1.0)


def test_failure_percentage() -> None:
    made, hosts = detector(
        5,
        consecutive_5xx=0,
        enforcing_success_rate=0.0,
        enforcing_failure_percentage=1.0,
        failure_percentage_request_volume=10,
        random=0.5,
    )
    for number, host in enumerate(hosts):
        for request in range(10):
            made.on_status(host, 500 if number == 0 and request else 200, 0.0)
    assert made.tick(1.0)
    assert made.enforced[FAILURE_PERCENTAGE] == 1
    assert hosts[0].ejected


def test_hosts_keep_their_records_over_an_update_and_unknown_ones_are_left_alone() -> None:
    made, hosts = detector(consecutive_5xx=2)
    made.on_status(hosts[0], 500, 0.0)
    made.update([*hosts, Host(Endpoint(address="10.0.0.9", port=80))])
    assert made.on_status(hosts[0], 500, 0.0)
    stranger = Host(Endpoint(address="10.0.0.10", port=80))
    assert not made.on_status(stranger, 500, 0.0)
