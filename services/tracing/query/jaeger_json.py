"""Traces in the JSON of Jaeger's UI (Jaeger: internal/uimodel; the mapping is OpenTelemetry's, "OTLP to Jaeger").

Times and durations in µs. Pure code.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from services.tracing.decode.tags import derived_tags, plain
from services.tracing.query.adjust import Node

_TYPES = {"string_value": "string", "bool_value": "bool", "int_value": "int64", "double_value": "float64"}
_SAFE_INTEGER = 1 << 53  # what JavaScript's numbers hold exactly; larger ones go as strings, as Jaeger does


def write_trace_id(trace: bytes) -> str:
    """32 hex digits, or 16 where the upper half is zero, as Jaeger writes both."""
    return trace[8:].hex() if trace.startswith(bytes(8)) else trace.hex()


def response(data: Any, errors: Sequence[dict[str, Any]] | None = None, total: int = 0) -> dict[str, Any]:
    """The frame of every answer."""
    return {"data": data, "total": total, "limit": 0, "offset": 0, "errors": list(errors) if errors else None}


def error_response(code: int, message: str) -> dict[str, Any]:
    """Jaeger's answer to what went wrong."""
    return response(None, [{"code": code, "msg": message}])


def trace_json(nodes: Iterable[Node]) -> dict[str, Any]:
    """One trace. Its spans by start; a process for each resource."""
    processes: dict[str, dict[str, Any]] = {}
    known: dict[int, str] = {}
    by_content: dict[str, str] = {}
    spans = []
    trace_id = ""
    for node in nodes:
        stored = node.stored
        process = known.get(stored.resource_id)
        if process is None:
            # Resources that differ in their scope alone are one process.
            made = {"serviceName": stored.service, "tags": _process_tags(stored.resource)}
            content = json.dumps(made, sort_keys=True)
            process = by_content.setdefault(content, f"p{len(by_content) + 1}")
            known[stored.resource_id] = process
            processes[process] = made
        trace_id = trace_id or write_trace_id(stored.span.trace_id)
        spans.append(span_json(node, trace_id, process))
    return {"traceID": trace_id, "spans": spans, "processes": processes, "warnings": None}


def span_json(node: Node, trace_id: str, process: str) -> dict[str, Any]:
    """One span."""
    span = node.span
    references = []
    if node.parent:
        references.append({"refType": "CHILD_OF", "traceID": trace_id, "spanID": node.parent.hex()})
    for linked in span.links:
        other = write_trace_id(linked.trace_id.rjust(16, b"\0"))
        references.append({"refType": "FOLLOWS_FROM", "traceID": other, "spanID": linked.span_id.hex()})
    start = node.start_ns // 1000
    return {
        "traceID": trace_id,
        "spanID": node.span_id.hex(),
        "operationName": span.name,
        "references": references,
        "startTime": start,
        "duration": (node.end_ns - node.start_ns) // 1000,
        "tags": _span_tags(node),
        "logs": [
            {
                "timestamp": max(0, event.time_unix_nano + node.shift_ns) // 1000,
                "fields": ([_string("event", event.name)] if event.name else [])
                + [tag_json(kv) for kv in event.attributes],
            }
            for event in span.events
        ],
        "processID": process,
        "warnings": node.warnings or None,
    }


def tag_json(kv: KeyValue) -> dict[str, Any]:
    """One tag with its type: string, bool, int64, float64, binary; lists and maps as strings of JSON."""
    return {"key": kv.key, **_typed(kv.value)}


def _typed(value: AnyValue) -> dict[str, Any]:
    kind = value.WhichOneof("value")
    name = _TYPES.get(kind or "")
    if name is not None and kind is not None:
        found = getattr(value, kind)
        if name == "int64" and not -_SAFE_INTEGER < found < _SAFE_INTEGER:
            found = str(found)
        elif name == "float64" and not -1e308 < found < 1e308:
            found = str(found)  # JSON has no NaN and no infinity
        return {"type": name, "value": found}
    if kind == "bytes_value":
        return {"type": "binary", "value": plain(value)}
    return {"type": "string", "value": "" if kind is None else json.dumps(_finite(plain(value)), separators=(",", ":"))}


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not -1e308 < value < 1e308:
        return str(value)
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return {k: _finite(v) for k, v in value.items()} if isinstance(value, dict) else value


def _span_tags(node: Node) -> list[dict[str, Any]]:
    span = node.span
    tags = []
    scopes = node.stored.resource.scope_spans
    if scopes:
        scope = scopes[0].scope
        tags += [_string("otel.scope.name", scope.name)] if scope.name else []
        tags += [_string("otel.scope.version", scope.version)] if scope.version else []
    tags += [tag_json(kv) for kv in span.attributes]
    named = {kv.key for kv in span.attributes}
    for key, text in derived_tags(span):
        if key == "error":
            if "error" not in named:
                tags.append({"key": "error", "type": "bool", "value": True})
        else:
            tags.append(_string(key, text))
    if span.status.message:
        tags.append(_string("otel.status_description", span.status.message))
    if span.trace_state:
        tags.append(_string("w3c.tracestate", span.trace_state))
    return tags


def _process_tags(resource: ResourceSpans) -> list[dict[str, Any]]:
    return [tag_json(kv) for kv in resource.resource.attributes if kv.key != "service.name"]


def _string(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "type": "string", "value": value}
