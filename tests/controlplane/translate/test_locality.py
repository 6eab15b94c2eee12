"""Locality preferences: weights by distribute, priorities by failover."""

import pytest

from controlplane.model.endpoint import Endpoint
from controlplane.translate.locality import Preference, locality_matches


def endpoint(locality: str, weight: int = 1, **labels: str) -> Endpoint:
    return Endpoint("10.0.0.1", (), tuple(sorted(labels.items())), locality, weight, "", "w", "default")


def placed(preference: Preference, *endpoints: Endpoint) -> list[tuple[str, int, int]]:
    groups: dict[str, list[Endpoint]] = {}
    for one in endpoints:
        groups.setdefault(one.locality, []).append(one)
    return [(p.locality, p.weight, p.priority) for p in preference.place(groups)]


HOME, NEXT, FAR, ABROAD = endpoint("eu/a/1"), endpoint("eu/b"), endpoint("us/a"), endpoint("asia/a")


def test_without_a_preference_weights_are_sums() -> None:
    assert placed(Preference(), HOME, endpoint("eu/a/1", 4), FAR) == [("eu/a/1", 5, 0), ("us/a", 1, 0)]


def test_failover_goes_by_distance() -> None:
    preference = Preference(locality="eu/a/1", failover=True)
    assert placed(preference, HOME, NEXT, FAR) == [("eu/a/1", 1, 0), ("eu/b", 1, 1), ("us/a", 1, 2)]


def test_priorities_have_no_gaps() -> None:
    preference = Preference(locality="eu/a/1", failover=True)
    assert placed(preference, NEXT, FAR) == [("eu/b", 1, 0), ("us/a", 1, 1)]


def test_the_region_that_takes_over_comes_before_others() -> None:
    preference = Preference(locality="eu/a/1", failover=True, failover_regions=(("eu", "us"),))
    assert placed(preference, HOME, FAR, ABROAD) == [("asia/a", 1, 2), ("eu/a/1", 1, 0), ("us/a", 1, 1)]


def test_failover_by_labels_needs_all_leading_ones() -> None:
    preference = Preference(failover=True, failover_labels=(("rack", "1"), ("version", "v1")))
    assert placed(
        preference,
        endpoint("eu", rack="1", version="v1"),
        endpoint("eu", rack="1", version="v2"),
        endpoint("eu", rack="2", version="v1"),
    ) == [("eu", 1, 0), ("eu", 1, 1), ("eu", 1, 2)]


def test_distribute_shares_within_a_pattern_by_weight() -> None:
    preference = Preference(distribute=(("eu/*", 80), ("us/*", 20)))
    assert placed(preference, HOME, endpoint("eu/b", 3), FAR, ABROAD) == [
        ("eu/a/1", 20, 0),
        ("eu/b", 60, 0),
        ("us/a", 20, 0),
    ]


@pytest.mark.parametrize(
    ("locality", "pattern", "expected"),
    [
        ("eu/a/1", "*", True),
        ("eu/a/1", "eu", True),
        ("eu/a/1", "eu/*", True),
        ("eu/a/1", "eu/a/2", False),
        ("eu/a", "eu/a/*", True),
        ("us/a", "eu/*", False),
    ],
)
def test_patterns(locality: str, pattern: str, expected: bool) -> None:
    assert locality_matches(locality, pattern) is expected
