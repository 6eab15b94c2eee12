"""Numbers from measurements: percentiles, medians, ratios. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any


def percentile(values: Iterable[float], share: float) -> float:
    """The nearest-rank percentile (0 < share <= 1) of at least one value."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    # Nearest rank: the smallest value that at least this share of all values does not exceed.
    rank = -(-len(ordered) * share // 1)
    return ordered[max(0, int(rank) - 1)]


def spread(values: Sequence[float]) -> dict[str, float]:
    """p50, p99, least and most of at least one value, to the hundredth."""
    return {
        "p50": round(percentile(values, 0.50), 2),
        "p99": round(percentile(values, 0.99), 2),
        "min": round(min(values), 2),
        "max": round(max(values), 2),
    }


def median_round(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Rounds of the same keys → each key's median."""
    return {key: round(median(one[key] for one in rounds), 3) for key in rounds[0]}


def ratios(rounds: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], key: str) -> dict[str, float]:
    """first/second of each pair of neighbouring rounds: median, least and most.

    A pair ran back to back, so what slowed the machine slowed both: the ratio holds where the numbers do not.
    """
    each = [first[key] / second[key] for first, second in rounds if second[key]]
    if not each:
        raise ValueError(f"no pair of rounds has {key}")
    return {"median": round(median(each), 3), "min": round(min(each), 3), "max": round(max(each), 3)}
