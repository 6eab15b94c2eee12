"""A load that goes on while something else is done, and knows afterwards what it saw between two moments."""

from __future__ import annotations

import threading
import time
from collections import Counter
from types import TracebackType
from typing import Any

from loadtests.load.launch import LoadFailed, LoadRun
from loadtests.load.settings import Settings

START_LIMIT_S = 20.0


class BackgroundLoad:
    """A context manager: the load runs inside. `finish` gives its results."""

    def __init__(self, settings: Settings) -> None:
        self.run = LoadRun(settings)
        self._result: dict[str, Any] | None = None
        self._problem: LoadFailed | None = None
        self._answering = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> BackgroundLoad:
        self.run.start()
        self._thread.start()
        if not self._answering.wait(START_LIMIT_S) or self._problem is not None:
            tail = self._problem or self.run.log_tail()
            self.run.close()
            raise LoadFailed(f"the load did not begin: {tail}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run.stop()
        self._thread.join()
        self.run.close()

    @property
    def seconds(self) -> float:
        """How long the load has run."""
        return time.time() - self.run.started_at

    @property
    def is_over(self) -> bool:
        """Whether the load has ended, by itself or by stop()."""
        return not self._thread.is_alive()

    def finish(self) -> dict[str, Any]:
        """End the load; its results. Raises LoadFailed."""
        self.run.stop()
        self._thread.join()
        if self._problem is not None:
            raise self._problem
        assert self._result is not None
        return self._result

    def _follow(self) -> None:
        try:
            self._result = self.run.follow(lambda _: self._answering.set())
        except LoadFailed as problem:
            self._problem = problem
        self._answering.set()


def between(series: list[dict[str, Any]], start_s: float, end_s: float) -> dict[str, Any]:
    """What the whole seconds within [start_s, end_s] saw: requests, failures, split, the worst second's p99."""
    inside = [one for one in series if one["second"] >= start_s and one["second"] + 1 <= end_s]
    split: Counter[str] = Counter()
    for one in inside:
        split.update(one["split"])
    latencies = [one["p99_ms"] for one in inside if one["p99_ms"] is not None]
    return {
        "seconds": len(inside),
        "requests": sum(one["rps"] for one in inside),
        "failures": sum(one["failures"] for one in inside),
        "worst_p99_ms": max(latencies, default=None),
        "split": dict(sorted(split.items())),
    }
