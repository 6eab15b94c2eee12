"""When each request of an open load is due: a constant rate, or one that a shape changes over time. Pure.

The n-th request is due when the rate's integral reaches n, whatever the answers before it took. A request that starts
late, since all users were busy, is measured from when it was due: so a stall costs every request that it held up, and
not only the few that were in flight (coordinated omission).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

SHAPES = ("steady", "steps", "spike")

# Parts of the time and the share of the load in each.
PHASES: dict[str, tuple[tuple[float, float], ...]] = {
    "steady": ((1.0, 1.0),),
    "steps": ((0.25, 0.25), (0.25, 0.5), (0.25, 0.75), (0.25, 1.0)),
    "spike": ((0.4, 0.25), (0.2, 1.0), (0.4, 0.25)),
}


def load_share(shape: str, elapsed_s: float, duration_s: float) -> float | None:
    """The share of the full load at that moment; None after the end."""
    position = 0.0
    for part, share in PHASES[shape]:
        position += part * duration_s
        if elapsed_s < position:
            return share
    return None


@dataclass(frozen=True, slots=True)
class Schedule:
    """`rate_per_s` is the full load's rate over all users together; the shape lowers it."""

    rate_per_s: float
    duration_s: float
    shape: str = "steady"

    @property
    def total(self) -> int:
        """How many requests there are."""
        return ceil(
            round(sum(part * share for part, share in PHASES[self.shape]) * self.duration_s * self.rate_per_s, 6)
        )

    def due_s(self, number: int) -> float:
        """When request `number` (from 0) is due, in seconds from the start. Raises IndexError past the last."""
        if not 0 <= number < self.total:
            raise IndexError(number)
        start, before = 0.0, 0.0
        for part, share in PHASES[self.shape]:
            length = part * self.duration_s
            during = length * share * self.rate_per_s
            if number < before + during:
                return start + (number - before) / (share * self.rate_per_s)
            start, before = start + length, before + during
        return self.duration_s
