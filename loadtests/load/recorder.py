"""What a run has seen so far: every request counted once, by name, status, failure and version, and second by second.

Pure: the time comes as an argument, in seconds since the epoch.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from loadtests.load.histogram import Histogram
from loadtests.load.intervals import interval

CONFIDENCE = 0.95
NAMES_LIMIT, KINDS_LIMIT = 200, 50
OTHER = "(others)"
NO_ANSWER = "none"


class Tally:
    """Counts of one kind of request, or of all of them."""

    def __init__(self) -> None:
        self.sent = 0
        self.answered = 0
        self.unanswered = 0
        self.failures = 0
        self.statuses: Counter[str] = Counter()
        self.failure_kinds: Counter[str] = Counter()
        self.latency = Histogram()

    def add(self, status: int, ms: float, failure: str | None) -> None:
        """One request is over; `status` 0 where no answer came, which `failure` then explains."""
        if status:
            self.answered += 1
        else:
            self.unanswered += 1
        self.statuses[str(status) if status else NO_ANSWER] += 1
        self.latency.add(ms)
        if failure is not None:
            self.failures += 1
            known = failure in self.failure_kinds or len(self.failure_kinds) < KINDS_LIMIT
            self.failure_kinds[failure if known else OTHER] += 1

    def as_dict(self, seconds: float) -> dict[str, Any]:
        """As in the results."""
        return {
            "sent": self.sent,
            "answered": self.answered,
            "unanswered": self.unanswered,
            "failures": self.failures,
            "rps": round(self.sent / seconds, 2) if seconds > 0 else 0.0,
            "statuses": dict(sorted(self.statuses.items())),
            "failure_kinds": dict(self.failure_kinds.most_common()),
            "latency_ms": self.latency.summary(),
        }


class Second:
    """One second of the series, by when answers came."""

    def __init__(self) -> None:
        self.failures = 0
        self.latency = Histogram()
        self.split: Counter[str] = Counter()

    def as_dict(self, second: int, users: int) -> dict[str, Any]:
        """As in the results."""
        latency = self.latency.summary()
        return {
            "second": second,
            "users": users,
            "rps": self.latency.count,
            "failures": self.failures,
            **{f"{name}_ms": latency[name] for name in ("p50", "p95", "p99")},
            "split": dict(sorted(self.split.items())),
        }


class Recorder:
    """`start` when the load begins, `begin` and `finish` around each request, `tick` each second, then `result`."""

    def __init__(self) -> None:
        self.started_at = 0.0
        self.total = Tally()
        self.names: dict[str, Tally] = {}
        self.split: Counter[str] = Counter()
        self.split_unknown = 0
        self.max_lag_ms = 0.0
        self._second = Second()
        self._position = 0

    def start(self, now: float) -> None:
        """The first second begins."""
        self.started_at = now

    def begin(self, name: str) -> None:
        """A request is about to be sent."""
        self.total.sent += 1
        self._named(name).sent += 1

    def finish(self, name: str, status: int, ms: float, failure: str | None) -> None:
        """A request that had begun is over: answered, or not (status 0)."""
        self.total.add(status, ms, failure)
        self._named(name).add(status, ms, failure)
        self._second.latency.add(ms)
        self._second.failures += failure is not None

    def saw_version(self, version: str | None) -> None:
        """An answer of reviews: its version, or None where that could not be told."""
        if version is None:
            self.split_unknown += 1
            return
        self.split[version] += 1
        self._second.split[version] += 1

    def lagged(self, ms: float) -> None:
        """A request started that much after it was due."""
        self.max_lag_ms = max(self.max_lag_ms, ms)

    def tick(self, users: int) -> dict[str, Any]:
        """Close the current second; what was in it."""
        done = self._second.as_dict(self._position, users)
        self._position += 1
        self._second = Second()
        return done

    def overview(self) -> dict[str, Any]:
        """The totals so far, for a progress line."""
        latency = self.total.latency.summary()
        return {
            "sent": self.total.sent,
            "failures": self.total.failures,
            "p50_ms": latency["p50"],
            "p99_ms": latency["p99"],
            "split": dict(sorted(self.split.items())),
        }

    def result(self, seconds: float, unsent: int) -> dict[str, Any]:
        """Everything but the series."""
        return {
            "seconds": round(seconds, 3),
            "totals": {
                **self.total.as_dict(seconds),
                "unsent": unsent,
                "max_start_lag_ms": round(self.max_lag_ms, 3),
            },
            "names": {name: tally.as_dict(seconds) for name, tally in sorted(self.names.items())},
            "split": {"reviews": split_report(self.split, self.split_unknown)},
        }

    def _named(self, name: str) -> Tally:
        if name not in self.names and len(self.names) >= NAMES_LIMIT:
            name = OTHER
        return self.names.setdefault(name, Tally())


def split_report(
    counts: Counter[str] | dict[str, int], unknown: int = 0, confidence: float = CONFIDENCE
) -> dict[str, Any]:
    """Counts by version with the exact interval of each share."""
    total = sum(counts.values())
    shares = {}
    for version, count in sorted(counts.items()):
        low, high = interval(count, total, confidence)
        shares[version] = {
            "count": count,
            "share": round(count / total, 6),
            "low": round(low, 6),
            "high": round(high, 6),
        }
    return {"total": total, "unknown": unknown, "confidence": confidence, "versions": shares}
