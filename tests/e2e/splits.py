"""Is an observed split the one that was asked for? An exact binomial interval, no dependency."""

from __future__ import annotations

from math import exp, lgamma, log


def binomial_interval(n: int, p: float, confidence: float = 0.999) -> tuple[int, int]:
    """The smallest central range of counts that n trials of probability p fall in with this confidence."""
    if p <= 0 or p >= 1:
        exact = round(n * p)
        return exact, exact
    tail = (1 - confidence) / 2

    def probability(k: int) -> float:
        return exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) + k * log(p) + (n - k) * log(1 - p))

    low, below = 0, probability(0)
    while below < tail:
        low += 1
        below += probability(low)
    high, above = n, probability(n)
    while above < tail:
        high -= 1
        above += probability(high)
    return low, high


def check_split(counts: dict[str, int], expected: dict[str, float]) -> None:
    """Fail when any share lies outside its 99.9 % interval, or something unexpected answered."""
    n = sum(counts.values())
    assert set(counts) <= {name for name, share in expected.items() if share > 0}, counts
    for name, share in expected.items():
        low, high = binomial_interval(n, share)
        assert low <= counts.get(name, 0) <= high, f"{name}: {counts.get(name, 0)} of {n}, expected {low} to {high}"
