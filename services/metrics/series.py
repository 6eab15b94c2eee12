"""A metric over time, summed by labels. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from services.metrics.flows import (
    CLOSED,
    FIRST_BUCKET,
    OPENED,
    RECEIVED,
    REQUEST_BYTES,
    REQUESTS,
    RESPONSE_BYTES,
    SENT,
    SLOT_S,
    Flow,
    Kind,
    new_cell,
)
from services.metrics.graph import quantile

MAX_SERIES = 200

Value = Callable[["array[float]", float], float | None]


def _rate(index: int) -> Value:
    return lambda cell, seconds: cell[index] / seconds


def _quantile(q: float) -> Value:
    return lambda cell, _: quantile(cell[FIRST_BUCKET:], q)


#: Counters by second; quantiles of durations in milliseconds.
METRICS: dict[str, tuple[Kind, Value]] = {
    "istio_requests_total": ("http", _rate(REQUESTS)),
    "istio_request_bytes": ("http", _rate(REQUEST_BYTES)),
    "istio_response_bytes": ("http", _rate(RESPONSE_BYTES)),
    "istio_tcp_connections_opened_total": ("tcp", _rate(OPENED)),
    "istio_tcp_connections_closed_total": ("tcp", _rate(CLOSED)),
    "istio_tcp_sent_bytes_total": ("tcp", _rate(SENT)),
    "istio_tcp_received_bytes_total": ("tcp", _rate(RECEIVED)),
    "p50": ("http", _quantile(0.5)),
    "p95": ("http", _quantile(0.95)),
    "p99": ("http", _quantile(0.99)),
}


def series(
    slots: Iterable[tuple[int, Mapping[Flow, array[float]]]],
    metric: str,
    by: Sequence[str],
    only: Mapping[str, str],
    start: int,
    step: int,
    count: int,
) -> list[dict[str, Any]]:
    """`count` points of `step` seconds from `start` on, for each combination of the labels `by`; the largest first.

    `only`: labels that flows must have. Raises KeyError on an unknown metric.
    """
    kind, value = METRICS[metric]
    found: dict[tuple[str, ...], dict[int, array[float]]] = {}
    for slot, cells in slots:
        place = (slot - start) // step
        if not 0 <= place < count:
            continue
        for flow, cell in cells.items():
            if flow.kind != kind or any(flow.label.get(name) != wanted for name, wanted in only.items()):
                continue
            points = found.setdefault(tuple(flow.label.get(name, "") for name in by), {})
            total = points.get(place)
            if total is None:
                total = points[place] = new_cell(kind)
            for index, number in enumerate(cell):
                total[index] += number
    ranked = sorted(found.items(), key=lambda row: (-sum(cell[0] for cell in row[1].values()), row[0]))
    nothing = new_cell(kind)
    return [
        {
            "labels": dict(zip(by, labels, strict=True)),
            "points": [[start + place * step, value(points.get(place, nothing), step)] for place in range(count)],
        }
        for labels, points in ranked[:MAX_SERIES]
    ]


def aligned(end_s: float, window_s: float, step_s: float) -> tuple[int, int, int]:
    """(start, step, count): whole slots, the running one left out."""
    step = max(SLOT_S, int(step_s) // SLOT_S * SLOT_S)
    end = int(end_s) // SLOT_S * SLOT_S
    count = max(1, int(window_s) // step)
    return end - count * step, step, count
