"""Prometheus' text format, as far as proxies write it: Istio's series taken apart, everything else kept as it is."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable, Mapping

from services.metrics.flows import (
    CLOSED,
    DURATION_MS,
    FIRST_BUCKET,
    OPENED,
    RECEIVED,
    REQUEST_BYTES,
    REQUESTS,
    RESPONSE_BYTES,
    SENT,
    Flow,
    Kind,
    new_cell,
)
from services.metrics.labels import BUCKETS, Labels

_PAIR = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")
_UPTIME = "envoy_server_uptime"
#: Name of a sample → kind of flow, and the place in its cell.
_PLACES: dict[str, tuple[Kind, int]] = {
    "istio_requests_total": ("http", REQUESTS),
    "istio_request_duration_milliseconds_sum": ("http", DURATION_MS),
    "istio_request_bytes_sum": ("http", REQUEST_BYTES),
    "istio_response_bytes_sum": ("http", RESPONSE_BYTES),
    "istio_request_duration_milliseconds_bucket": ("http", FIRST_BUCKET),
    "istio_tcp_connections_opened_total": ("tcp", OPENED),
    "istio_tcp_connections_closed_total": ("tcp", CLOSED),
    "istio_tcp_sent_bytes_total": ("tcp", SENT),
    "istio_tcp_received_bytes_total": ("tcp", RECEIVED),
}
_BUCKET_OF = {f"{bound:g}" if bound < 1e6 else str(int(bound)): index for index, bound in enumerate(BUCKETS)}
_BUCKET_OF["+Inf"] = len(BUCKETS)

FindFlow = Callable[[Kind, Labels], Flow | None]


class PageReader:
    """One proxy's pages, one after another: what each adds to the one before. `more`: labels of its flows."""

    def __init__(self, find: FindFlow, more: Labels) -> None:
        self._find = find
        self._more = more
        self._last: dict[str, float] = {}
        self._places: dict[str, tuple[Flow | None, int]] = {}
        self._started = False
        self.generation = 0

    def read(self, text: str, young_s: float) -> dict[Flow, array[float]]:
        """The cells of what is new. The first page counts only if the proxy has been up for no longer than `young_s`.

        Raises ValueError where the text is no such page.
        """
        values = {}
        uptime = float("inf")
        for line in text.split("\n"):
            if line.startswith("istio_"):
                name, _, value = line.rpartition(" ")
                values[name] = float(value)
            elif line.startswith(_UPTIME):
                uptime = float(line.rpartition(" ")[2])
        counts = self._started or uptime <= young_s
        deltas = self._deltas(values) if counts else {}
        self._last = values
        self._started = True
        return self._cells(deltas)

    def forget(self) -> None:
        """Flows were dropped: look them up anew."""
        self._places.clear()

    def _deltas(self, values: Mapping[str, float]) -> dict[str, float]:
        found = {}
        for name, value in values.items():
            before = self._last.get(name, 0.0)
            delta = value - before if value >= before else value  # a proxy that began anew counts from nothing
            if delta:
                found[name] = delta
        return found

    def _cells(self, deltas: Mapping[str, float]) -> dict[Flow, array[float]]:
        cells: dict[Flow, array[float]] = {}
        for name, delta in deltas.items():
            place = self._places.get(name)
            if place is None:
                place = self._places[name] = self._place(name)
            flow, index = place
            if flow is not None:
                cell = cells.get(flow)
                if cell is None:
                    cell = cells[flow] = new_cell(flow.kind)
                cell[index] += delta
        for flow, cell in cells.items():
            if flow.kind == "http":
                for index in range(len(cell) - 1, FIRST_BUCKET, -1):
                    cell[index] = max(0.0, cell[index] - cell[index - 1])
        return cells

    def _place(self, sample: str) -> tuple[Flow | None, int]:
        name, _, inside = sample.partition("{")
        found = _PLACES.get(name)
        if found is None:
            return None, 0
        kind, index = found
        labels = tuple((key, _ESCAPED.sub(_unescaped, value)) for key, value in _PAIR.findall(inside))
        if index == FIRST_BUCKET and kind == "http":
            bound = next((value for key, value in labels if key == "le"), "")
            if bound not in _BUCKET_OF:
                return None, 0
            index += _BUCKET_OF[bound]
            labels = tuple(pair for pair in labels if pair[0] != "le")
        return self._find(kind, labels + self._more), index


def _unescaped(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]


def families(text: str, more: Labels) -> Iterable[tuple[str, str, str]]:
    """(family, type, line) of each sample, with `more` labels added to it."""
    added = ",".join(f'{name}="{escape(value)}"' for name, value in more)
    family = kind = ""
    for line in text.split("\n"):
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ", 3)
        elif line and line[0] != "#":
            name, _, value = line.rpartition(" ")
            if name.endswith("{}"):
                name = f"{name[:-2]}{{{added}}}"
            elif name.endswith("}"):
                name = f"{name[:-1]},{added}}}"
            else:
                name = f"{name}{{{added}}}"
            yield family, kind, f"{name} {value}"


def escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
