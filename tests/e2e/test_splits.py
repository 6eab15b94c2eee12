"""The yardstick itself: an interval that is too wide or too narrow would make every split test worthless."""

from __future__ import annotations

import pytest

from tests.e2e.splits import binomial_interval, check_split


def test_interval_of_a_fair_coin() -> None:
    # Normal approximation: 500 ± 3.29 × 15.8
    assert binomial_interval(1000, 0.5) == (448, 552)


def test_certain_shares_allow_nothing_else() -> None:
    assert binomial_interval(200, 0.0) == (0, 0)
    assert binomial_interval(200, 1.0) == (200, 200)


def test_a_wrong_split_is_seen() -> None:
    check_split({"v1": 897, "v3": 103}, {"v1": 0.9, "v3": 0.1})
    with pytest.raises(AssertionError, match="v1: 800 of 1000, expected 8"):
        check_split({"v1": 800, "v3": 200}, {"v1": 0.9, "v3": 0.1})
    with pytest.raises(AssertionError):
        check_split({"v1": 500, "v2": 500}, {"v1": 0.5, "v3": 0.5})
