"""Expectations come from asking Envoy 1.40 the same."""

from __future__ import annotations

from envoy.config.route.v3.route_components_pb2 import Route as RouteProto

from sidecar.codec.headers import RequestHeaders, ResponseHeaders
from sidecar.compiler.header_mutations import response_mutations
from sidecar.config.rejected import At
from sidecar.router.header_mutation import apply_mutations
from sidecar.telemetry.stream_info import StreamInfo
from tests.sidecar.compiler.protos import proto


def lines(before: list[tuple[bytes, bytes]], *levels: str) -> list[tuple[bytes, bytes]]:
    """The header lines after the response mutations of these levels."""
    headers = ResponseHeaders(200)
    for name, value in before:
        headers.add(name, value)
    mutations = tuple(level for text in levels for level in response_mutations(proto(RouteProto, text), At("r")))
    info = StreamInfo(0.0, 0)
    info.request_headers = RequestHeaders(b"GET", b"/", b"host")
    info.request_headers[b"x"] = b"from-request"
    apply_mutations(headers, mutations, info)
    return sorted(headers.lines())


def test_a_level_decides_by_what_was_there_then_replaces_then_appends() -> None:
    level = """
    response_headers_to_add:
    - {header: {key: a, value: '1'}}
    - {header: {key: a, value: '2'}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
    - {header: {key: b, value: '1'}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
    - {header: {key: b, value: '2'}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
    - {header: {key: c, value: '1'}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
    - {header: {key: c, value: '2'}, append_action: ADD_IF_ABSENT}
    - {header: {key: e, value: '1'}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
    - {header: {key: e, value: '2'}, append_action: OVERWRITE_IF_EXISTS}
    """
    upper = """
    response_headers_to_add:
    - {header: {key: a, value: v}}
    - {header: {key: c, value: v}, append_action: ADD_IF_ABSENT}
    - {header: {key: vh, value: v}, append_action: ADD_IF_ABSENT}
    """
    top = "response_headers_to_add: [{header: {key: vh, value: rc}, append_action: OVERWRITE_IF_EXISTS}]"
    assert lines([], level, upper, top) == [
        (b"a", b"1"),
        (b"a", b"2"),
        (b"a", b"v"),
        (b"b", b"2"),
        (b"c", b"1"),
        (b"c", b"2"),
        (b"e", b"1"),
        (b"vh", b"rc"),
    ]


def test_removals_come_first() -> None:
    level = "{response_headers_to_remove: [A, gone], response_headers_to_add: [{header: {key: A, value: new}}]}"
    assert lines([(b"a", b"1"), (b"a", b"2"), (b"gone", b""), (b"stays", b"x")], level) == [
        (b"a", b"new"),
        (b"stays", b"x"),
    ]


def test_empty_values_are_nothing_unless_kept() -> None:
    level = """
    response_headers_to_add:
    - {header: {key: d, value: ''}}
    - {header: {key: a, value: ''}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
    - {header: {key: e, value: ''}, keep_empty_value: true}
    - {header: {key: f, value: '%REQ(missing)%'}}
    """
    assert lines([(b"a", b"1")], level) == [(b"a", b"1"), (b"e", b"")]


def test_values_may_come_from_the_request() -> None:
    level = "response_headers_to_add: [{header: {key: t, value: '%REQ(x)%-100%%'}}]"
    assert lines([], level) == [(b"t", b"from-request-100%")]


def test_the_older_append_flag_still_decides() -> None:
    level = """
    response_headers_to_add:
    - {header: {key: a, value: new}, append: false}
    - {header: {key: b, value: new}, append: true}
    """
    assert lines([(b"a", b"old"), (b"b", b"old")], level) == [(b"a", b"new"), (b"b", b"new"), (b"b", b"old")]
