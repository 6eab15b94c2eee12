"""Hands out the requests of a schedule, in order, to whichever user is free next.

`start` says when the load begins; `take` gives the moment that the next request is due, `done` says that it is over,
and `finished` when nothing is left to wait for. Times are a monotonic clock's, in seconds.
"""

from __future__ import annotations

from loadtests.load.schedule import Schedule

# Requests that are due but find no free user are sent up to this long after the end; what is left is not sent at all.
OVERTIME_S = 1.0


class Pacer:
    """One for all users of a run."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self._start = 0.0
        self._taken = 0
        self._done = 0
        self._over = False

    def start(self, now: float) -> None:
        """The first request is due now."""
        self._start = now

    def take(self, now: float) -> float | None:
        """When the next request is due; None when there are no more."""
        if self._taken >= self.schedule.total or now > self._start + self.schedule.duration_s + OVERTIME_S:
            self._over = True
            return None
        due = self._start + self.schedule.due_s(self._taken)
        self._taken += 1
        return due

    def done(self) -> None:
        """A request that was taken is over."""
        self._done += 1

    @property
    def finished(self) -> bool:
        """Whether no request is left, and none on its way."""
        return (self._over or self._taken >= self.schedule.total) and self._done >= self._taken

    @property
    def unsent(self) -> int:
        """Requests of the schedule that were not made."""
        return self.schedule.total - self._done
