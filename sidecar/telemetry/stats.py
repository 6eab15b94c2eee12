"""The store of counters, gauges and histograms of one proxy.

The data path asks for a metric once, keeps the object and then only touches a slot (`counter.value += 1`), so that a
measurement costs no call and no lock: all runs in one thread. Names are Envoy's (`cluster.NAME.upstream_rq_total`)
or Istio's (`istio_requests_total` with labels). The number of series is bounded; what is asked for beyond the bound
shares one unseen series of its kind and is counted in `server.stats_overflow`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator

Labels = tuple[tuple[str, str], ...]

#: Upper bounds, inclusive, in milliseconds (or bytes, where a histogram counts bytes): Envoy's and Istio's defaults.
DEFAULT_BUCKETS: tuple[float, ...] = (
    0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000,
)  # fmt: skip

#: A lab proxy has a few hundred series; a runaway label would be found long before memory runs out.
DEFAULT_MAX_SERIES = 20_000


class Counter:
    """A number that only grows (until `reset_counters`)."""

    __slots__ = ("labels", "name", "value")

    def __init__(self, name: str, labels: Labels = ()) -> None:
        self.name = name
        self.labels = labels
        self.value = 0


class Gauge:
    """A number that goes up and down."""

    __slots__ = ("labels", "name", "value")

    def __init__(self, name: str, labels: Labels = ()) -> None:
        self.name = name
        self.labels = labels
        self.value: float = 0


class FunctionGauge:
    """A gauge that is computed when somebody looks (uptime, memory)."""

    __slots__ = ("function", "labels", "name")

    def __init__(self, name: str, function: Callable[[], float], labels: Labels = ()) -> None:
        self.name = name
        self.labels = labels
        self.function = function

    @property
    def value(self) -> float:
        return +self.function()  # True counts as 1


class Histogram:
    """Counts per bucket. `counts[i]` holds values ≤ `bounds[i]` and above the bound before; the last one the rest."""

    __slots__ = ("bounds", "counts", "labels", "name", "sum")

    def __init__(self, name: str, labels: Labels = (), bounds: tuple[float, ...] = DEFAULT_BUCKETS) -> None:
        self.name = name
        self.labels = labels
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def record(self, value: float) -> None:
        """Add one measurement, in the unit of the bounds (milliseconds by default)."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        return sum(self.counts)

    def quantile(self, q: float) -> float | None:
        """The value below which the share `q` (0–1) lies, interpolated in its bucket; None without measurements.

        What lies above the last bound is reported as the last bound.
        """
        total = self.count
        if not total:
            return None
        rank = q * total
        seen = 0
        low = 0.0
        for bound, count in zip(self.bounds, self.counts, strict=False):
            if count and seen + count >= rank:
                return low + (bound - low) * max(0.0, rank - seen) / count
            seen += count
            low = bound
        return self.bounds[-1]


AnyGauge = Gauge | FunctionGauge
Metric = Counter | Gauge | FunctionGauge | Histogram


class Stats:
    """Finds or makes metrics by name and labels; the same pair gives the same object."""

    def __init__(self, max_series: int = DEFAULT_MAX_SERIES) -> None:
        self._max_series = max_series
        self._counters: dict[tuple[str, Labels], Counter] = {}
        self._gauges: dict[tuple[str, Labels], AnyGauge] = {}
        self._histograms: dict[tuple[str, Labels], Histogram] = {}
        self._overflow_counter = Counter("overflow")
        self._overflow_gauge = Gauge("overflow")
        self._overflow_histogram = Histogram("overflow")
        self._overflows = self.counter("server.stats_overflow")

    def __len__(self) -> int:
        return len(self._counters) + len(self._gauges) + len(self._histograms)

    def counter(self, name: str, labels: Labels = ()) -> Counter:
        """The counter of this name and these labels, made at the first call."""
        key = (name, labels)
        found = self._counters.get(key)
        if found is None:
            if self._full():
                return self._overflow_counter
            found = self._counters[key] = Counter(name, labels)
        return found

    def gauge(self, name: str, labels: Labels = ()) -> Gauge:
        """The gauge of this name and these labels, made at the first call."""
        key = (name, labels)
        found = self._gauges.get(key)
        if found is None:
            if self._full():
                return self._overflow_gauge
            found = self._gauges[key] = Gauge(name, labels)
        if isinstance(found, FunctionGauge):
            raise TypeError(f"{name} is a computed gauge: it can not be set")
        return found

    def gauge_function(self, name: str, function: Callable[[], float], labels: Labels = ()) -> None:
        """Let `name` be computed by `function` whenever it is read; replaces what was there."""
        if (name, labels) in self._gauges or not self._full():
            self._gauges[name, labels] = FunctionGauge(name, function, labels)

    def histogram(self, name: str, labels: Labels = (), bounds: tuple[float, ...] = DEFAULT_BUCKETS) -> Histogram:
        """The histogram of this name and these labels, made at the first call."""
        key = (name, labels)
        found = self._histograms.get(key)
        if found is None:
            if self._full():
                return self._overflow_histogram
            found = self._histograms[key] = Histogram(name, labels, bounds)
        return found

    def forget(self, prefix: str) -> None:
        """Drop every series whose name starts with `prefix`: a cluster or listener went.

        Who still holds such an object may go on counting in it; nobody sees that any more.
        """
        for store in (self._counters, self._gauges, self._histograms):
            for key in [key for key in store if key[0].startswith(prefix)]:
                del store[key]

    def reset_counters(self) -> None:
        """Set every counter to 0; gauges and histograms stay (Envoy's POST /reset_counters)."""
        for counter in self._counters.values():
            counter.value = 0

    def counters(self) -> Iterator[Counter]:
        return iter(self._counters.values())

    def gauges(self) -> Iterator[AnyGauge]:
        return iter(self._gauges.values())

    def histograms(self) -> Iterator[Histogram]:
        return iter(self._histograms.values())

    def _full(self) -> bool:
        if len(self) < self._max_series:
            return False
        self._overflows.value += 1
        return True
