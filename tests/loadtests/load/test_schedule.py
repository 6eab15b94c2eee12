"""When requests are due, and who sends them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.load.pacer import Pacer
from loadtests.load.schedule import SHAPES, Schedule, load_share


def test_a_steady_rate() -> None:
    schedule = Schedule(50, 10)
    assert schedule.total == 500
    assert [schedule.due_s(number) for number in (0, 1, 499)] == pytest.approx([0, 0.02, 9.98])


def test_ten_thousand_are_ten_thousand() -> None:
    assert Schedule(100, 100).total == 10_000
    assert Schedule(0.1, 30).total == 3


def test_a_spike_sends_most_in_its_fifth() -> None:
    schedule = Schedule(100, 10, "spike")
    assert schedule.total == 400
    times = [schedule.due_s(number) for number in range(400)]
    assert sum(4 <= each < 6 for each in times) == 200


@given(st.floats(0.5, 300), st.floats(0.5, 60), st.sampled_from(SHAPES))
def test_requests_are_due_in_order_within_the_time(rate: float, duration: float, shape: str) -> None:
    schedule = Schedule(rate, duration, shape)
    times = [schedule.due_s(number) for number in range(schedule.total)]
    assert times == sorted(times)
    assert all(0 <= each <= duration for each in times)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert all(gap >= 1 / rate - 1e-6 for gap in gaps)
    with pytest.raises(IndexError):
        schedule.due_s(schedule.total)


def test_the_share_of_a_shape() -> None:
    assert [load_share("steps", second, 8) for second in (0, 2, 4, 7.9)] == [0.25, 0.5, 0.75, 1.0]
    assert load_share("steps", 8, 8) is None


def test_the_pacer_hands_out_each_request_once() -> None:
    pacer = Pacer(Schedule(10, 1))
    pacer.start(100.0)
    due = [pacer.take(100.0) for _ in range(11)]
    assert due[:10] == pytest.approx([100 + number / 10 for number in range(10)])
    assert due[10] is None
    assert not pacer.finished
    for _ in range(10):
        pacer.done()
    assert pacer.finished
    assert pacer.unsent == 0


def test_what_nobody_was_free_for_is_not_sent_long_after_the_end() -> None:
    pacer = Pacer(Schedule(10, 1))
    pacer.start(0.0)
    assert pacer.take(1.9) == 0.0
    pacer.done()
    assert pacer.take(2.1) is None
    assert pacer.finished
    assert pacer.unsent == 9
