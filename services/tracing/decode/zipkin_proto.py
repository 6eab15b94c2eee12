"""Zipkin's protobuf (openzipkin/zipkin-api: zipkin.proto, package zipkin.proto3) as its JSON, for `decode.zipkin`."""

from __future__ import annotations

import ipaddress
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from services.tracing.decode.batch import BadSpans, Batch
from services.tracing.decode.zipkin import batch_of_zipkin

_KINDS = {1: "CLIENT", 2: "SERVER", 3: "PRODUCER", 4: "CONSUMER"}
_T = descriptor_pb2.FieldDescriptorProto
# message → (field, number, type, message type or none, repeated). Kind is read as a number: open enums are numbers.
_MESSAGES: dict[str, tuple[tuple[str, int, int, str, bool], ...]] = {
    "Endpoint": (
        ("service_name", 1, _T.TYPE_STRING, "", False),
        ("ipv4", 2, _T.TYPE_BYTES, "", False),
        ("ipv6", 3, _T.TYPE_BYTES, "", False),
        ("port", 4, _T.TYPE_INT32, "", False),
    ),
    "Annotation": (("timestamp", 1, _T.TYPE_FIXED64, "", False), ("value", 2, _T.TYPE_STRING, "", False)),
    "Tag": (("key", 1, _T.TYPE_STRING, "", False), ("value", 2, _T.TYPE_STRING, "", False)),  # of a map, on the wire
    "Span": (
        ("trace_id", 1, _T.TYPE_BYTES, "", False),
        ("parent_id", 2, _T.TYPE_BYTES, "", False),
        ("id", 3, _T.TYPE_BYTES, "", False),
        ("kind", 4, _T.TYPE_INT32, "", False),
        ("name", 5, _T.TYPE_STRING, "", False),
        ("timestamp", 6, _T.TYPE_FIXED64, "", False),
        ("duration", 7, _T.TYPE_UINT64, "", False),
        ("local_endpoint", 8, _T.TYPE_MESSAGE, "Endpoint", False),
        ("remote_endpoint", 9, _T.TYPE_MESSAGE, "Endpoint", False),
        ("annotations", 10, _T.TYPE_MESSAGE, "Annotation", True),
        ("tags", 11, _T.TYPE_MESSAGE, "Tag", True),
    ),
    "ListOfSpans": (("spans", 1, _T.TYPE_MESSAGE, "Span", True),),
}


def _list_of_spans() -> Any:
    package = "lugsail.zipkin"
    file = descriptor_pb2.FileDescriptorProto(name="lugsail/zipkin.proto", package=package, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, of, repeated in fields:
            label = _T.LABEL_REPEATED if repeated else _T.LABEL_OPTIONAL
            made = message.field.add(name=field, number=number, type=_T.Type.ValueType(kind), label=label)
            if of:
                made.type_name = f".{package}.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.ListOfSpans"))


ListOfSpans = _list_of_spans()


def decode_zipkin_proto(body: bytes) -> Batch:
    """Raises BadSpans where the body is no ListOfSpans, or a span is not valid."""
    try:
        found = ListOfSpans.FromString(body)
    except DecodeError as error:
        raise BadSpans("the body is not a zipkin.proto3.ListOfSpans") from error
    return batch_of_zipkin([_json_of(span) for span in found.spans], len(body))


def _json_of(span: Any) -> dict[str, Any]:
    return {
        "traceId": span.trace_id.hex(),
        "parentId": span.parent_id.hex() or None,
        "id": span.id.hex(),
        "kind": _KINDS.get(span.kind),
        "name": span.name,
        "timestamp": span.timestamp,
        "duration": span.duration,
        "localEndpoint": _endpoint(span.local_endpoint),
        "remoteEndpoint": _endpoint(span.remote_endpoint),
        "annotations": [{"timestamp": a.timestamp, "value": a.value} for a in span.annotations],
        "tags": {tag.key: tag.value for tag in span.tags},
    }


def _endpoint(endpoint: Any) -> dict[str, Any]:
    return {
        "serviceName": endpoint.service_name,
        "ipv4": _address(endpoint.ipv4, 4),
        "ipv6": _address(endpoint.ipv6, 16),
        "port": endpoint.port,
    }


def _address(packed: bytes, size: int) -> str:
    if packed and len(packed) != size:
        return f"{len(packed)} bytes"  # refused by who reads it, with its path
    return str(ipaddress.ip_address(packed)) if packed else ""
