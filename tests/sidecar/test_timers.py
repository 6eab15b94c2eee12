"""The wheel under a fake clock."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

from sidecar.timers import HORIZON_MS, NS_PER_MS, TimerWheel


class Clock:
    """now_ns and call_later whose time only `advance` moves."""

    def __init__(self) -> None:
        self.now = 1_000 * NS_PER_MS
        self.calls: list[tuple[int, Callable[[], None]]] = []
        self.scheduled = 0

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Clock._Handle:
        entry = (self.now + int(delay_s * 1e9), callback)
        self.calls.append(entry)
        self.scheduled += 1
        return Clock._Handle(self, entry)

    class _Handle:
        def __init__(self, clock: Clock, entry: tuple[int, Callable[[], None]]) -> None:
            self._clock, self._entry = clock, entry

        def cancel(self) -> None:
            if self._entry in self._clock.calls:
                self._clock.calls.remove(self._entry)

    def advance(self, delay_ms: float) -> None:
        end = self.now + int(delay_ms * NS_PER_MS)
        while due := [entry for entry in self.calls if entry[0] <= end]:
            entry = min(due, key=lambda one: one[0])
            self.calls.remove(entry)
            self.now = max(self.now, entry[0])
            entry[1]()
        self.now = end


def make() -> tuple[Clock, TimerWheel, list[str]]:
    clock = Clock()
    return clock, TimerWheel(clock.call_later, lambda: clock.now, tick_ms=5), []


def test_fires_within_a_tick_after_its_time() -> None:
    clock, wheel, fired = make()
    wheel.call_after(12, lambda: fired.append("a"))
    clock.advance(11.9)
    assert fired == []
    clock.advance(5.2)
    assert fired == ["a"]
    clock.advance(1000)
    assert fired == ["a"]


def test_moved_later_costs_nothing_and_fires_once() -> None:
    clock, wheel, fired = make()
    deadline = wheel.deadline(lambda: fired.append("a"))
    deadline.after(100)
    for _ in range(50):
        clock.advance(10)
        deadline.after(100)
    assert fired == []
    assert clock.scheduled <= 8  # one loop timer per period, not per move
    clock.advance(110)
    assert fired == ["a"]


def test_moved_earlier() -> None:
    clock, wheel, fired = make()
    deadline = wheel.deadline(lambda: fired.append("a"))
    deadline.after(1000)
    deadline.after(20)
    clock.advance(26)
    assert fired == ["a"]
    clock.advance(2000)
    assert fired == ["a"]


def test_cleared_and_set_again() -> None:
    clock, wheel, fired = make()
    deadline = wheel.deadline(lambda: fired.append("a"))
    deadline.after(20)
    deadline.clear()
    clock.advance(50)
    assert fired == []
    deadline.after(20)
    clock.advance(30)
    assert fired == ["a"]


def test_callback_may_set_itself_and_others() -> None:
    clock, wheel, fired = make()
    again = wheel.deadline(lambda: None)

    def tick() -> None:
        fired.append("tick")
        again.after(10)

    again.callback = tick
    again.after(10)
    wheel.call_after(25, lambda: wheel.call_after(10, lambda: fired.append("late")))
    clock.advance(100)
    assert fired.count("late") == 1
    assert 5 <= fired.count("tick") <= 10


def test_a_far_deadline_that_was_cleared_does_not_keep_its_owner() -> None:
    """Idle timeouts are an hour: the connections of an hour would add up."""

    class Owner:
        def alarm(self) -> None: ...

    clock, wheel, _ = make()
    owner = Owner()
    gone = weakref.ref(owner)
    deadline = wheel.deadline(owner.alarm)
    deadline.after(3_600_000)
    deadline.clear()
    del deadline, owner
    clock.advance(HORIZON_MS + 10)
    assert gone() is None


def test_a_far_deadline_fires_once_at_its_time() -> None:
    clock, wheel, fired = make()
    wheel.call_after(3_600_000, lambda: fired.append("a"))
    clock.advance(3_599_990)
    assert fired == []
    clock.advance(20)
    assert fired == ["a"]
    assert clock.calls == []


def test_a_dropped_deadline_lets_its_owner_go_at_once():
    """Not when the cycle collector comes by: what a report or a connection holds is large."""
    wheel = TimerWheel(lambda seconds, callback: None, lambda: 0)

    class Owner:
        def __init__(self) -> None:
            self.deadline = wheel.deadline(self.late)
            self.fired = 0

        def late(self) -> None:
            self.fired += 1

    owner = Owner()
    owner.deadline.after(1_000)
    seen, deadline = weakref.ref(owner), owner.deadline
    gc.disable()
    try:
        owner.deadline.drop()
        del owner
        assert seen() is None
    finally:
        gc.enable()
    deadline.callback()  # still in the wheel, for nothing
