"""Zipkin v2 in JSON and protobuf to rows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from services.tracing.decode.batch import BadSpans
from services.tracing.decode.tags import attribute_tags
from services.tracing.decode.zipkin import decode_zipkin_json
from services.tracing.decode.zipkin_proto import ListOfSpans, decode_zipkin_proto

SPAN: dict[str, Any] = {
    "traceId": "463ac35c9f6413ad48485a3953bb6124",
    "parentId": "6b221d5bc9e6496c",
    "id": "5b4185666d50f68b",
    "name": "get /",
    "kind": "SERVER",
    "shared": True,
    "timestamp": 1502787600000000,
    "duration": 150000,
    "localEndpoint": {"serviceName": "frontend", "ipv4": "192.168.99.1", "port": 3306},
    "remoteEndpoint": {"serviceName": "rc", "ipv6": "2001:db8::1", "port": 58648},
    "annotations": [{"timestamp": 1502787600010000, "value": "cache miss"}],
    "tags": {"http.path": "/", "guid:x-request-id": "r"},
}


def one(**changes: Any) -> Span:
    batch = decode_zipkin_json(json.dumps([{**SPAN, **changes}]).encode())
    (row,) = batch.groups[0].rows
    return Span.FromString(row.blob)


def test_all_fields() -> None:
    batch = decode_zipkin_json(json.dumps([SPAN]).encode())
    (group,) = batch.groups
    (row,) = group.rows
    assert (group.service, row.start_us, row.duration_us, row.name) == ("frontend", 1502787600000000, 150000, "get /")
    span = Span.FromString(row.blob)
    assert (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()) == (
        "463ac35c9f6413ad48485a3953bb6124",
        "5b4185666d50f68b",
        "6b221d5bc9e6496c",
    )
    assert dict(attribute_tags(span.attributes)) == {
        "http.path": "/",
        "guid:x-request-id": "r",
        "net.host.ip": "192.168.99.1",
        "net.host.port": "3306",
        "net.peer.ip": "2001:db8::1",
        "net.peer.port": "58648",
        "peer.service": "rc",
    }
    assert [(e.name, e.time_unix_nano) for e in span.events] == [("cache miss", 1502787600010000000)]


def test_short_ids_are_padded() -> None:
    span = one(traceId="abc", id="1", parentId=None)
    assert (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id) == ("0" * 29 + "abc", "0" * 15 + "1", b"")


def test_a_parent_that_is_the_span_itself_is_none() -> None:
    assert one(parentId=SPAN["id"]).parent_span_id == b""


@pytest.mark.parametrize(("value", "message"), [("true", ""), ("", ""), ("timeout", "timeout")])
def test_error_tag(value: str, message: str) -> None:
    span = one(tags={"error": value})
    assert (span.status.code, span.status.message) == (2, message)


def test_lone_surrogates_are_replaced() -> None:
    assert one(name="\ud800").name == "?"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"traceId": "xyz"}, "[0].traceId must be 1 to 32 hex digits, not 'xyz'"),
        ({"traceId": "0"}, "[0].traceId must not be zero"),
        ({"id": None}, "[0].id must be 1 to 16 hex digits"),
        ({"id": "1" * 17}, "[0].id must be"),
        ({"kind": "server"}, "[0].kind must be CLIENT, SERVER"),
        ({"kind": ["SERVER"]}, "[0].kind must be"),
        ({"timestamp": -1}, "[0].timestamp must be a number of µs"),
        ({"timestamp": 1e30}, "[0].timestamp must be"),
        ({"duration": "5"}, "[0].duration must be"),
        ({"tags": {"a": 1}}, "[0].tags['a'] must be a string"),
        ({"tags": []}, ""),
        ({"annotations": [3]}, "[0].annotations[0] must be an object"),
        ({"localEndpoint": {"ipv4": "1.2.3.400"}}, "[0].localEndpoint.ipv4 must be an address"),
        ({"localEndpoint": {"port": 70000}}, "[0].localEndpoint.port must be"),
        ({"localEndpoint": "x"}, "[0].localEndpoint must be an object"),
    ],
)
def test_wrong_fields_are_named(change: dict[str, Any], said: str) -> None:
    if not said:
        assert one(**change).name == "get /"  # empty is as good as absent
        return
    with pytest.raises(BadSpans) as caught:
        one(**change)
    assert said in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"null", b"[[]]", b"\xff"])
def test_no_list_of_spans(body: bytes) -> None:
    with pytest.raises(BadSpans):
        decode_zipkin_json(body)


def test_protobuf_says_the_same() -> None:
    message = ListOfSpans()
    made = message.spans.add(
        trace_id=bytes.fromhex(SPAN["traceId"]),
        id=bytes.fromhex(SPAN["id"]),
        parent_id=bytes.fromhex(SPAN["parentId"]),
        kind=2,
        name="get /",
        timestamp=SPAN["timestamp"],
        duration=SPAN["duration"],
    )
    made.local_endpoint.service_name, made.local_endpoint.ipv4, made.local_endpoint.port = (
        "frontend",
        b"\xc0\xa8c\1",
        3306,
    )
    made.remote_endpoint.service_name, made.remote_endpoint.port = "rc", 58648
    made.remote_endpoint.ipv6 = bytes.fromhex("20010db8000000000000000000000001")
    made.annotations.add(timestamp=1502787600010000, value="cache miss")
    for key, value in SPAN["tags"].items():
        made.tags.add(key=key, value=value)
    one_way = decode_zipkin_proto(message.SerializeToString())
    other = decode_zipkin_json(json.dumps([SPAN]).encode())
    assert one_way.groups == other.groups


def test_protobuf_with_an_address_of_a_wrong_size() -> None:
    message = ListOfSpans()
    made = message.spans.add(trace_id=b"\1" * 8, id=b"\1" * 8)
    made.local_endpoint.ipv4 = b"\1\2\3"
    with pytest.raises(BadSpans, match=r"ipv4 must be an address, not '3 bytes'"):
        decode_zipkin_proto(message.SerializeToString())


@given(st.binary(max_size=200))
def test_any_bytes_as_protobuf(body: bytes) -> None:
    try:
        decode_zipkin_proto(body)
    except BadSpans as error:
        assert str(error)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=4,
)


@given(field=st.sampled_from(sorted(SPAN)), value=VALUES)
def test_any_value_in_any_field(field: str, value: Any) -> None:
    try:
        batch = decode_zipkin_json(json.dumps([{**SPAN, field: value}]).encode())
    except BadSpans as error:
        assert str(error).startswith("[0]")
        return
    assert batch.spans == 1
