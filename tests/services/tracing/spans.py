"""Spans for tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from services.tracing.store.reader import StoredSpan

START_US = 1_700_000_000_000_000
SERVER, CLIENT = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT


def trace_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def span_id(number: int) -> bytes:
    return number.to_bytes(8, "big")


def span(trace: int = 1, ident: int = 1, parent: int = 0, **fields: Any) -> Span:
    """Times as `at` and `lasts`, in µs after START_US; `tags` as strings."""
    at, lasts = fields.pop("at", 0), fields.pop("lasts", 1000)
    tags: Mapping[str, str] = fields.pop("tags", {})
    made = Span(
        trace_id=trace_id(trace),
        span_id=span_id(ident),
        name=fields.pop("name", "op"),
        kind=fields.pop("kind", SERVER),
        start_time_unix_nano=(START_US + at) * 1000,
        end_time_unix_nano=(START_US + at + lasts) * 1000,
        **fields,
    )
    if parent:
        made.parent_span_id = span_id(parent)
    for key, value in tags.items():
        made.attributes.add(key=key).value.string_value = value
    return made


def resource(service: str, **attributes: str) -> ResourceSpans:
    made = ResourceSpans()
    for key, value in {"service.name": service, **attributes}.items():
        made.resource.attributes.add(key=key.replace("__", ".")).value.string_value = value
    made.scope_spans.add()
    return made


def request(spans: Iterable[Span], service: str = "shop", **attributes: str) -> bytes:
    made = ExportTraceServiceRequest()
    head = resource(service, **attributes)
    head.scope_spans[0].spans.extend(spans)
    made.resource_spans.append(head)
    return made.SerializeToString()


def stored(made: Span, service: str = "shop", host: str = "") -> StoredSpan:
    head = resource(service, **({"host__name": host} if host else {}))
    return StoredSpan(made, head, hash((service, host)), service)
