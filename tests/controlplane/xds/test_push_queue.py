"""When pushes go out, on a clock that the test turns."""

import heapq

import pytest

from controlplane.xds.push_queue import Backoff, Change, PushQueue


class FakeTime:
    """A clock in seconds and its timers."""

    def __init__(self) -> None:
        self.now = 100.0
        self._timers: list = []
        self._count = 0

    def __call__(self) -> float:
        return self.now

    def call_at(self, when: float, callback) -> None:
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, callback))

    def advance(self, ms: float) -> None:
        end = self.now + ms / 1000
        while self._timers and self._timers[0][0] <= end + 1e-9:
            when, _, callback = heapq.heappop(self._timers)
            self.now = max(self.now, when)
            callback()
        self.now = end


class Recorder:
    def __init__(self, push_ms: float = 0.0) -> None:
        self.time = FakeTime()
        self.fired: list[tuple[float, Change]] = []
        self.push_ms = push_ms
        self.queue = PushQueue(self._fire, self.time, self.time.call_at)

    def _fire(self, change: Change) -> None:
        self.fired.append((round((self.time.now - 100) * 1000, 3), change))
        self.time.now += self.push_ms / 1000

    def offer(self, revision: int) -> None:
        self.queue.offer(Change(revision, self.time.now, {"config": 1}))

    @property
    def times_ms(self) -> list[float]:
        return [at for at, _ in self.fired]


def test_a_lone_change_goes_out_at_once():
    r = Recorder()
    r.offer(1)
    r.time.advance(0)
    assert r.times_ms == [0.0]


def test_each_lone_change_goes_out_at_once():
    r = Recorder()
    for revision in range(5):
        r.offer(revision)
        r.time.advance(100)
    assert r.times_ms == [0, 100, 200, 300, 400]


def test_a_storm_backs_off_doubling_to_the_bound():
    r = Recorder()
    for revision in range(4000):
        r.offer(revision)
        r.time.advance(0.1)
    gaps = [round(b - a, 1) for a, b in zip(r.times_ms, r.times_ms[1:], strict=False)]
    assert gaps[:8] == [1, 2, 4, 8, 16, 32, 64, 64]
    assert max(gaps) == 64


def test_nothing_of_a_storm_is_lost():
    r = Recorder()
    for revision in range(1, 200):
        r.offer(revision)
        r.time.advance(0.2)
    r.time.advance(100)
    assert r.fired[-1][1].revision == 199
    assert sum(c.triggers["config"] for _, c in r.fired) == 199


def test_a_quiet_time_ends_the_back_off():
    r = Recorder()
    for revision in range(50):
        r.offer(revision)
        r.time.advance(0.5)
    r.time.advance(200)
    before = r.time.now
    r.offer(51)
    r.time.advance(0)
    assert r.fired[-1][1].revision == 51 and r.time.now == before


def test_the_back_off_counts_from_the_end_of_a_push():
    r = Recorder(push_ms=10)
    r.offer(1)
    r.time.advance(0)
    r.offer(2)
    r.time.advance(20)
    assert r.times_ms == [0, 11]


def test_merging_keeps_the_oldest_time_and_the_newest_revision():
    merged = Change(3, 5.0, {"config": 1}).merge(Change(4, 6.0, {"registry": 2}))
    assert merged == Change(4, 5.0, {"config": 1, "registry": 2})


def test_a_push_that_raises_does_not_stop_the_queue(caplog):
    time = FakeTime()
    fired = []

    def fire(change: Change) -> None:
        fired.append(change.revision)
        if change.revision == 1:
            raise ValueError("boom")

    queue = PushQueue(fire, time, time.call_at)
    for revision in (1, 2):
        queue.offer(Change(revision, 0.0))
        time.advance(10)
    assert fired == [1, 2]
    assert "revision 1 failed" in caplog.text


async def test_on_a_real_loop_the_first_change_needs_one_turn():
    import asyncio
    import time

    fired = []
    queue = PushQueue(fired.append, time.monotonic)
    queue.offer(Change(1, time.monotonic()))
    assert fired == []
    await asyncio.sleep(0)
    assert [c.revision for c in fired] == [1] and queue.pending is None


@pytest.mark.parametrize("bound", [4.0, 64.0])
def test_the_wait_never_exceeds_the_bound(bound):
    backoff, now = Backoff(1, bound), 0.0
    for _ in range(20):
        due = backoff.due_at(now)
        assert due - now <= bound / 1000 + 1e-9
        now = due
        backoff.pushed(now)


def test_a_dear_push_rests_as_long_as_it_took_to_translate():
    time = FakeTime()
    fired: list[float] = []
    work_s = 0.0
    queue = PushQueue(lambda _: fired.append(time.now), time, time.call_at, work_s=lambda: work_s)
    queue.offer(Change(1, time.now))
    time.advance(0)
    work_s, time.now = work_s + 0.05, time.now + 0.05  # the proxies' workers translate for 50 ms
    for revision in range(2, 12):
        queue.offer(Change(revision, time.now))
        time.advance(5)
    assert [round((at - fired[0]) * 1000) for at in fired] == [0, 100]


@pytest.mark.parametrize(("spent_ms", "wait_ms"), [(0, 1), (15, 1), (20, 40), (60_000, 2000)])
def test_the_rest_is_bounded_and_cheap_pushes_have_none(spent_ms: float, wait_ms: float):
    backoff = Backoff()
    backoff.pushed(100.0)
    assert round((backoff.due_at(100.0, spent_ms) - 100) * 1000, 3) == wait_ms
    assert backoff.due_at(109.0, spent_ms) == 109.0
