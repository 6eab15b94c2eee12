"""What the pages show, computed from the nodes of a trace. Pure code; times in ns unless the name says otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from opentelemetry.proto.trace.v1.trace_pb2 import Status

from services.tracing.decode.tags import KIND_NAMES, REQUEST_ID_TAG, attribute_tags, text_of
from services.tracing.query.adjust import Node
from services.tracing.query.durations import write_duration
from services.tracing.query.jaeger_json import write_trace_id

COLOURS = 10
MAX_DEPTH = 30  # deeper spans are indented no further


@dataclass(slots=True)
class TraceSummary:
    """One line of the list. `part`: of the longest trace in the list, in percent."""

    trace_id: str
    service: str
    operation: str
    start: str
    duration_us: int
    duration: str
    spans: int
    errors: int
    services: list[tuple[str, int, int]]  # name, spans, colour
    part: float = 0.0


@dataclass(slots=True)
class SpanRow:
    """One line of a waterfall. `left` and `width` in percent of the trace's time."""

    span_id: str
    service: str
    operation: str
    kind: str
    depth: int
    colour: int
    left: float
    width: float
    duration: str
    offset: str
    error: bool
    status: str
    tags: list[tuple[str, str]] = field(default_factory=list)
    process: list[tuple[str, str]] = field(default_factory=list)
    logs: list[tuple[str, str, list[tuple[str, str]]]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(slots=True)
class TraceView:
    """A trace with its waterfall, depth first, children by start."""

    summary: TraceSummary
    rows: list[SpanRow]
    request_ids: list[str]
    ticks: list[tuple[float, str]]
    depth: int


def summary_of(nodes: Sequence[Node]) -> TraceSummary:
    """Named after the root that began first, or the span that did where the root is missing."""
    start, end = _window(nodes)
    first = min(nodes, key=lambda node: (bool(node.parent), node.start_ns))
    counts: dict[str, int] = {}
    for node in nodes:
        counts[node.stored.service] = counts.get(node.stored.service, 0) + 1
    colours = colours_of(nodes)
    duration_us = (end - start) // 1000
    return TraceSummary(
        trace_id=write_trace_id(first.span.trace_id),
        service=first.stored.service,
        operation=first.span.name,
        start=write_time(start),
        duration_us=duration_us,
        duration=write_short(duration_us),
        spans=len(nodes),
        errors=sum(failed(node) for node in nodes),
        services=[(name, count, colours[name]) for name, count in counts.items()],
    )


def trace_view(nodes: Sequence[Node], with_tags: bool, opened: str) -> TraceView:
    """`with_tags`: every span with what it says; else that of the span `opened` alone."""
    start, end = _window(nodes)
    colours = colours_of(nodes)
    rows = []
    request_ids: dict[str, None] = {}
    present = {id(child) for node in nodes for child in node.children}
    waiting = [(node, 0) for node in sorted(nodes, key=_by_start, reverse=True) if id(node) not in present]
    while waiting:
        node, depth = waiting.pop()
        row = _row(node, depth, colours[node.stored.service], start, max(1, end - start))
        if with_tags or row.span_id == opened:
            _fill(row, node, start)
        rows.append(row)
        for kv in node.span.attributes:
            if kv.key == REQUEST_ID_TAG:
                request_ids[text_of(kv.value)] = None
        waiting += [(child, depth + 1) for child in sorted(node.children, key=_by_start, reverse=True)]
    ticks = [(part * 25.0, write_short((end - start) * part // 4000)) for part in range(5)]
    depth = max((row.depth for row in rows), default=0)
    return TraceView(summary_of(nodes), rows, list(request_ids)[:5], ticks, depth + 1)


def colours_of(nodes: Sequence[Node]) -> dict[str, int]:
    """A colour for each service, in the order in which they begin."""
    colours: dict[str, int] = {}
    for node in sorted(nodes, key=_by_start):
        colours.setdefault(node.stored.service, len(colours) % COLOURS)
    return colours


def failed(node: Node) -> bool:
    """By its status, or by a tag `error` that is true (OpenTracing, Envoy)."""
    if node.span.status.code == Status.STATUS_CODE_ERROR:
        return True
    return any(key == "error" and value == "true" for key, value in attribute_tags(node.span.attributes))


def write_short(us: int) -> str:
    """A duration with three digits."""
    for unit, scale in (("s", 1_000_000), ("ms", 1000)):
        if us >= scale:
            return f"{us / scale:.3g} {unit}" if us < 1000 * scale else f"{us / scale:.0f} {unit}"
    return f"{us} µs"


def write_time(ns: int) -> str:
    """UTC, to the millisecond."""
    try:
        at = datetime.fromtimestamp(ns / 1e9, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{ns} ns"
    return at.strftime("%Y-%m-%d %H:%M:%S.") + f"{at.microsecond // 1000:03d}"


def _by_start(node: Node) -> int:
    return node.start_ns


def _window(nodes: Sequence[Node]) -> tuple[int, int]:
    return min(node.start_ns for node in nodes), max(node.end_ns for node in nodes)


def _row(node: Node, depth: int, colour: int, start: int, lasts: int) -> SpanRow:
    span = node.span
    http = {"http.status_code", "http.response.status_code", "grpc.status_code", "rpc.grpc.status_code"}
    status = next((value for key, value in attribute_tags(span.attributes) if key in http), "")
    return SpanRow(
        span_id=node.span_id.hex(),
        service=node.stored.service,
        operation=span.name,
        kind=KIND_NAMES.get(span.kind, ""),
        depth=min(depth, MAX_DEPTH),
        colour=colour,
        left=min(99.7, (node.start_ns - start) * 100 / lasts),
        width=max(0.3, (node.end_ns - node.start_ns) * 100 / lasts),
        duration=write_short((node.end_ns - node.start_ns) // 1000),
        offset=write_short((node.start_ns - start) // 1000),
        error=failed(node),
        status=status,
        warnings=node.warnings,
    )


def _fill(row: SpanRow, node: Node, start: int) -> None:
    span = node.span
    row.tags = sorted(attribute_tags(span.attributes))
    if span.status.message:
        row.tags.append(("otel.status_description", span.status.message))
    row.process = sorted(attribute_tags(node.stored.resource.resource.attributes))
    for event in span.events:
        at = event.time_unix_nano + node.shift_ns - start
        offset = write_short(at // 1000) if at >= 0 else f"-{write_duration(-at // 1000)}"
        row.logs.append((offset, event.name, list(attribute_tags(event.attributes))))
