"""A steady load with an account of every request: what the chaos cases count by."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tests.e2e.lab import Answer, eventually

Get = Callable[[], Answer]


@dataclass(frozen=True, slots=True)
class Sample:
    """One request: when it began (time.monotonic), how long it took in seconds, and its status or error's name."""

    began: float
    seconds: float
    outcome: str

    @property
    def ended(self) -> float:
        return self.began + self.seconds


class Steady:
    """`threads` clients that share a rate of requests a second; each slow answer holds up its own thread alone.

    `client` gives a context manager around a function that makes one request; each thread has its own.
    """

    def __init__(self, client: Callable[[], AbstractContextManager[Get]], rate: float = 50, threads: int = 4) -> None:
        self._client = client
        self._every_s = threads / rate
        self._samples: list[Sample] = []
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(threads)]

    def __enter__(self) -> Steady:
        for thread in self._threads:
            thread.start()
        eventually(lambda: len(self._samples) >= 20, 20, "the load is under way")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(40)
        if kind is None:
            assert not any(thread.is_alive() for thread in self._threads), "a request never ended"

    def _run(self, number: int) -> None:
        due = time.monotonic() + self._every_s * number / len(self._threads)
        with self._client() as get:
            while not self._stopping.is_set():
                now = time.monotonic()
                if now < due:
                    self._stopping.wait(due - now)
                    continue
                due = max(due + self._every_s, now - 1)  # no burst after a hold-up
                try:
                    outcome = str(get().status)
                except Exception as error:  # whatever it is, it is a failed request
                    outcome = type(error).__name__
                self._samples.append(Sample(now, time.monotonic() - now, outcome))

    @property
    def samples(self) -> list[Sample]:
        return list(self._samples)

    def counts(self) -> Counter[str]:
        """Outcome → how many."""
        return Counter(sample.outcome for sample in self.samples)

    def failures(self, since: float = 0.0) -> list[Sample]:
        """Requests that began after `since` and were no 200."""
        return [sample for sample in self.samples if sample.outcome != "200" and sample.began >= since]

    def go_on(self, seconds: float) -> None:
        """Let the load run on: the one place where time itself is what is waited for."""
        self._stopping.wait(seconds)

    def summary(self) -> dict[str, Any]:
        """For the report: counts, the slowest answer, and when failures lay (seconds since the first request)."""
        samples = self.samples
        start = min(sample.began for sample in samples)
        return {
            "counts": dict(self.counts()),
            "slowest_s": round(max(sample.seconds for sample in samples), 3),
            "failures_at_s": [round(s.began - start, 2) for s in samples if s.outcome != "200"][:20],
        }
