from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from random import Random

import pytest

from sidecar.config.clusters import LoadBalancing
from sidecar.config.endpoints import Endpoint, Endpoints, Locality, LocalityEndpoints
from sidecar.upstream.host import Host
from sidecar.upstream.load_balancer import LoadBalancer

WEST, EAST = Locality(region="west"), Locality(region="east")


def host(number: int, *, priority: int = 0, weight: int = 1, healthy: bool = True, at: Locality | None = None) -> Host:
    health = "healthy" if healthy else "unhealthy"
    endpoint = Endpoint(address=f"10.0.{priority}.{number}", port=80, weight=weight, health=health)  # type: ignore[arg-type]
    return Host(endpoint, at, priority)


def balancer(hosts: Iterable[Host], endpoints: Endpoints | None = None, **config: object) -> LoadBalancer:
    made = LoadBalancer(LoadBalancing(**config))  # type: ignore[arg-type]
    made.update(tuple(hosts), endpoints)
    return made


def seeded() -> Callable[[], float]:
    return Random(7).random


def shares(made: LoadBalancer, picks: int = 4000, by: Callable[[Host], object] = lambda one: one.address) -> Counter:  # type: ignore[type-arg]
    random = seeded()
    counted: Counter = Counter()  # type: ignore[type-arg]
    for _ in range(picks):
        picked = made.pick(random)
        assert picked is not None
        counted[by(picked)] += 1
    return counted


def test_no_hosts_no_pick() -> None:
    assert balancer([]).pick(seeded()) is None
    assert balancer([host(1, healthy=False)], panic_threshold=0.0).pick(seeded()) is None


@pytest.mark.parametrize("kind", ["round_robin", "random", "least_request", "ring_hash", "maglev"])
def test_every_policy_uses_every_healthy_host_and_no_other(kind: str) -> None:
    hosts = [host(1), host(2), host(3), host(4, healthy=False)]
    counted = shares(balancer(hosts, kind=kind, panic_threshold=0.0, maglev_table_size=997))
    assert set(counted) == {"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"}
    assert all(700 < count < 2100 for count in counted.values())


def test_round_robin_takes_turns() -> None:
    made = balancer([host(1), host(2), host(3)], kind="round_robin")
    picked = [made.pick(lambda: 0.5) for _ in range(6)]
    assert picked[:3] == picked[3:]
    assert len(set(picked)) == 3


@pytest.mark.parametrize("kind", ["round_robin", "least_request", "ring_hash", "maglev"])
def test_weights(kind: str) -> None:
    made = balancer([host(1, weight=1), host(2, weight=3)], kind=kind, maglev_table_size=997)
    assert shares(made)["10.0.0.2:80"] == pytest.approx(3000, rel=0.12)


def test_least_request_prefers_the_idle() -> None:
    busy, idle = host(1), host(2)
    busy.active_requests = 5
    made = balancer([busy, idle], kind="least_request")
    numbers = iter([0.0, 0.9, 0.9, 0.0, 0.0, 0.0])
    picked = [made.pick(lambda: next(numbers)) for _ in range(3)]
    assert picked == [idle, idle, busy]  # drawn twice, the busy one has no rival


def test_least_request_of_more_choices() -> None:
    hosts = [host(number) for number in range(4)]
    for number, one in enumerate(hosts):
        one.active_requests = 4 - number
    made = balancer(hosts, kind="least_request", choice_count=4)
    numbers = iter([0.0, 0.3, 0.9, 0.6])
    assert made.pick(lambda: next(numbers)) is hosts[3]


def test_weighted_least_request_counts_the_active() -> None:
    busy, idle = host(1, weight=2), host(2, weight=1)
    made = balancer([busy, idle], kind="least_request")
    busy.active_requests = 19
    assert shares(made, 2000)["10.0.0.1:80"] == pytest.approx(2000 * 0.1 / 1.1, rel=0.2)


