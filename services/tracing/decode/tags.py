"""Tag values as Jaeger writes them, and the signature of a span's tags that a search can test without reading the span.

A signature is a Bloom filter of 2 × 63 bits, one bit of each half for a tag `key=value`. A span of 25 tags passes the
test for a tag that it does not have in about one of ten cases; who searches reads those spans and looks (`matches`).
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Any
from zlib import crc32

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from lugsail.request_id import as_sent

REQUEST_ID_TAG = "guid:x-request-id"  # Envoy's and Istio's name for the x-request-id header
KIND_NAMES = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}
STATUS_NAMES = {Status.STATUS_CODE_OK: "OK", Status.STATUS_CODE_ERROR: "ERROR"}

_HALF_BITS = 63  # an SQLite integer has 64, one of them the sign
_CACHE_LIMIT = 50_000
_cache: dict[tuple[str, str], tuple[int, int]] = {}


def tag_bits(key: str, value: str) -> tuple[int, int]:
    """The two bits of one tag, each as a mask. The same in every process: they are stored."""
    known = _cache.get((key, value))
    if known is not None:
        return known
    digest = crc32(value.encode("utf-8", "surrogatepass"), crc32(key.encode("utf-8", "surrogatepass") + b"="))
    bits = 1 << (digest % _HALF_BITS), 1 << ((digest >> 12) % _HALF_BITS)
    if len(_cache) >= _CACHE_LIMIT:
        _cache.clear()
    _cache[key, value] = bits
    return bits


def tags_bits(tags: Iterable[tuple[str, str]]) -> tuple[int, int]:
    """The signature of several tags."""
    a = b = 0
    for key, value in tags:
        x, y = tag_bits(key, value)
        a |= x
        b |= y
    return a, b


def text_of(value: AnyValue) -> str:
    """A value as a search compares it: Jaeger's `KeyValue.AsString`."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return str(value.string_value)
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    if kind == "int_value":
        return str(value.int_value)
    if kind == "double_value":
        return f"{value.double_value:.10g}"
    if kind == "bytes_value":
        return bytes(value.bytes_value).hex()
    return "" if kind is None else json.dumps(plain(value), separators=(",", ":"))


def plain(value: AnyValue) -> Any:
    """A value as JSON has it; bytes in base64."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(v) for v in value.array_value.values]
    if kind == "kvlist_value":
        return {kv.key: plain(kv.value) for kv in value.kvlist_value.values}
    if kind == "bytes_value":
        return b64encode(value.bytes_value).decode()
    return None if kind is None else getattr(value, kind)


def attribute_tags(attributes: Iterable[KeyValue]) -> Iterator[tuple[str, str]]:
    """Key and text of each."""
    for kv in attributes:
        value = kv.value
        yield kv.key, value.string_value or text_of(value)


def derived_tags(span: Span) -> Iterator[tuple[str, str]]:
    """The tags that Jaeger makes from fields of an OTLP span."""
    kind = KIND_NAMES.get(span.kind)
    if kind is not None:
        yield "span.kind", kind
    status = STATUS_NAMES.get(span.status.code)
    if status is not None:
        yield "otel.status_code", status
        if status == "ERROR":
            yield "error", "true"


def span_tags(span: Span) -> Iterator[tuple[str, str]]:
    """Every tag by which a span is found, its events' fields too; those of its resource are not among them."""
    yield from derived_tags(span)
    yield from attribute_tags(span.attributes)
    for event in span.events:
        yield from attribute_tags(event.attributes)


def matches(wanted: dict[str, str], span: Span, resource: Iterable[KeyValue]) -> bool:
    """That the span, its events or its resource have every wanted tag; a request id may have another form there."""
    missing, own = set(wanted.items()), span_tags(span)
    if REQUEST_ID_TAG in wanted:
        missing, own = set(map(_comparable, missing)), map(_comparable, own)
    missing.difference_update(own)
    if missing:
        missing.difference_update(attribute_tags(resource))
    return not missing


def _comparable(tag: tuple[str, str]) -> tuple[str, str]:
    key, text = tag
    return (key, as_sent(text)) if key == REQUEST_ID_TAG else tag
