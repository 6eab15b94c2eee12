"""Traces as OTLP's JSON: what Jaeger's API v3 answers with. Pure code."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from services.tracing.query.adjust import Node


def resource_spans_json(traces: Iterable[Iterable[Node]]) -> list[dict[str, Any]]:
    """The spans of all traces, grouped by resource and scope within each."""
    answer = []
    for nodes in traces:
        groups: dict[int, tuple[ResourceSpans, list[dict[str, Any]]]] = {}
        for node in nodes:
            group = groups.setdefault(node.stored.resource_id, (node.stored.resource, []))
            group[1].append(_span_json(node))
        for head, spans in groups.values():
            made = _dict(head)
            made.setdefault("resource", {})
            scopes = made.get("scopeSpans") or [{}]
            scopes[0].setdefault("scope", {})
            scopes[0]["spans"] = spans
            made["scopeSpans"] = scopes[:1]
            answer.append(made)
    return answer


def _span_json(node: Node) -> dict[str, Any]:
    span = Span()
    span.CopyFrom(node.span)
    span.start_time_unix_nano = max(0, node.start_ns)
    span.end_time_unix_nano = max(0, node.end_ns)
    if node.warnings:
        # Jaeger's key for what its adjusters say, where the format has no field for it.
        made = span.attributes.add(key="@jaeger@warnings").value.array_value
        for warning in node.warnings:
            made.values.add(string_value=warning)
    found = _dict(span)
    found |= {"traceId": span.trace_id.hex(), "spanId": node.span_id.hex()}
    found.pop("parentSpanId", None)
    if node.parent:
        found["parentSpanId"] = node.parent.hex()
    for link, source in zip(found.get("links", ()), span.links, strict=True):
        link |= {"traceId": source.trace_id.hex(), "spanId": source.span_id.hex()}
    found.setdefault("status", {})
    return found


def _dict(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = MessageToDict(message, use_integers_for_enums=True)
    return found