@pytest.mark.parametrize("kind", ["ring_hash", "maglev"])
def test_a_hash_stays_with_its_host_when_others_come_and_go(kind: str) -> None:
    hosts = [host(number) for number in range(5)]
    whole = balancer(hosts, kind=kind, maglev_table_size=4099)
    fewer = balancer(hosts[:4], kind=kind, maglev_table_size=4099)
    moved = total = 0
    for value in range(0, 1 << 64, (1 << 64) // 500 + 1):
        before, after = whole.pick(seeded(), value), fewer.pick(seeded(), value)
        assert whole.pick(seeded(), value) is before
        if before is not hosts[4]:
            total += 1
            moved += before is not after
    assert moved <= total * 0.15


def test_priorities_spill_over_as_health_falls() -> None:
    """Overprovisioning 1.4: with half of priority 0 healthy it carries 70 %, the rest goes to priority 1."""
    hosts = [host(1), host(2, healthy=False), host(1, priority=1), host(2, priority=1)]
    counted = shares(balancer(hosts, kind="random"), by=lambda one: one.priority)
    assert counted[0] == pytest.approx(2800, rel=0.05)
    healthy_enough = [host(n, healthy=n < 3) for n in range(4)] + [host(1, priority=1)]
    assert set(shares(balancer(healthy_enough, kind="random"), 500, by=lambda one: one.priority)) == {0}


def test_all_of_priority_0_lost_moves_to_priority_1() -> None:
    hosts = [host(1, healthy=False), host(1, priority=1)]
    assert set(shares(balancer(hosts), 100, by=lambda one: one.priority)) == {1}


def test_panic_uses_every_host_when_too_few_are_healthy() -> None:
    hosts = [host(1), host(2, healthy=False), host(3, healthy=False)]
    assert len(shares(balancer(hosts, kind="random"))) == 3
    assert len(shares(balancer(hosts, kind="random", panic_threshold=0.2))) == 1
    assert len(shares(balancer(hosts, kind="random", panic_threshold=0.0))) == 1
    assert balancer(hosts, kind="random", fail_traffic_on_panic=True).pick(seeded()) is None


def test_all_unhealthy_panics_over_all_priorities_by_size() -> None:
    hosts = [host(n, healthy=False) for n in range(3)] + [host(1, priority=1, healthy=False)]
    counted = shares(balancer(hosts, kind="random"), by=lambda one: one.priority)
    assert counted[0] == pytest.approx(3000, rel=0.05)


def test_ejected_hosts_are_left_out_after_an_update() -> None:
    hosts = [host(1), host(2)]
    made = balancer(hosts, panic_threshold=0.0)
    hosts[0].ejected = True
    hosts[0].refresh_health()
    made.update(hosts)
    assert set(shares(made, 50)) == {"10.0.0.2:80"}


def test_localities_by_weight_and_health() -> None:
    groups = (
        LocalityEndpoints(endpoints=(), locality=WEST, weight=3),
        LocalityEndpoints(endpoints=(), locality=EAST, weight=1),
    )
    endpoints = Endpoints(cluster_name="c", localities=groups)
    hosts = [host(1, at=WEST), host(2, at=EAST), host(3, at=EAST)]
    counted = shares(balancer(hosts, endpoints, locality_weighted=True), by=lambda one: one.locality)
    assert counted[WEST] == pytest.approx(3000, rel=0.05)
    # Half of EAST is gone: it weighs 1 × 1.4 × 0.5 = 0.7.
    hosts[2].ejected = True
    hosts[2].refresh_health()
    counted = shares(balancer(hosts, endpoints, locality_weighted=True), by=lambda one: one.locality)
    assert counted[EAST] == pytest.approx(4000 * 0.7 / 3.7, rel=0.1)


def test_localities_of_no_weight_get_nothing() -> None:
    groups = (LocalityEndpoints(endpoints=(), locality=WEST, weight=1), LocalityEndpoints(endpoints=(), locality=EAST))
    hosts = [host(1, at=WEST), host(2, at=EAST)]
    endpoints = Endpoints(cluster_name="c", localities=groups)
    assert set(shares(balancer(hosts, endpoints, locality_weighted=True), 100)) == {"10.0.0.1:80"}


@pytest.mark.parametrize("kind", ["round_robin", "random", "least_request", "ring_hash", "maglev"])
def test_a_retry_avoids_hosts_tried_already(kind: str) -> None:
    hosts = [host(number) for number in range(4)]
    made = balancer(hosts, kind=kind, maglev_table_size=997)
    random = seeded()
    for _ in range(200):
        assert made.pick(random, 12345, {hosts[0], hosts[1]}, attempts=60) in hosts[2:]


def test_when_all_were_tried_one_is_tried_again() -> None:
    hosts = [host(1), host(2)]
    assert balancer(hosts).pick(seeded(), None, set(hosts), attempts=5) in hosts
    assert balancer(hosts[:1]).pick(seeded(), None, hosts[:1], attempts=5) is hosts[0]


def test_a_retry_may_leave_priorities_out() -> None:
    hosts = [host(1), host(1, priority=1)]
    made = balancer(hosts)
    assert made.pick(seeded(), excluded_priorities=frozenset((0,))) is hosts[1]
    assert made.pick(seeded(), excluded_priorities=frozenset((0, 1))) is hosts[0]


def test_the_overprovisioning_factor_comes_with_the_endpoints() -> None:
    hosts = [host(1), host(2, healthy=False), host(1, priority=1)]
    endpoints = Endpoints(cluster_name="c", overprovisioning=2.0)
    assert set(shares(balancer(hosts, endpoints), 200, by=lambda one: one.priority)) == {0}
