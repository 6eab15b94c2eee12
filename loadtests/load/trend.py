"""Does something grow? A straight line through samples, and what it says of memory. Pure."""

from __future__ import annotations

from collections.abc import Sequence

# Memory of a process is flat when the line through its second half rises by less than this over that half.
GROWTH_SHARE = 0.05
GROWTH_BYTES = 4 * 1024 * 1024


def slope(samples: Sequence[tuple[float, float]]) -> float:
    """The least-squares line's rise per unit of x; 0 for fewer than two moments."""
    count = len(samples)
    if count < 2:
        return 0.0
    mean_x = sum(x for x, _ in samples) / count
    mean_y = sum(y for _, y in samples) / count
    spread = sum((x - mean_x) ** 2 for x, _ in samples)
    return sum((x - mean_x) * (y - mean_y) for x, y in samples) / spread if spread else 0.0


def second_half(samples: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The later half in time: what comes after caches and pools are full."""
    if not samples:
        return []
    middle = (samples[0][0] + samples[-1][0]) / 2
    return [one for one in samples if one[0] >= middle]


def growth(samples: Sequence[tuple[float, float]]) -> float:
    """How much the line through the second half rises over that half, in bytes."""
    half = second_half(samples)
    return slope(half) * (half[-1][0] - half[0][0]) if half else 0.0


def is_flat(samples: Sequence[tuple[float, float]]) -> bool:
    """Whether that is little: under 5 % of the memory at its start, or under 4 MiB."""
    half = second_half(samples)
    return not half or growth(samples) <= max(GROWTH_BYTES, GROWTH_SHARE * half[0][1])
