"""Exact intervals: known values, the definition itself, and what must hold of any of them."""

from __future__ import annotations

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.load.intervals import at_least, at_most, holds, interval


@pytest.mark.parametrize(
    ("count", "total", "confidence", "low", "high"),
    [
        # From tables of Clopper and Pearson's intervals; R: binom.test(k, n)$conf.int
        (0, 10, 0.95, 0.0, 0.3084971),
        (10, 10, 0.95, 0.6915029, 1.0),
        (5, 10, 0.95, 0.1870860, 0.8129140),
        (7, 20, 0.95, 0.1539092, 0.5921885),
        (50, 100, 0.99, 0.3689450, 0.6310550),
    ],
)
def test_known_values(count: int, total: int, confidence: float, low: float, high: float) -> None:
    assert interval(count, total, confidence) == pytest.approx((low, high), abs=2e-4)


@given(st.integers(1, 60), st.data())
def test_the_tails_are_the_binomial_sums(total: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, total))
    share = data.draw(st.floats(0.001, 0.999))
    terms = [comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(total + 1)]
    assert at_most(count, total, share) == pytest.approx(sum(terms[: count + 1]), abs=1e-9)
    assert at_least(count, total, share) == pytest.approx(sum(terms[count:]), abs=1e-9)


@given(st.integers(1, 200_000), st.data(), st.sampled_from([0.9, 0.95, 0.99, 0.999]))
def test_an_interval_holds_what_was_observed_and_mirrors(total: int, data: st.DataObject, confidence: float) -> None:
    count = data.draw(st.integers(0, total))
    low, high = interval(count, total, confidence)
    assert 0 <= low <= count / total <= high <= 1
    other_low, other_high = interval(total - count, total, confidence)
    assert (1 - other_high, 1 - other_low) == pytest.approx((low, high), abs=1e-6)


@given(st.integers(1, 5000), st.data(), st.floats(0, 1))
def test_holds_says_whether_the_share_is_inside(total: int, data: st.DataObject, share: float) -> None:
    count = data.draw(st.integers(0, total))
    low, high = interval(count, total, 0.999)
    if low + 1e-9 < share < high - 1e-9:
        assert holds(count, total, share, 0.999)
    elif share < low - 1e-9 or share > high + 1e-9:
        assert not holds(count, total, share, 0.999)


def test_a_share_of_none_or_all_must_be_exact() -> None:
    assert holds(100, 100, 1.0)
    assert not holds(99, 100, 1.0)
    assert holds(0, 100, 0.0)
    assert not holds(1, 100, 0.0)


@pytest.mark.parametrize(("count", "total"), [(0, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(count: int, total: int) -> None:
    with pytest.raises(ValueError, match="no share"):
        interval(count, total)
    with pytest.raises(ValueError, match="no share"):
        holds(count, total, 0.5)
