"""Percentiles, medians and ratios."""

import pytest

from loadtests.summary import median_round, percentile, ratios, spread


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_percentile_is_the_nearest_rank(share, value):
    assert percentile(range(100, 0, -1), share) == value


def test_percentile_of_one_and_of_none():
    assert percentile([7], 0.5) == percentile([7], 0.99) == 7
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_spread():
    assert spread([3.0, 1.0, 2.004]) == {"p50": 2.0, "p99": 3.0, "min": 1.0, "max": 3.0}


def test_median_round_takes_each_key_by_itself():
    assert median_round([{"a": 1, "b": 9}, {"a": 3, "b": 1}, {"a": 2, "b": 5}]) == {"a": 2, "b": 5}


def test_ratios_pair_neighbours():
    pairs = [({"x": 10}, {"x": 20}), ({"x": 90}, {"x": 100}), ({"x": 6}, {"x": 10})]
    assert ratios(pairs, "x") == {"median": 0.6, "min": 0.5, "max": 0.9}
    with pytest.raises(ValueError, match="x"):
        ratios([({"x": 1}, {"x": 0})], "x")
