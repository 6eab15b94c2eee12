"""What Jaeger does to a trace before it shows it (Jaeger: querysvc/adjuster): ids made unique, clocks brought in line.

Pure code. A `Node` is a span with what the adjusters find; the stored span is not touched but for its ids and times,
which belong to the answer alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from services.tracing.decode.tags import text_of
from services.tracing.query.durations import write_duration
from services.tracing.store.reader import StoredSpan

_HOST_KEYS = ("host.id", "host.ip", "host.name", "ip")


@dataclass(slots=True, eq=False)
class Node:
    """A span of an answer. `parent` is empty for a root."""

    stored: StoredSpan
    span_id: bytes
    parent: bytes
    start_ns: int
    end_ns: int
    warnings: list[str] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)
    shift_ns: int = 0

    @property
    def span(self) -> Span:
        """As it was sent."""
        return self.stored.span


def nodes_of(spans: Iterable[StoredSpan]) -> list[Node]:
    """As they are stored."""
    nodes = []
    for stored in spans:
        span = stored.span
        parent = span.parent_span_id if any(span.parent_span_id) else b""
        start = span.start_time_unix_nano
        nodes.append(Node(stored, span.span_id, parent, start, max(start, span.end_time_unix_nano)))
    return nodes


def adjust(spans: Iterable[StoredSpan], max_skew_us: int = 0) -> list[Node]:
    """All adjusters, in Jaeger's order; the nodes by start. `max_skew_us` 0: clocks are left as they are."""
    nodes = nodes_of(spans)
    make_ids_unique(nodes)
    roots = link(nodes)
    correct_clocks(roots, max_skew_us * 1000)
    nodes.sort(key=lambda node: node.start_ns)
    return nodes


def make_ids_unique(nodes: Sequence[Node]) -> None:
    """A server's span that shares its id with a client's (Zipkin, B3) gets one of its own and becomes its child."""
    used = {node.span_id for node in nodes}
    clients = {node.span_id for node in nodes if node.span.kind == Span.SPAN_KIND_CLIENT}
    renamed: dict[bytes, bytes] = {}
    number = 0
    for node in nodes:
        if node.span.kind != Span.SPAN_KIND_SERVER or node.span_id not in clients:
            continue
        number += 1
        while number.to_bytes(8, "big") in used:
            number += 1
        old, node.span_id = node.span_id, number.to_bytes(8, "big")
        node.parent = old
        renamed[old] = node.span_id
    for node in nodes:
        new = renamed.get(node.parent)
        if new is not None and node.span_id != new and not _is_renamed(node, renamed):
            node.parent = new


def _is_renamed(node: Node, renamed: dict[bytes, bytes]) -> bool:
    """A second server's span of one shared id (a retry to another instance) stays the client's child too."""
    return node.span.span_id in renamed and node.span.kind == Span.SPAN_KIND_SERVER


def link(nodes: Sequence[Node]) -> list[Node]:
    """Fill `children` and say which are roots: those without a parent, and those whose parent is not there."""
    by_id: dict[bytes, Node] = {}
    for node in nodes:
        if by_id.setdefault(node.span_id, node) is not node:
            node.warnings.append("duplicate span IDs; skipping clock skew adjustment")
    roots = []
    for node in nodes:
        parent = by_id.get(node.parent) if node.parent else None
        if parent is not None and parent is not node:
            parent.children.append(node)
            continue
        if node.parent:
            node.warnings.append(
                f"parent span ID={node.parent.hex()} is not in the trace; skipping clock skew adjustment"
            )
        roots.append(node)
    return roots + _cycles(nodes, roots, by_id)


def _cycles(nodes: Sequence[Node], roots: Sequence[Node], by_id: dict[bytes, Node]) -> list[Node]:
    """Of spans that are their own ancestors, one of each circle is taken for a root, so that all are reached."""
    reached: set[int] = set()
    _walk(roots, reached)
    extra = []
    for node in nodes:
        if id(node) not in reached:
            node.warnings.append("this span is its own ancestor; it is shown as a root")
            by_id[node.parent].children.remove(node)
            extra.append(node)
            _walk([node], reached)
    return extra


def _walk(roots: Sequence[Node], reached: set[int]) -> None:
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        if id(node) not in reached:
            reached.add(id(node))
            waiting += node.children


def correct_clocks(roots: Sequence[Node], max_skew_ns: int) -> None:
    """Move a span of another host that does not fit into its parent, and its descendants on that host with it."""
    waiting: list[tuple[Node, Node | None, int, str]] = [(root, None, 0, host_of(root)) for root in roots]
    while waiting:
        node, parent, shift, host = waiting.pop()
        here = host_of(node)
        if parent is not None and (here != host or not here):
            shift = _skew(node, parent)
        if shift:
            _shift(node, shift, max_skew_ns)
        waiting += [(child, node, shift, here) for child in node.children]


def host_of(node: Node) -> str:
    """What names the host among the resource's attributes; empty where nothing does."""
    attributes = {kv.key: kv.value for kv in node.stored.resource.resource.attributes}
    for key in _HOST_KEYS:
        if key in attributes:
            value = attributes[key]
            return text_of(value.array_value.values[0]) if value.array_value.values else text_of(value)
    return ""


def _skew(child: Node, parent: Node) -> int:
    lasts, parent_lasts = child.end_ns - child.start_ns, parent.end_ns - parent.start_ns
    if lasts > parent_lasts:
        # Asynchronous, or the parent gave up: all that is sure is that the child did not begin before it.
        return max(0, parent.start_ns - child.start_ns)
    if child.start_ns >= parent.start_ns and child.end_ns <= parent.end_ns:
        return 0
    # The way there is taken to be as long as the way back.
    return parent.start_ns + (parent_lasts - lasts) // 2 - child.start_ns


def _shift(node: Node, shift_ns: int, max_skew_ns: int) -> None:
    text = write_duration(round(shift_ns / 1000))
    if not max_skew_ns:
        node.warnings.append(f"clock skew adjustment disabled; not applying calculated delta of {text}")
    elif abs(shift_ns) > max_skew_ns:
        most = write_duration(max_skew_ns // 1000)
        node.warnings.append(
            f"max clock skew adjustment delta of {most} exceeded; not applying calculated delta of {text}"
        )
    else:
        node.start_ns += shift_ns
        node.end_ns += shift_ns
        node.shift_ns = shift_ns
        node.warnings.append(f"This span's timestamps were adjusted by {text}")
