"""What is counted: totals by labels since the start, and the last hour in slots of five seconds.

A *flow* is one combination of labels at one proxy. A *cell* is what one flow did in one slot: 24 numbers for HTTP, 4
for TCP. Only flows that did something have a cell, so that the hour costs what happened in it; when cells are more
than the bound, the oldest slots go early.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator
from typing import Literal

from services.metrics.labels import BUCKETS, Labels

Kind = Literal["http", "tcp"]

SLOT_S = 5
HISTORY_S = 3600
MAX_FLOWS = 20_000
#: Cells begin with these; an HTTP cell goes on with one number for each bucket of durations and one for the rest.
REQUESTS, DURATION_MS, REQUEST_BYTES, RESPONSE_BYTES, FIRST_BUCKET = 0, 1, 2, 3, 4
OPENED, CLOSED, SENT, RECEIVED = 0, 1, 2, 3
_SIZES: dict[str, int] = {"http": FIRST_BUCKET + len(BUCKETS) + 1, "tcp": 4}


def new_cell(kind: Kind) -> array[float]:
    return array("d", bytes(8 * _SIZES[kind]))


class Flow:
    """One combination of labels. All numbers are of records alone, not of what was scraped.

    `messages`: those of gRPC calls, there and back; None without calls.
    """

    __slots__ = ("kind", "label", "labels", "messages", "request_sizes", "response_sizes", "total", "used_s")

    def __init__(self, kind: Kind, labels: Labels) -> None:
        self.kind = kind
        self.labels = labels
        self.label = dict(labels)
        self.total: array[float] | None = None
        self.request_sizes: list[int] = []
        self.response_sizes: list[int] = []
        self.messages: tuple[int, int] | None = None
        self.used_s = 0.0

    def counted(self) -> array[float]:
        """The totals, made when the first record comes."""
        if self.total is None:
            self.total = new_cell(self.kind)
            if self.kind == "http":
                self.request_sizes, self.response_sizes = ([0] * (len(BUCKETS) + 1) for _ in range(2))
        return self.total


class Flows:
    """All flows and the history. `clock`: seconds since the epoch."""

    def __init__(self, clock: Callable[[], float], max_cells: int, overflowed: Callable[[], None]) -> None:
        self._clock = clock
        self._max_cells = max_cells
        self._overflowed = overflowed
        self._by_labels: dict[tuple[Kind, Labels], Flow] = {}
        self._slots: deque[tuple[int, dict[Flow, array[float]]]] = deque()
        self.cells = 0
        #: Grows whenever flows are forgotten: who keeps flows by keys of his own starts anew then.
        self.generation = 0

    def __len__(self) -> int:
        return len(self._by_labels)

    def __iter__(self) -> Iterator[Flow]:
        return iter(list(self._by_labels.values()))

    def flow(self, kind: Kind, labels: Labels) -> Flow | None:
        """The flow of these labels; None where there are too many already."""
        found = self._by_labels.get((kind, labels))
        if found is None:
            if len(self._by_labels) >= MAX_FLOWS:
                self._overflowed()
                return None
            found = self._by_labels[kind, labels] = Flow(kind, labels)
        return found

    def request(self, flow: Flow, duration_ms: float, request_bytes: int, response_bytes: int) -> None:
        """One request that a record tells of."""
        bucket = FIRST_BUCKET + bisect_left(BUCKETS, duration_ms)
        for cell in (flow.counted(), self.now(flow)):
            cell[REQUESTS] += 1
            cell[DURATION_MS] += duration_ms
            cell[REQUEST_BYTES] += request_bytes
            cell[RESPONSE_BYTES] += response_bytes
            cell[bucket] += 1
        flow.request_sizes[bisect_left(BUCKETS, request_bytes)] += 1
        flow.response_sizes[bisect_left(BUCKETS, response_bytes)] += 1

    def messages(self, flow: Flow, sent: int, received: int) -> None:
        """The messages of one gRPC call that a record tells of, besides `request`."""
        before = flow.messages or (0, 0)
        flow.messages = (before[0] + sent, before[1] + received)

    def connection(self, flow: Flow, sent: int, received: int) -> None:
        """One TCP connection that a record tells of, at its end."""
        for cell in (flow.counted(), self.now(flow)):
            cell[OPENED] += 1
            cell[CLOSED] += 1
            cell[SENT] += sent
            cell[RECEIVED] += received

    def now(self, flow: Flow) -> array[float]:
        """The flow's cell of the running slot."""
        at = self._clock()
        flow.used_s = at
        slot = int(at) // SLOT_S * SLOT_S
        if not self._slots or self._slots[-1][0] < slot:
            self._slots.append((slot, {}))
            self._expire(slot)
        cells = self._slots[-1][1]
        cell = cells.get(flow)
        if cell is None:
            cell = cells[flow] = new_cell(flow.kind)
            self.cells += 1
        return cell

    def _expire(self, slot: int) -> None:
        while len(self._slots) > 1 and (self._slots[0][0] <= slot - HISTORY_S or self.cells > self._max_cells):
            self.cells -= len(self._slots.popleft()[1])

    def forget_idle(self) -> None:
        """Drop flows that nothing has come of for as long as the history goes."""
        before = self._clock() - HISTORY_S
        idle = [key for key, flow in self._by_labels.items() if flow.used_s < before]
        for key in idle:
            del self._by_labels[key]
        if idle:
            self.generation += 1

    def window(self, start_s: float, end_s: float) -> Iterator[tuple[int, dict[Flow, array[float]]]]:
        """Slots that begin from `start_s` on and before `end_s`, oldest first."""
        for slot, cells in self._slots:
            if start_s <= slot < end_s:
                yield slot, cells

    def age_s(self) -> float:
        """How far back the history goes."""
        return self._clock() - self._slots[0][0] if self._slots else 0.0
