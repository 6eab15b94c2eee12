"""OTLP/JSON to rows (OTLP specification, "JSON Protobuf Encoding").

It is protobuf's JSON mapping but for ids, which are hex and not base64, and enums, which are numbers.
"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from services.tracing.decode.batch import BadSpans, Batch
from services.tracing.decode.otlp import batch_of

_ID_FIELDS = {
    name: size
    for names, size in ((("traceId", "trace_id"), 16), (("spanId", "span_id", "parentSpanId", "parent_span_id"), 8))
    for name in names
}


def decode_otlp_json(body: bytes) -> Batch:
    """Raises BadSpans where the body is no ExportTraceServiceRequest in JSON."""
    document = load_json(body)
    if not isinstance(document, dict):
        raise BadSpans('the body must be an object: {"resourceSpans": [...]}')
    for span, where in _spans(document):
        _ids_to_base64(span, where)
        for i, link in enumerate(_list(span, "links", "links", where)):
            _ids_to_base64(link, f"{where}.links[{i}]")
    try:
        request = ParseDict(document, ExportTraceServiceRequest(), ignore_unknown_fields=True, max_recursion_depth=64)
    except (ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadSpans(f"the body is no ExportTraceServiceRequest: {error}") from error
    return batch_of(request.resource_spans, len(body))


def load_json(body: bytes) -> Any:
    """Raises BadSpans."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadSpans(f"the body is not JSON: {error}") from error


def _spans(document: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    found = []
    for r, of_resource in enumerate(_list(document, "resourceSpans", "resource_spans", "")):
        where = f"resourceSpans[{r}]"
        for s, of_scope in enumerate(_list(of_resource, "scopeSpans", "scope_spans", where)):
            inner = f"{where}.scopeSpans[{s}]"
            spans = _list(of_scope, "spans", "spans", inner)
            found += [(span, f"{inner}.spans[{i}]") for i, span in enumerate(spans)]
    return found


def _list(of: dict[str, Any], name: str, other: str, where: str) -> list[dict[str, Any]]:
    value = of.get(name, of.get(other)) or []
    path = f"{where}.{name}".lstrip(".")
    if not isinstance(value, list):
        raise BadSpans(f"{path} must be a list, not {type(value).__name__}")
    for i, item in enumerate(value):
        if not isinstance(item, dict):
            raise BadSpans(f"{path}[{i}] must be an object, not {type(item).__name__}")
    return value


def _ids_to_base64(of: dict[str, Any], where: str) -> None:
    for name, size in _ID_FIELDS.items():
        value = of.get(name)
        if value is None or value == "":
            continue
        try:
            raw = bytes.fromhex(value)
        except (ValueError, TypeError):
            raw = b""
        if not raw:
            raise BadSpans(f"{where}.{name} must be {2 * size} hex digits, not {str(value)[:80]!r}")
        of[name] = b64encode(raw).decode()
