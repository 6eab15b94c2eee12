"""The page for Prometheus: what was counted from records, and on request every proxy's own page with it."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping

from services.metrics.directory import Target
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
)
from services.metrics.labels import BUCKETS, Labels
from services.metrics.page import escape, families

_COUNTERS = {
    "http": (("istio_requests_total", REQUESTS),),
    "tcp": (
        ("istio_tcp_connections_opened_total", OPENED),
        ("istio_tcp_connections_closed_total", CLOSED),
        ("istio_tcp_sent_bytes_total", SENT),
        ("istio_tcp_received_bytes_total", RECEIVED),
    ),
}
_MESSAGES = ("istio_request_messages_total", "istio_response_messages_total")
_BOUNDS = tuple(str(int(bound)) if bound == int(bound) else str(bound) for bound in BUCKETS)

Families = dict[str, tuple[str, list[str]]]


def render(flows: Iterable[Flow], targets: Iterable[Target], pages: Mapping[Target, bytes]) -> str:
    """Series of one family stand together. `pages`: compressed, of those proxies that are to be in it too."""
    out: Families = {}
    labels_of = {target.instance: target.labels for target in targets}
    for flow in flows:
        if flow.total is not None:
            _flow(out, flow, labels_of.get(flow.label["instance"], (("proxy", "envoy"),)))
    for target, page in pages.items():
        more = (*target.labels, ("instance", target.instance))
        for family, kind, line in families(zlib.decompress(page).decode("utf-8", "replace"), more):
            out.setdefault(family, (kind, []))[1].append(line)
    lines: list[str] = []
    for family, (kind, samples) in sorted(out.items()):
        lines.append(f"# TYPE {family} {kind}")
        lines += samples
    return "\n".join(lines) + "\n" if lines else ""


def _flow(out: Families, flow: Flow, more: Labels) -> None:
    assert flow.total is not None
    text = ",".join(f'{name}="{escape(value)}"' for name, value in (*flow.labels, *more))
    counts = [(name, int(flow.total[place])) for name, place in _COUNTERS[flow.kind]]
    if flow.messages is not None:
        counts += zip(_MESSAGES, flow.messages, strict=True)
    for name, count in counts:
        out.setdefault(name, ("counter", []))[1].append(f"{name}{{{text}}} {count}")
    if flow.kind == "http":
        buckets = [int(count) for count in flow.total[FIRST_BUCKET:]]
        _histogram(out, "istio_request_duration_milliseconds", text, buckets, flow.total[DURATION_MS])
        _histogram(out, "istio_request_bytes", text, flow.request_sizes, flow.total[REQUEST_BYTES])
        _histogram(out, "istio_response_bytes", text, flow.response_sizes, flow.total[RESPONSE_BYTES])


def _histogram(out: Families, name: str, text: str, counts: Iterable[int], total: float) -> None:
    lines = out.setdefault(name, ("histogram", []))[1]
    seen = 0
    for bound, count in zip((*_BOUNDS, "+Inf"), counts, strict=True):
        seen += count
        lines.append(f'{name}_bucket{{{text},le="{bound}"}} {seen}')
    lines.append(f"{name}_sum{{{text}}} {round(total, 6):g}" if total < 1e5 else f"{name}_sum{{{text}}} {total!r}")
    lines.append(f"{name}_count{{{text}}} {seen}")
