from __future__ import annotations

from sidecar.config.endpoints import Endpoint
from sidecar.upstream.host import Host
from sidecar.upstream.host_pickers import least_request_picker, random_picker, round_robin_picker


def hosts(*weights: int) -> list[Host]:
    return [Host(Endpoint(address=f"10.0.0.{n}", port=80, weight=weight)) for n, weight in enumerate(weights)]


def test_random_knows_no_weights() -> None:
    members = hosts(1, 99)
    assert random_picker(members)(lambda: 0.49, None, 0) is members[0]
    assert random_picker(members)(lambda: 0.51, None, 0) is members[1]


def test_round_robin_starts_anywhere_and_then_goes_on() -> None:
    members = hosts(1, 1, 1)
    pick = round_robin_picker(members)
    assert [pick(lambda: 0.7, None, 0) for _ in range(4)] == [members[2], members[0], members[1], members[2]]


def test_weighted_round_robin_spreads_the_heavy_one_out() -> None:
    members = hosts(1, 3)
    pick = round_robin_picker(members)
    order = [members.index(pick(lambda: 0.0, None, 0)) for _ in range(8)]
    assert order.count(1) == 6
    assert [0, 0] not in [order[i : i + 2] for i in range(7)]


def test_a_bias_of_zero_leaves_the_active_out_of_account() -> None:
    members = hosts(1, 3)
    members[1].active_requests = 1000
    pick = least_request_picker(members, 2, 0.0)
    order = [members.index(pick(lambda: 0.0, None, 0)) for _ in range(8)]
    assert order.count(1) == 6
