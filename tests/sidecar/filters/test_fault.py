from __future__ import annotations

from typing import Any

import pytest
from envoy.extensions.filters.http.fault.v3.fault_pb2 import HTTPFault

from sidecar.codec.headers import RequestHeaders
from sidecar.config.rejected import At, Rejected
from sidecar.config.routes import Route, RouteAction
from sidecar.filters.base import DISABLED, HttpFilter, LocalReply, Pause
from sidecar.filters.fault import FAULT
from sidecar.telemetry import response_flags
from tests.sidecar.compiler.protos import proto
from tests.sidecar.filters.stream import FakeStream

NAME = "envoy.filters.http.fault"
AT = At("r")


def settings(text: str) -> Any:
    assert FAULT.route is not None
    return FAULT.route(proto(HTTPFault, text), AT)


def fault(text: str = "{}") -> HttpFilter:
    built = FAULT.build(NAME, proto(HTTPFault, text), AT)
    assert built is not None
    return built


ABORT = "{abort: {http_status: 555, percentage: {numerator: 50}}}"
DELAY = "{delay: {fixed_delay: 7s, percentage: {numerator: 100}}}"


def test_nothing_configured_does_nothing() -> None:
    assert fault().on_request(FakeStream()) is None


@pytest.mark.parametrize(("number", "status"), [(0.0, 555), (0.4999, 555), (0.5, None), (0.99, None)])
def test_aborts_its_share(number: float, status: int | None) -> None:
    reply = fault(ABORT).on_request(FakeStream(numbers=[number]))
    assert (reply.status if isinstance(reply, LocalReply) else None) == status
    if isinstance(reply, LocalReply):
        assert (reply.body, reply.details) == (b"fault filter abort", "fault_filter_abort")
        assert reply.flags == response_flags.FAULT_INJECTED


def test_a_delay_pauses_and_then_asks_for_the_abort() -> None:
    text = "{delay: {fixed_delay: 7s, percentage: &all {numerator: 100}}, abort: {http_status: 500, percentage: *all}}"
    stream = FakeStream()
    pause = fault(text).on_request(stream)
    assert isinstance(pause, Pause)
    assert pause.delay_ms == 7000.0
    assert stream.info.response_flags == response_flags.DELAY_INJECTED
    assert pause.then is not None
    reply = pause.then(stream)
    assert reply is not None
    assert reply.status == 500


def test_a_delay_alone_goes_on_afterwards() -> None:
    stream = FakeStream()
    pause = fault(DELAY).on_request(stream)
    assert isinstance(pause, Pause)
    assert pause.then is not None
    assert pause.then(stream) is None


def test_the_route_replaces_the_listeners_settings_as_a_whole() -> None:
    route = settings("{abort: {http_status: 418, percentage: {numerator: 100}}}")
    reply = fault(DELAY).on_request(FakeStream(settings={NAME: route}))
    assert isinstance(reply, LocalReply)
    assert reply.status == 418


def test_a_route_may_switch_it_off() -> None:
    assert fault(ABORT).on_request(FakeStream(settings={NAME: DISABLED})) is None


def test_a_grpc_status_goes_out_as_grpc_to_grpc_callers_alone() -> None:
    text = "{abort: {grpc_status: 14, percentage: {numerator: 100}}}"
    plain = fault(text).on_request(FakeStream())
    assert isinstance(plain, LocalReply)
    assert (plain.status, plain.body, plain.headers) == (200, b"fault filter abort", ())
    request = RequestHeaders(b"POST", b"/", b"x")
    request[b"content-type"] = b"application/grpc"
    reply = fault(text).on_request(FakeStream(request))
    assert isinstance(reply, LocalReply)
    assert (reply.status, reply.body) == (200, b"")
    assert dict(reply.headers)[b"grpc-status"] == b"14"
    assert dict(reply.headers)[b"grpc-message"] == b"fault filter abort"


def test_applies_only_to_the_headers_the_cluster_and_the_nodes_asked_for() -> None:
    always = "abort: {http_status: 500, percentage: {numerator: 100}}"
    request = RequestHeaders(b"GET", b"/", b"x")
    request[b"end-user"] = b"jason"
    by_header = fault(f"{{headers: [{{name: end-user, string_match: {{exact: jason}}}}], {always}}}")
    assert by_header.on_request(FakeStream()) is None
    assert by_header.on_request(FakeStream(request)) is not None

    by_cluster = fault(f"{{upstream_cluster: a, {always}}}")
    for cluster, hit in (("a", True), ("b", False)):
        stream = FakeStream()
        stream.info.route = Route(action=RouteAction(cluster=cluster))
        assert (by_cluster.on_request(stream) is not None) is hit

    by_node = fault(f"{{downstream_nodes: [n], {always}}}")
    assert by_node.on_request(FakeStream()) is None
    request[b"x-envoy-downstream-service-node"] = b"n"
    assert by_node.on_request(FakeStream(request)) is not None


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        ("{delay: {percentage: {numerator: 1}}}", "delay.fixed_delay", "more than 0s"),
        ("{delay: {fixed_delay: 0s}}", "delay.fixed_delay", "more than 0s"),
        ("{delay: {header_delay: {}}}", "delay.header_delay", "not supported"),
        ("{abort: {}}", "abort", "needs http_status"),
        ("{abort: {http_status: 700}}", "abort.http_status", "no final status"),
        ("{abort: {header_abort: {}}}", "abort.header_abort", "not supported"),
        ("{max_active_faults: 1}", "max_active_faults", "not supported"),
        ("{response_rate_limit: {fixed_limit: {limit_kbps: 1}}}", "response_rate_limit", "not supported"),
        ("{delay_percent_runtime: x}", "delay_percent_runtime", "not supported"),
    ],
)
def test_refuses(text: str, path: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason) as caught:
        settings(text)
    assert caught.value.path == path
