"""OTLP in protobuf and JSON to rows."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from services.tracing.decode.batch import BadSpans
from services.tracing.decode.otlp import NO_SERVICE, decode_otlp, request_hash
from services.tracing.decode.otlp_json import decode_otlp_json
from services.tracing.decode.tags import matches, tag_bits, tags_bits, text_of
from tests.services.tracing.spans import START_US, request, resource, span, trace_id

OTLP_JSON: dict[str, Any] = {
    "resourceSpans": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "my.service"}}]},
            "scopeSpans": [
                {
                    "scope": {"name": "my.library", "version": "1.0.0"},
                    "spans": [
                        {
                            "traceId": "5B8EFFF798038103D269B633813FC60C",
                            "spanId": "EEE19B7EC3C1B174",
                            "parentSpanId": "EEE19B7EC3C1B173",
                            "name": "I'm a server span",
                            "startTimeUnixNano": "1544712660000000000",
                            "endTimeUnixNano": 1544712661000000000,
                            "kind": 2,
                            "attributes": [{"key": "n", "value": {"intValue": "7"}}],
                            "links": [{"traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "EEE19B7EC3C1B175"}],
                            "someFutureField": {"x": 1},
                        }
                    ],
                }
            ],
        }
    ]
}


def test_row_of_a_span() -> None:
    made = span(7, 2, 1, at=5, lasts=250, name="GET /", tags={"guid:x-request-id": "r-1", "a": "b"})
    batch = decode_otlp(request([made]))
    (group,) = batch.groups
    (row,) = group.rows
    assert (group.service, batch.spans, batch.rejected) == ("shop", 1, 0)
    assert row[:7] == (trace_id(7), 2, 1, 2, START_US + 5, 250, "GET /")
    assert row.request == request_hash("r-1")
    assert Span.FromString(row.blob) == made


def test_signature_has_every_tag_that_a_search_may_ask_for() -> None:
    made = span(tags={"a": "b"})
    made.status.code = 2
    made.events.add(name="e").attributes.add(key="in.event").value.string_value = "x"
    row = decode_otlp(request([made], pod="p1")).groups[0].rows[0]
    tags = {"a": "b", "span.kind": "server", "error": "true", "in.event": "x", "pod": "p1", "otel.status_code": "ERROR"}
    for tag in tags.items():
        a, b = tag_bits(*tag)
        assert row.bits_a & a == a, tag
        assert row.bits_b & b == b, tag
    a, b = tags_bits(tags.items())
    assert (row.bits_a & a, row.bits_b & b) == (a, b)
    assert matches(tags, made, resource("shop", pod="p1").resource.attributes)
    assert not matches({**tags, "a": "c"}, made, resource("shop", pod="p1").resource.attributes)


def test_signature_is_stored_so_it_never_changes() -> None:
    assert tag_bits("http.status_code", "200") == (1 << 45, 1 << 43)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (AnyValue(string_value="x"), "x"),
        (AnyValue(bool_value=False), "false"),
        (AnyValue(int_value=0), "0"),
        (AnyValue(double_value=1.5), "1.5"),
        (AnyValue(bytes_value=b"\x01\xff"), "01ff"),
        (AnyValue(), ""),
    ],
)
def test_text_of_values(value: AnyValue, text: str) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"trace_id": b""}, "trace_id must be 16 bytes"),
        ({"trace_id": bytes(16)}, "not all zero"),
        ({"trace_id": b"x" * 17}, "trace_id must be 16 bytes"),
        ({"span_id": b"1234567"}, "span_id must be 8 bytes"),
        ({"span_id": bytes(8)}, "span_id must be 8 bytes"),
        ({"parent_span_id": b"1"}, "parent_span_id must be 8 bytes"),
    ],
)
def test_bad_ids_are_rejected_and_the_others_stay(fields: dict[str, bytes], said: str) -> None:
    bad = span(1, 1)
    for name, value in fields.items():
        setattr(bad, name, value)
    batch = decode_otlp(request([span(1, 2), bad, span(1, 3)]))
    assert (batch.spans, batch.rejected) == (2, 1)
    assert said in batch.reason


def test_ends_before_it_starts() -> None:
    assert decode_otlp(request([span(lasts=-5)])).groups[0].rows[0].duration_us == 0


def test_without_a_service() -> None:
    assert decode_otlp(request([span()], service="")).groups[0].service == NO_SERVICE


def test_json_of_the_specification() -> None:
    row = decode_otlp_json(json.dumps(OTLP_JSON).encode()).groups[0].rows[0]
    assert row.trace.hex() == "5b8efff798038103d269b633813fc60c"
    assert row.span == int.from_bytes(bytes.fromhex("EEE19B7EC3C1B174"), "big", signed=True)
    assert (row.start_us, row.duration_us, row.kind, row.name) == (1544712660000000, 1000000, 2, "I'm a server span")
    assert Span.FromString(row.blob).links[0].span_id.hex() == "eee19b7ec3c1b175"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"[]", "must be an object"),
        (b'{"resourceSpans": 1}', "resourceSpans must be a list"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [1]}]}]}', "resourceSpans[0].scopeSpans[0].spans[0] must be"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "zz"}]}]}]}', "spans[0].traceId must be 32 hex"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": 5}]}]}]}', "no ExportTraceServiceRequest"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a":' * 50_000, "not JSON"),
    ],
)
def test_bad_json(body: bytes, said: str) -> None:
    with pytest.raises(BadSpans) as caught:
        decode_otlp_json(body)
    assert said in str(caught.value)


def test_deep_values_are_refused() -> None:
    deep = '{"arrayValue":{"values":[' * 500 + '{"stringValue":"x"}' + "]}}" * 500
    text = json.dumps(OTLP_JSON).replace('{"intValue": "7"}', deep)
    assert deep in text
    with pytest.raises(BadSpans):
        decode_otlp_json(text.encode())


@given(st.binary(max_size=400))
def test_any_bytes_as_protobuf(body: bytes) -> None:
    try:
        batch = decode_otlp(body)
    except BadSpans:
        return
    assert batch.spans == sum(len(group.rows) for group in batch.groups)


@given(st.data())
def test_damaged_protobuf(data: st.DataObject) -> None:
    good = bytearray(request([span(1, n, tags={"k": "v", "guid:x-request-id": "x"}) for n in range(1, 4)]))
    for _ in range(data.draw(st.integers(1, 5))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        batch = decode_otlp(bytes(good))
    except BadSpans:
        return
    for group in batch.groups:
        for row in group.rows:
            assert len(row.trace) == 16
            assert all(-(1 << 63) <= n < 1 << 63 for n in (row.span, row.parent, row.start_us, row.duration_us))
            assert 0 <= row.bits_a < 1 << 63
            assert 0 <= row.bits_b < 1 << 63


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["resourceSpans", "scopeSpans", "spans", "traceId", "spanId", "name", "kind", "attributes", "value"]
            )
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json(document: Any) -> None:
    try:
        decode_otlp_json(json.dumps(document).encode())
    except BadSpans as error:
        assert str(error)


@given(field=st.sampled_from(["traceId", "spanId", "name", "kind", "startTimeUnixNano", "attributes"]), value=JSON)
def test_any_value_in_a_span(field: str, value: Any) -> None:
    document = json.loads(json.dumps(OTLP_JSON))
    document["resourceSpans"][0]["scopeSpans"][0]["spans"][0][field] = value
    try:
        batch = decode_otlp_json(json.dumps(document).encode())
    except BadSpans:
        return
    assert batch.spans + batch.rejected == 1


def test_not_a_number_is_text() -> None:
    assert text_of(AnyValue(double_value=math.nan)) == "nan"
