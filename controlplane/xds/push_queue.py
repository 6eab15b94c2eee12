"""When to push: the first change at once, then backing off while changes keep coming.

`Backoff` is the pure decision. `PushQueue` merges changes and calls `fire` when it says so. There is no fixed debounce:
a lone change never waits on a timer, and a storm costs at most one push per bound. Where a push is dear (thousands of
resources), the next one waits as long as that one took to work out: half the time is left for everything else, and
what comes meanwhile goes out together.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

log = logging.getLogger(__name__)

FIRST_WAIT_MS = 1.0
WAIT_BOUND_MS = 64.0
# Pushes that cost less than this are cheap enough to follow each other.
DEAR_MS = 15.0
REST_BOUND_MS = 1000.0


@dataclass(slots=True)
class Change:
    """What changed since the last push, merged.

    `revision`: the newest store revision. `first_at`: monotonic seconds of the oldest change.
    `triggers`: what caused it (`config`, `registry`) → how often.
    """

    revision: int
    first_at: float
    triggers: dict[str, int] = field(default_factory=dict)

    def merge(self, later: Change) -> Change:
        """Both in one."""
        triggers = dict(self.triggers)
        for name, count in later.triggers.items():
            triggers[name] = triggers.get(name, 0) + count
        return Change(max(self.revision, later.revision), min(self.first_at, later.first_at), triggers)


class Backoff:
    """How long to wait: nothing after a quiet time, else 1 ms after the last push, doubling up to a bound.

    A push is translated after it was fired, proxy by proxy; `spent_ms` is what the last one has cost in all.
    """

    __slots__ = ("_bound_ms", "_first_ms", "_last_end", "_wait_ms")

    def __init__(self, first_ms: float = FIRST_WAIT_MS, bound_ms: float = WAIT_BOUND_MS) -> None:
        self._first_ms = first_ms
        self._bound_ms = bound_ms
        self._wait_ms = first_ms
        self._last_end: float | None = None

    def due_at(self, now: float, spent_ms: float = 0.0) -> float:
        """When a change that arrives `now` (seconds) may go out. Call once per push, for its first change."""
        if self._last_end is None:
            return now
        rest_ms = 2 * min(spent_ms, REST_BOUND_MS) if spent_ms > DEAR_MS else 0.0
        allowed = self._last_end + max(self._wait_ms, rest_ms) / 1000
        if now >= allowed:
            self._wait_ms = self._first_ms
            return now
        self._wait_ms = min(self._wait_ms * 2, self._bound_ms)
        return allowed

    def pushed(self, now: float) -> None:
        """A push ended at `now`."""
        self._last_end = now


class PushQueue:
    """Merges changes and fires. `fire` runs on the loop and must not block; its errors are logged, never fatal."""

    def __init__(
        self,
        fire: Callable[[Change], None],
        clock: Callable[[], float],
        call_at: Callable[[float, Callable[[], None]], object] | None = None,
        backoff: Backoff | None = None,
        work_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`clock`: monotonic seconds; `call_at`: schedules at such a time, the running loop's by default.

        `work_s`: seconds spent on pushes so far, a counter.
        """
        self._fire = fire
        self._clock = clock
        self._call_at = call_at
        self._backoff = backoff or Backoff()
        self._work_s = work_s
        self._work_before_s = 0.0  # at the last push
        self._pending: Change | None = None

    @property
    def pending(self) -> Change | None:
        return self._pending

    def offer(self, change: Change) -> None:
        """One more change. Returns at once; an idle queue fires in the next turn of the loop."""
        if self._pending is not None:
            self._pending = self._pending.merge(change)
            return
        self._pending = change
        due = self._backoff.due_at(self._clock(), (self._work_s() - self._work_before_s) * 1000)
        if self._call_at is not None:
            self._call_at(due, self._run)
        elif due <= self._clock():
            asyncio.get_running_loop().call_soon(self._run)
        else:
            loop = asyncio.get_running_loop()
            loop.call_later(due - self._clock(), self._run)

    def _run(self) -> None:
        change, self._pending = self._pending, None
        if change is None:
            return
        self._work_before_s = self._work_s()
        try:
            self._fire(change)
        except Exception:
            log.exception("the push for revision %d failed; proxies keep what they have", change.revision)
        finally:
            self._backoff.pushed(self._clock())
