"""Zipkin v2 spans to rows (openzipkin/zipkin-api: zipkin2-api.yaml; the mapping is OpenTelemetry's, "Zipkin").

A span that a client and a server share (B3: one id, `shared` on the server's side) stays two spans of one id here;
whoever reads a trace tells them apart by kind.
"""

from __future__ import annotations

import ipaddress
import string
from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status

from services.tracing.decode.batch import BadSpans, Batch
from services.tracing.decode.otlp import NO_SERVICE, batch_of
from services.tracing.decode.otlp_json import load_json

_KINDS = {
    None: Span.SPAN_KIND_UNSPECIFIED,
    "": Span.SPAN_KIND_UNSPECIFIED,
    "CLIENT": Span.SPAN_KIND_CLIENT,
    "SERVER": Span.SPAN_KIND_SERVER,
    "PRODUCER": Span.SPAN_KIND_PRODUCER,
    "CONSUMER": Span.SPAN_KIND_CONSUMER,
}
_HEX = frozenset(string.hexdigits)
_MAX_US = (1 << 63) // 1000


def decode_zipkin_json(body: bytes) -> Batch:
    """A list of spans. Raises BadSpans: Zipkin takes all of a list or nothing."""
    document = load_json(body)
    if not isinstance(document, list):
        raise BadSpans('the body must be a list of Zipkin v2 spans: [{"traceId": …, "id": …}, …]')
    return batch_of_zipkin(document, len(body))


def batch_of_zipkin(spans: Iterable[Any], size_bytes: int) -> Batch:
    """From spans as their JSON has them. Raises BadSpans."""
    by_service: dict[str, ResourceSpans] = {}
    for i, item in enumerate(spans):
        where = f"[{i}]"
        if not isinstance(item, dict):
            raise BadSpans(f"{where} must be an object, not {type(item).__name__}")
        service = _text(_endpoint(item, "localEndpoint", where), "serviceName", f"{where}.localEndpoint") or NO_SERVICE
        group = by_service.get(service)
        if group is None:
            group = by_service[service] = ResourceSpans()
            _put(group.resource.attributes, "service.name", service)
            group.scope_spans.add()
        _fill(group.scope_spans[0].spans.add(), item, where)
    return batch_of(by_service.values(), size_bytes)


def _fill(span: Span, item: Mapping[str, Any], where: str) -> None:
    span.trace_id = _identifier(item, "traceId", where, 16, required=True)
    span.span_id = _identifier(item, "id", where, 8, required=True)
    parent = _identifier(item, "parentId", where, 8, required=False)
    if parent != span.span_id and any(parent):
        span.parent_span_id = parent
    span.name = _text(item, "name", where)
    kind = item.get("kind")
    if not isinstance(kind, str | None) or kind not in _KINDS:
        raise BadSpans(f"{where}.kind must be CLIENT, SERVER, PRODUCER or CONSUMER, not {str(kind)[:80]!r}")
    span.kind = _KINDS[kind]
    start = _microseconds(item, "timestamp", where)
    span.start_time_unix_nano = start * 1000
    span.end_time_unix_nano = (start + _microseconds(item, "duration", where)) * 1000
    _tags(span, item, where)
    _endpoints(span, item, where)
    annotations = item.get("annotations") or []
    if not isinstance(annotations, list):
        raise BadSpans(f"{where}.annotations must be a list, not {type(annotations).__name__}")
    for n, annotation in enumerate(annotations):
        at = f"{where}.annotations[{n}]"
        if not isinstance(annotation, dict):
            raise BadSpans(f"{at} must be an object, not {type(annotation).__name__}")
        event = span.events.add(name=_text(annotation, "value", at))
        event.time_unix_nano = _microseconds(annotation, "timestamp", at) * 1000


def _tags(span: Span, item: Mapping[str, Any], where: str) -> None:
    tags = item.get("tags") or {}
    if not isinstance(tags, dict):
        raise BadSpans(f"{where}.tags must be an object, not {type(tags).__name__}")
    for key, value in tags.items():
        if not isinstance(value, str):
            raise BadSpans(f"{where}.tags[{key[:80]!r}] must be a string, not {type(value).__name__}")
        # Zipkin's rule: the key `error` alone says that the span failed; its value may say why.
        if key == "error":
            span.status.code = Status.STATUS_CODE_ERROR
            if value not in ("", "true", "false"):
                span.status.message = _sound(value)
        else:
            _put(span.attributes, key, value)


def _endpoints(span: Span, item: Mapping[str, Any], where: str) -> None:
    local, remote = (_endpoint(item, name, where) for name in ("localEndpoint", "remoteEndpoint"))
    for endpoint, prefix, side in ((local, "net.host", "localEndpoint"), (remote, "net.peer", "remoteEndpoint")):
        address = _address(endpoint, f"{where}.{side}")
        if address:
            _put(span.attributes, f"{prefix}.ip", address)
        port = endpoint.get("port")
        if port:
            if type(port) is not int or not 0 < port < 65536:
                raise BadSpans(f"{where}.{side}.port must be a number up to 65535, not {str(port)[:80]!r}")
            span.attributes.add(key=f"{prefix}.port").value.int_value = port
    peer = _text(remote, "serviceName", f"{where}.remoteEndpoint")
    if peer:
        _put(span.attributes, "peer.service", peer)


def _address(endpoint: Mapping[str, Any], where: str) -> str:
    for name in ("ipv4", "ipv6"):
        value = endpoint.get(name)
        if not value:
            continue
        try:
            return str(ipaddress.ip_address(value if isinstance(value, str) else ""))
        except ValueError as error:
            raise BadSpans(f"{where}.{name} must be an address, not {str(value)[:80]!r}") from error
    return ""


def _endpoint(item: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    value = item.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadSpans(f"{where}.{name} must be an object, not {type(value).__name__}")
    return value


def _identifier(item: Mapping[str, Any], name: str, where: str, size: int, required: bool) -> bytes:
    value = item.get(name)
    if value is None and not required:
        return b""
    digits = 2 * size
    if not isinstance(value, str) or not 0 < len(value) <= digits or not _HEX.issuperset(value):
        raise BadSpans(f"{where}.{name} must be 1 to {digits} hex digits, not {str(value)[:80]!r}")
    found = bytes.fromhex(value.zfill(digits))
    if required and not any(found):
        raise BadSpans(f"{where}.{name} must not be zero")
    return found


def _microseconds(item: Mapping[str, Any], name: str, where: str) -> int:
    value = item.get(name) or 0
    # Some tracers write 1.5e15: JSON knows one kind of number.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX_US:
        raise BadSpans(f"{where}.{name} must be a number of µs, not {str(value)[:80]!r}")
    return int(value)


def _text(item: Mapping[str, Any], name: str, where: str) -> str:
    value = item.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadSpans(f"{where}.{name} must be a string, not {type(value).__name__}")
    return _sound(value)


def _put(attributes: Any, key: str, value: str) -> None:
    made: KeyValue = attributes.add(key=_sound(key))
    made.value.string_value = _sound(value)


def _sound(text: str) -> str:
    """JSON can spell lone surrogates, protobuf's strings cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")
