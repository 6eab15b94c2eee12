"""Spans as OTLP's ExportTraceServiceRequest. Imported only where a tracer wants it: the protos take a while to load."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from sidecar.telemetry.span import FinishedSpan

CONTENT_TYPE = b"application/x-protobuf"
#: OpenTelemetry's http.request.method: another method is called so.
_METHODS = frozenset(("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"))

#: The gRPC statuses by which a server's span has failed (OpenTelemetry's semantic conventions).
_GRPC_ERRORS = frozenset(("2", "4", "12", "13", "14", "15"))


def encode_otlp(spans: Iterable[FinishedSpan], resource: dict[str, str]) -> bytes:
    """The body of POST /v1/traces and the message of TraceService/Export; `resource` are its attributes."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    for name, value in resource.items():
        group.resource.attributes.add(key=name).value.string_value = value
    made = group.scope_spans.add().spans
    for one in spans:
        _fill(made.add(), one)
    return request.SerializeToString()


def _fill(span: Any, one: FinishedSpan) -> None:
    context = one.context
    span.trace_id = bytes.fromhex(context.trace_id.decode())
    span.span_id = bytes.fromhex(context.span_id.decode())
    if context.parent_id is not None:
        span.parent_span_id = bytes.fromhex(context.parent_id.decode())
    if context.state:
        span.trace_state = str(context.state, "utf-8", "replace")
    span.name = one.name
    span.kind = Span.SPAN_KIND_CLIENT if one.client else Span.SPAN_KIND_SERVER
    span.start_time_unix_nano = one.start_ns
    span.end_time_unix_nano = one.start_ns + one.duration_ns
    tags = one.tags
    if "http.method" in tags and tags["http.method"] not in _METHODS:
        tags["http.method"] = "_OTHER"
    add = span.attributes.add
    for name, value in tags.items():
        add(key=name).value.string_value = value
    if _failed(tags, one.client):
        span.status.code = Status.STATUS_CODE_ERROR


def _failed(tags: dict[str, str], client: bool) -> bool:
    """OpenTelemetry: a client's span failed by any error, a server's by its own."""
    status = tags.get("http.status_code", "")
    grpc_status = tags.get("grpc.status_code", "0")
    if status.isdigit() and int(status) >= (400 if client else 500):
        return True
    return grpc_status != "0" if client else grpc_status in _GRPC_ERRORS
