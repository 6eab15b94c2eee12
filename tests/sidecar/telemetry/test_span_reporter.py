from __future__ import annotations

import pytest

from sidecar.telemetry import span_reporter
from sidecar.telemetry.span import FinishedSpan
from sidecar.telemetry.span_reporter import Done, SpanReporter
from sidecar.telemetry.stats import Stats
from sidecar.telemetry.trace_context import Context
from sidecar.timers import NS_PER_MS, TimerWheel


class Clock:
    def __init__(self) -> None:
        self.now_ns = NS_PER_MS
        self.calls: list[object] = []

    def call_later(self, seconds: float, callback: object) -> Clock:
        return self

    def cancel(self) -> None:
        pass


class Collector:
    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.under_way: list[Done] = []

    def send(self, body: bytes, done: Done) -> None:
        self.bodies.append(body)
        self.under_way.append(done)

    def close(self) -> None:
        self.under_way.clear()


SPAN = FinishedSpan(Context(b"0" * 32, b"0" * 16, None, True), "x", True, 0, 0, {})


class Lab:
    def __init__(self) -> None:
        self.clock = Clock()
        self.wheel = TimerWheel(self.clock.call_later, lambda: self.clock.now_ns)
        self.stats = Stats()
        self.collector = Collector()
        self.reporter = SpanReporter(
            "tracing.zipkin.", self.stats, self.wheel, lambda spans: b"%d" % len(spans), self.collector
        )

    def wait(self, ms: float) -> None:
        self.clock.now_ns += int(ms * NS_PER_MS)
        self.wheel.run()

    def count(self, name: str) -> int:
        return self.stats.counter("tracing.zipkin." + name).value


@pytest.fixture
def lab() -> Lab:
    return Lab()


def test_a_few_spans_wait_for_others(lab: Lab) -> None:
    for _ in range(3):
        lab.reporter.report(SPAN)
    lab.wait(span_reporter.FLUSH_INTERVAL_MS / 2)
    assert lab.collector.bodies == []
    lab.wait(span_reporter.FLUSH_INTERVAL_MS)
    assert lab.collector.bodies == [b"3"]
    assert (lab.count("spans_sent"), lab.count("timer_flushed")) == (3, 1)
    lab.collector.under_way.pop()("reports_sent")
    assert lab.count("reports_sent") == 1


def test_many_go_at_once_but_not_on_the_request_path(lab: Lab) -> None:
    for _ in range(span_reporter.MIN_FLUSH_SPANS):
        lab.reporter.report(SPAN)
    assert lab.collector.bodies == []
    lab.wait(5)
    assert lab.collector.bodies == [b"%d" % span_reporter.MIN_FLUSH_SPANS]


def test_a_stuck_collector_costs_spans_only(lab: Lab) -> None:
    total = span_reporter.MAX_WAITING_SPANS * 2
    for number in range(total):
        lab.reporter.report(SPAN)
        if number % 1000 == 0:
            lab.wait(5)
    assert len(lab.collector.under_way) == span_reporter.MAX_UNDER_WAY
    dropped = lab.count("spans_dropped")
    assert dropped == total - lab.count("spans_sent") - span_reporter.MAX_WAITING_SPANS
    # It comes back, and gets what waited.
    while lab.collector.under_way:
        lab.collector.under_way.pop()("reports_failed")
        lab.wait(span_reporter.FLUSH_INTERVAL_MS)
    assert lab.count("spans_sent") + dropped == total
    assert sum(map(int, lab.collector.bodies)) == total - dropped


def test_the_end(lab: Lab) -> None:
    lab.reporter.report(SPAN)
    lab.reporter.flush()
    assert lab.collector.bodies == [b"1"]
    lab.reporter.report(SPAN)
    lab.reporter.close()
    lab.wait(5_000)
    assert lab.collector.bodies == [b"1"]
