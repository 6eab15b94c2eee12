"""OTLP's ExportTraceServiceRequest to rows (opentelemetry-proto, collector/trace/v1)."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span
from xxhash import xxh3_64_intdigest

from lugsail.request_id import as_sent
from services.tracing.decode.batch import BadSpans, Batch, Group, Row
from services.tracing.decode.tags import (
    REQUEST_ID_TAG,
    attribute_tags,
    derived_tags,
    tag_bits,
    tags_bits,
    text_of,
)

#: Jaeger's name for the service of a resource that names none.
NO_SERVICE = "OTLPResourceNoServiceName"
NAME_LIMIT = 1024  # characters of a service's or an operation's name in the index; the span keeps all of it

_NO_ID = bytes(16)


def decode_otlp(body: bytes) -> Batch:
    """Raises BadSpans where the bytes are no ExportTraceServiceRequest."""
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise BadSpans("the body is not an opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest") from error
    return batch_of(request.resource_spans, len(body))


def batch_of(resource_spans: Iterable[ResourceSpans], size_bytes: int) -> Batch:
    """Rows of all spans; those without valid ids are rejected, each by itself."""
    batch = Batch(size_bytes=size_bytes)
    for of_resource in resource_spans:
        service = service_of(of_resource.resource.attributes)
        resource_bits = tags_bits(attribute_tags(of_resource.resource.attributes))
        for of_scope in of_resource.scope_spans:
            if not of_scope.spans:
                continue
            rows = _rows(of_scope.spans, resource_bits, batch)
            if rows:
                head = ResourceSpans(resource=of_resource.resource, schema_url=of_resource.schema_url)
                head.scope_spans.add(scope=of_scope.scope, schema_url=of_scope.schema_url)
                batch.groups.append(Group(head.SerializeToString(deterministic=True), service, rows))
                batch.spans += len(rows)
    return batch


def service_of(attributes: Iterable[KeyValue]) -> str:
    """`service.name` of a resource."""
    for kv in attributes:
        if kv.key == "service.name":
            return text_of(kv.value)[:NAME_LIMIT] or NO_SERVICE
    return NO_SERVICE


def request_hash(request_id: str) -> int:
    """A request id, in any of its forms, as the store's index has it: 64 bits, signed."""
    return signed(xxh3_64_intdigest(as_sent(request_id).encode("utf-8", "surrogatepass")))


def signed(value: int) -> int:
    """An unsigned 64-bit integer as SQLite keeps it."""
    return value - (1 << 64) if value >= 1 << 63 else value


def id_fault(span: Span) -> str:
    """What is wrong with a span's ids; empty where nothing is."""
    if len(span.trace_id) != 16 or span.trace_id == _NO_ID:
        return f"trace_id must be 16 bytes, not all zero; got {bytes(span.trace_id[:32]).hex() or 'none'}"
    if len(span.span_id) != 8 or span.span_id == _NO_ID[:8]:
        return f"span_id must be 8 bytes, not all zero; got {bytes(span.span_id[:32]).hex() or 'none'}"
    if len(span.parent_span_id) not in (0, 8):
        return f"parent_span_id must be 8 bytes or absent; got {bytes(span.parent_span_id[:32]).hex()}"
    return ""


def _rows(spans: Iterable[Span], resource_bits: tuple[int, int], batch: Batch) -> list[Row]:
    rows = []
    from_bytes = int.from_bytes
    for span in spans:
        trace, ident, parent = span.trace_id, span.span_id, span.parent_span_id
        if len(trace) != 16 or len(ident) != 8 or trace == _NO_ID or len(parent) not in (0, 8) or not any(ident):
            batch.reject(f"span {span.name[:80]!r}: {id_fault(span)}")
            continue
        a, b = resource_bits
        request = None
        # The loop that costs: a read of a proto's field makes an object, so each is read once.
        for kv in span.attributes:
            key = kv.key
            value = kv.value
            text = value.string_value or text_of(value)
            x, y = tag_bits(key, text)
            a |= x
            b |= y
            if key == REQUEST_ID_TAG:
                request = request_hash(text)
        for key, text in derived_tags(span):
            x, y = tag_bits(key, text)
            a |= x
            b |= y
        for event in span.events:
            for key, text in attribute_tags(event.attributes):
                x, y = tag_bits(key, text)
                a |= x
                b |= y
        start, end = span.start_time_unix_nano, span.end_time_unix_nano
        rows.append(
            Row(
                trace,
                from_bytes(ident, "big", signed=True),
                from_bytes(parent, "big", signed=True),
                span.kind,
                start // 1000,
                (end - start) // 1000 if end > start else 0,
                span.name[:NAME_LIMIT],
                a,
                b,
                request,
                span.SerializeToString(),
            )
        )
    return rows
