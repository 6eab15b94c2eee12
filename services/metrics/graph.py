"""Who called whom within a time, and how it went. Pure.

An edge is a pair of workloads and the service by which one called the other. Both ends may have counted its requests:
the sending side's count is taken where there is one, for it knows of requests that arrived nowhere.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
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
    Flow,
    new_cell,
)
from services.metrics.labels import BUCKETS

Json = dict[str, Any]
_EDGE = (
    "source_workload",
    "source_workload_namespace",
    "destination_workload",
    "destination_workload_namespace",
    "destination_service",
)


def summed(slots: Iterable[tuple[int, Mapping[Flow, array[float]]]]) -> dict[Flow, array[float]]:
    """The cells of some slots, by flow."""
    found: dict[Flow, array[float]] = {}
    for _, cells in slots:
        for flow, cell in cells.items():
            total = found.get(flow)
            if total is None:
                total = found[flow] = new_cell(flow.kind)
            for index, value in enumerate(cell):
                if value:
                    total[index] += value
    return found


def graph(cells: Mapping[Flow, array[float]], seconds: float) -> Json:
    """Nodes and edges; rates by second, durations in milliseconds."""
    by_edge: dict[tuple[str, ...], dict[str, list[tuple[Flow, array[float]]]]] = {}
    for flow, cell in cells.items():
        key = tuple(flow.label.get(name, "") for name in _EDGE)
        by_edge.setdefault(key, {}).setdefault(flow.label.get("reporter", ""), []).append((flow, cell))
    edges = []
    nodes: dict[str, Json] = {}
    for key, sides in sorted(by_edge.items()):
        reporter = "source" if "source" in sides else "destination"
        chosen = sides.get(reporter) or next(iter(sides.values()))
        edges.append(_edge(key, reporter, chosen, seconds))
        for which in ("source", "destination"):
            node = _node(chosen[0][0].label, which)
            nodes.setdefault(node["id"], node)
    return {"window_s": seconds, "nodes": sorted(nodes.values(), key=lambda n: n["id"]), "edges": edges}


def _node(label: Mapping[str, str], which: str) -> Json:
    workload, namespace = label.get(f"{which}_workload", ""), label.get(f"{which}_workload_namespace", "")
    service = label.get("destination_service", "")
    if which == "destination" and workload == "unknown" and service != "unknown":
        return {"id": f"service:{service}", "kind": "service", "service": service}
    return {
        "id": f"{workload}.{namespace}",
        "kind": "workload",
        "workload": workload,
        "namespace": namespace,
        "app": label.get(f"{which}_app", ""),
        "version": label.get(f"{which}_version", ""),
    }


def _edge(key: Sequence[str], reporter: str, parts: Sequence[tuple[Flow, array[float]]], seconds: float) -> Json:
    label = parts[0][0].label
    http = [(flow, cell) for flow, cell in parts if flow.kind == "http"]
    tcp = [cell for flow, cell in parts if flow.kind == "tcp"]
    edge: Json = {
        "source": _node(label, "source")["id"],
        "destination": _node(label, "destination")["id"],
        "service": key[4],
        "service_name": label.get("destination_service_name", ""),
        "reporter": reporter,
        "protocols": sorted({flow.label.get("request_protocol", "") for flow, _ in parts}),
        "security": label.get("connection_security_policy", ""),
    }
    if http:
        edge["http"] = _http(http, seconds)
    if tcp:
        edge["tcp"] = {
            "opened": _sum(tcp, OPENED),
            "closed": _sum(tcp, CLOSED),
            "sent_bytes_rate": _sum(tcp, SENT) / seconds,
            "received_bytes_rate": _sum(tcp, RECEIVED) / seconds,
        }
    return edge


def _http(parts: Sequence[tuple[Flow, array[float]]], seconds: float) -> Json:
    requests = errors = 0.0
    codes: dict[str, int] = {}
    flags: dict[str, int] = {}
    for flow, cell in parts:
        count, code = cell[REQUESTS], flow.label.get("response_code", "")
        requests += count
        errors += count if is_error(flow.label) else 0
        codes[code] = codes.get(code, 0) + int(count)
        if (flag := flow.label.get("response_flags", "-")) != "-":
            flags[flag] = flags.get(flag, 0) + int(count)
    cells = [cell for _, cell in parts]
    buckets = [sum(cell[FIRST_BUCKET + index] for cell in cells) for index in range(len(BUCKETS) + 1)]
    return {
        "requests": int(requests),
        "rate": requests / seconds,
        "errors": int(errors),
        "error_rate": errors / requests if requests else 0.0,
        "codes": codes,
        "flags": flags,
        **{f"p{q}": quantile(buckets, q / 100) for q in (50, 95, 99)},
        "request_bytes_rate": _sum(cells, REQUEST_BYTES) / seconds,
        "response_bytes_rate": _sum(cells, RESPONSE_BYTES) / seconds,
    }


def is_error(label: Mapping[str, str]) -> bool:
    """A status of 5xx, no answer at all, or a gRPC status other than OK."""
    code = label.get("response_code", "")
    return code.startswith("5") or code == "0" or label.get("grpc_response_status", "") not in ("", "0")


def quantile(buckets: Sequence[float], q: float) -> float | None:
    """As Prometheus' histogram_quantile: interpolated in its bucket; None without measurements."""
    total = sum(buckets)
    if not total:
        return None
    rank, seen, low = q * total, 0.0, 0.0
    for bound, count in zip(BUCKETS, buckets, strict=False):
        if count and seen + count >= rank:
            return low + (bound - low) * max(0.0, rank - seen) / count
        seen += count
        low = bound
    return BUCKETS[-1]


def _sum(cells: Iterable[array[float]], index: int) -> float:
    return sum(cell[index] for cell in cells)
