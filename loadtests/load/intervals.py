"""Confidence intervals of an observed share: exact (Clopper and Pearson 1934), without a library. Pure.

An interval of confidence c holds every share p for which seeing as few or as many as k of n, or fewer or more, has a
probability over (1 - c) / 2 each. The tail of the binomial is the regularised incomplete beta function.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, lgamma, log, log1p

BISECTIONS = 60
_FRACTION_STEPS = 10_000
_TINY = 1e-300


def interval(count: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval (low, high) of the share behind `count` of `total`. Raises ValueError on impossible counts."""
    if not 0 <= count <= total or total == 0:
        raise ValueError(f"{count} of {total} is no share")
    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else _bisect(lambda p: at_least(count, total, p) < tail)
    high = 1.0 if count == total else _bisect(lambda p: at_most(count, total, p) >= tail)
    return low, high


def holds(count: int, total: int, share: float, confidence: float = 0.999) -> bool:
    """Whether `share` lies within the exact interval of what was observed."""
    if not 0 <= count <= total or total == 0:
        raise ValueError(f"{count} of {total} is no share")
    tail = (1 - confidence) / 2
    return at_least(count, total, share) >= tail and at_most(count, total, share) >= tail


def at_least(count: int, total: int, share: float) -> float:
    """The probability of `count` or more of `total` at that share."""
    if count <= 0:
        return 1.0
    if share <= 0 or count > total:
        return 0.0
    return 1.0 if share >= 1 else incomplete_beta(count, total - count + 1, share)


def at_most(count: int, total: int, share: float) -> float:
    """The probability of `count` or fewer of `total` at that share."""
    if count >= total:
        return 1.0
    if share >= 1 or count < 0:
        return 0.0
    return 1.0 if share <= 0 else incomplete_beta(total - count, count + 1, 1 - share)


def incomplete_beta(a: float, b: float, x: float) -> float:
    """I_x(a, b) for 0 < x < 1 by its continued fraction (Abramowitz and Stegun 26.5.8, Lentz' method)."""
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1.0 - front * _fraction(b, a, 1 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    result = d
    for m in range(1, _FRACTION_STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / _away_from_zero(1 + even * d)
        c = _away_from_zero(1 + even / c)
        result *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 / _away_from_zero(1 + odd * d)
        c = _away_from_zero(1 + odd / c)
        result *= d * c
        if abs(d * c - 1) < 1e-14:
            break
    return result


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _bisect(too_low: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if too_low(middle):
            low = middle
        else:
            high = middle
    return (low + high) / 2
