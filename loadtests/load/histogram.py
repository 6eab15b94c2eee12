"""Latencies in bounded memory: each kept to three figures, so that a percentile is off by half a per cent at most."""

from __future__ import annotations

from collections import Counter
from math import floor, log10
from typing import Any

PERCENTILES = (("p50", 0.50), ("p90", 0.90), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999))


class Histogram:
    """Counts of rounded latencies in ms; `max_ms` is exact, `count` and the mean are too."""

    __slots__ = ("_counts", "_sum_ms", "count", "max_ms")

    def __init__(self) -> None:
        self._counts: Counter[float] = Counter()
        self._sum_ms = 0.0
        self.count = 0
        self.max_ms = 0.0

    def add(self, ms: float) -> None:
        """Count one latency; what is under a microsecond counts as one."""
        ms = max(ms, 0.001)
        self._counts[round(ms, 2 - floor(log10(ms)))] += 1
        self._sum_ms += ms
        self.count += 1
        self.max_ms = max(self.max_ms, ms)

    def percentile(self, share: float) -> float:
        """The nearest-rank percentile in ms (0 < share <= 1). Raises ValueError where nothing was counted."""
        if not self.count:
            raise ValueError("no latencies")
        rank = max(1, -(-self.count * share // 1))
        seen = 0
        for value in sorted(self._counts):
            seen += self._counts[value]
            if seen >= rank:
                return min(value, self.max_ms)
        return self.max_ms

    def summary(self) -> dict[str, Any]:
        """p50 … p99.9, max and mean in ms; each None where nothing was counted."""
        if not self.count:
            return {name: None for name, _ in PERCENTILES} | {"max": None, "mean": None}
        values = {name: round(self.percentile(share), 3) for name, share in PERCENTILES}
        return values | {"max": round(self.max_ms, 3), "mean": round(self._sum_ms / self.count, 3)}
