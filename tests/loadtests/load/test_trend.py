"""Growth of memory: a line through the second half of the samples."""

from __future__ import annotations

import pytest

from loadtests.load.trend import growth, is_flat, slope

MIB = 1024 * 1024


def test_the_slope_of_a_line() -> None:
    assert slope([(x, 3.0 * x + 5) for x in range(10)]) == pytest.approx(3)
    assert slope([(1, 5)]) == 0
    assert slope([(1, 5), (1, 6)]) == 0


def test_warming_up_is_no_growth() -> None:
    samples = [(x, 50.0 * MIB + min(x, 40) * MIB) for x in range(100)]
    assert growth(samples) == pytest.approx(0)
    assert is_flat(samples)


def test_a_leak_is_growth() -> None:
    samples = [(x, 50.0 * MIB + x * 0.2 * MIB) for x in range(100)]
    assert growth(samples) == pytest.approx(9.8 * MIB, rel=0.02)
    assert not is_flat(samples)


def test_nothing_is_flat() -> None:
    assert is_flat([])
