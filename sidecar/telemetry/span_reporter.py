"""Spans on their way out: gathered, sent in batches, bounded, and never waited for.

What waits is bounded, as is what is under way: a collector that is slow or gone costs spans, which are counted, and
nothing else. Counters carry Envoy's names (`tracing.zipkin.*`); `spans_dropped` is ours.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from sidecar.telemetry.span import FinishedSpan
from sidecar.telemetry.stats import Stats
from sidecar.timers import TimerWheel

#: A batch goes out when so many spans wait, or after so long (Envoy: 5 spans, 5 s).
MIN_FLUSH_SPANS = 64
FLUSH_INTERVAL_MS = 1_000.0
#: Encoding holds up the loop for about 10 µs a span.
MAX_BATCH_SPANS = 128
MAX_WAITING_SPANS = 8_192
MAX_UNDER_WAY = 2

Outcome = Literal["reports_sent", "reports_dropped", "reports_failed", "reports_skipped_no_cluster"]
Done = Callable[[Outcome], None]

_COUNTERS: dict[Outcome, str] = {
    "reports_sent": "reports_sent",
    "reports_dropped": "reports_dropped",
    "reports_failed": "reports_failed",
    "reports_skipped_no_cluster": "reports_skipped_no_cluster",
}


class Sender(Protocol):
    """How a batch leaves the proxy."""

    def send(self, body: bytes, done: Done) -> None:
        """Send it; `done` is called once, perhaps before this returns."""

    def close(self) -> None:
        """Give up what is under way."""


class SpanReporter:
    """The spans for one collector."""

    def __init__(
        self,
        prefix: str,
        stats: Stats,
        wheel: TimerWheel,
        encode: Callable[[Sequence[FinishedSpan]], bytes],
        sender: Sender,
    ) -> None:
        self._encode = encode
        self._sender = sender
        self._waiting: deque[FinishedSpan] = deque()
        self._under_way = 0
        self._deadline = wheel.deadline(self._flush)
        self._spans_sent = stats.counter(prefix + "spans_sent")
        self._spans_dropped = stats.counter(prefix + "spans_dropped")
        self._timer_flushed = stats.counter(prefix + "timer_flushed")
        self._outcomes = {outcome: stats.counter(prefix + name) for outcome, name in _COUNTERS.items()}

    def report(self, span: FinishedSpan) -> None:
        """Take a span; cheap, never blocks and never raises."""
        waiting = self._waiting
        if len(waiting) >= MAX_WAITING_SPANS:
            self._spans_dropped.value += 1
            return
        waiting.append(span)
        if len(waiting) == MIN_FLUSH_SPANS:
            self._deadline.after(0)
        elif not self._deadline.at_ns and self._under_way < MAX_UNDER_WAY:
            self._deadline.after(FLUSH_INTERVAL_MS)

    def _flush(self) -> None:
        if len(self._waiting) < MIN_FLUSH_SPANS:
            self._timer_flushed.value += 1
        self._send()

    def _send(self) -> None:
        waiting = self._waiting
        if not waiting or self._under_way >= MAX_UNDER_WAY:
            return  # what is under way goes on with the rest when it comes back
        batch = [waiting.popleft() for _ in range(min(len(waiting), MAX_BATCH_SPANS))]
        self._spans_sent.value += len(batch)
        self._under_way += 1
        self._sender.send(self._encode(batch), self._done)
        if waiting and not self._deadline.at_ns:
            self._deadline.after(0 if len(waiting) >= MIN_FLUSH_SPANS else FLUSH_INTERVAL_MS)

    def _done(self, outcome: Outcome) -> None:
        self._under_way -= 1
        self._outcomes[outcome].value += 1
        if self._waiting and not self._deadline.at_ns:
            self._deadline.after(0 if len(self._waiting) >= MIN_FLUSH_SPANS else FLUSH_INTERVAL_MS)

    def flush(self) -> None:
        """Send what waits, as far as may be under way; before the proxy ends."""
        self._deadline.clear()
        self._send()

    def close(self) -> None:
        """Send nothing any more."""
        self._deadline.clear()
        self._waiting.clear()
        self._sender.close()
