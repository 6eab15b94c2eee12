"""Deadlines for thousands of requests at the price of an attribute: one wheel of buckets over one loop timer.

A `Deadline` belongs to a long-lived object (a connection) and is moved for each request. Moving it later, or clearing
it, touches nothing but the object: its place in the wheel stays, and when that comes up it is put where it now belongs.
So a request that ends in time never touches the wheel at all. Deadlines fire at or up to one tick after their time.

A place in the wheel keeps the deadline and its owner in memory. So none is further ahead than HORIZON_MS: an idle
timeout of an hour comes up every few seconds instead, and a connection that is closed by then is let go.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Protocol

NS_PER_MS = 1_000_000
HORIZON_MS = 8_000


class _Cancellable(Protocol):
    def cancel(self) -> None: ...


class Deadline:
    """One movable alarm. `at_ns` is when it is due on the wheel's clock, 0 while it is off."""

    __slots__ = ("_wheel", "armed_tick", "at_ns", "callback")

    def __init__(self, wheel: TimerWheel, callback: Callable[[], None]) -> None:
        self.at_ns = 0
        self.armed_tick = 0  # the bucket holding us, 0 for none; the earliest when there are several
        self.callback = callback
        self._wheel = wheel

    def set(self, at_ns: int) -> None:
        """Fire at `at_ns` (monotonic nanoseconds) instead of whenever it was due before."""
        self.at_ns = at_ns
        tick = self.armed_tick
        if not tick or tick * self._wheel.tick_ns > at_ns + self._wheel.tick_ns:
            self._wheel.arm(self)

    def after(self, delay_ms: float) -> None:
        """Fire `delay_ms` from now."""
        self.set(self._wheel.now_ns() + int(delay_ms * NS_PER_MS))

    def clear(self) -> None:
        """Do not fire."""
        self.at_ns = 0

    def drop(self) -> None:
        """Never fire again, and let go of the owner: it is freed at once then, without the cycle collector."""
        self.at_ns = 0
        self.callback = _nothing


def _nothing() -> None:
    pass  # the owner is gone


class TimerWheel:
    """Buckets of deadlines by tick. `call_later(seconds, callback)` and `now_ns()` come from outside (loop, clock)."""

    __slots__ = ("_buckets", "_call_later", "_handle", "_scheduled", "_ticks", "now_ns", "tick_ns")

    def __init__(
        self,
        call_later: Callable[[float, Callable[[], None]], _Cancellable],
        now_ns: Callable[[], int],
        tick_ms: float = 2,
    ) -> None:
        self._call_later = call_later
        self.now_ns = now_ns
        self.tick_ns = int(tick_ms * NS_PER_MS)
        self._buckets: dict[int, list[Deadline]] = {}
        self._ticks: list[int] = []  # heap of the bucket numbers
        self._handle: _Cancellable | None = None
        self._scheduled = 0  # the tick that the loop timer is set to, 0 for none

    def deadline(self, callback: Callable[[], None]) -> Deadline:
        """A new deadline, off."""
        return Deadline(self, callback)

    def call_after(self, delay_ms: float, callback: Callable[[], None]) -> Deadline:
        """A deadline of its own for things rare enough to pay for one (back-offs, injected delays)."""
        deadline = Deadline(self, callback)
        deadline.after(delay_ms)
        return deadline

    def arm(self, deadline: Deadline) -> None:
        """Put a deadline into the bucket of its time, rounded up to a tick, or of the horizon if that comes first."""
        tick = -(-min(deadline.at_ns, self.now_ns() + HORIZON_MS * NS_PER_MS) // self.tick_ns)
        deadline.armed_tick = tick
        bucket = self._buckets.get(tick)
        if bucket is not None:
            bucket.append(deadline)
            return
        self._buckets[tick] = [deadline]
        heapq.heappush(self._ticks, tick)
        if not self._scheduled or tick < self._scheduled:
            self._schedule(tick)

    def _schedule(self, tick: int) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._scheduled = tick
        self._handle = self._call_later(max(0.0, (tick * self.tick_ns - self.now_ns()) / 1e9), self.run)

    def run(self) -> None:
        """Fire what is due. Called by the loop; in tests by the fake clock."""
        self._handle = None
        self._scheduled = 0
        now = self.now_ns()
        current = now // self.tick_ns
        while self._ticks and self._ticks[0] <= current:
            tick = heapq.heappop(self._ticks)
            for deadline in self._buckets.pop(tick):
                if deadline.armed_tick != tick:
                    continue  # it was moved to an earlier bucket, which has taken care of it
                deadline.armed_tick = 0
                if not deadline.at_ns:
                    continue
                if deadline.at_ns > now:
                    self.arm(deadline)
                    continue
                deadline.at_ns = 0
                deadline.callback()
        if self._ticks and (not self._scheduled or self._ticks[0] < self._scheduled):
            self._schedule(self._ticks[0])
