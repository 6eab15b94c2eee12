"""Expectations come from asking Envoy 1.40 the same."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.extensions.filters.http.cors.v3.cors_pb2 import Cors, CorsPolicy

from sidecar.codec.headers import RequestHeaders, ResponseHeaders
from sidecar.config.rejected import At, Rejected
from sidecar.config.routes import Redirect, Route, RouteAction
from sidecar.filters.base import LocalReply
from sidecar.filters.cors import CORS
from tests.sidecar.compiler.protos import proto
from tests.sidecar.filters.stream import FakeStream

NAME = "envoy.filters.http.cors"
AT = At("r")
FULL = """
allow_origin_string_match: [{exact: 'http://a'}, {suffix: .example}]
allow_methods: GET,POST
allow_headers: x-h
expose_headers: x-e
max_age: '86400'
allow_credentials: true
"""


def policy(text: str) -> Any:
    assert CORS.route is not None
    return CORS.route(proto(CorsPolicy, text), AT)


def stream(origin: bytes, method: bytes = b"GET", text: str = FULL, numbers: tuple[float, ...] = ()) -> FakeStream:
    request = RequestHeaders(method, b"/", b"x")
    if origin:
        request[b"origin"] = origin
    if method == b"OPTIONS":
        request[b"access-control-request-method"] = b"PUT"
        request[b"access-control-request-headers"] = b"x-asked"
    made = FakeStream(request, {NAME: policy(text)} if text else {}, numbers)
    made.info.route = Route(action=RouteAction(cluster="c"))
    return made


def run(one: FakeStream) -> tuple[LocalReply | None, dict[bytes, bytes]]:
    """(local reply, headers added to a response)."""
    built = CORS.build(NAME, Cors(), AT)
    assert built is not None
    reply = built.on_request(one)
    assert reply is None or isinstance(reply, LocalReply)
    one.response = ResponseHeaders(200)
    built.on_response(one)
    return reply, dict(one.response)


ALLOWED = {
    b"access-control-allow-origin": b"http://a",
    b"access-control-allow-credentials": b"true",
    b"access-control-expose-headers": b"x-e",
}


@pytest.mark.parametrize(
    ("one", "headers"),
    [
        (stream(b"http://a"), ALLOWED),
        (stream(b"http://b"), {}),
        (stream(b""), {}),
        (stream(b"http://a", text=""), {}),
        (
            stream(b"http://any", text="allow_origin_string_match: [{safe_regex: {regex: '.*'}}]"),
            {b"access-control-allow-origin": b"http://any"},
        ),
        (
            stream(b"http://any", text="allow_origin_string_match: [{exact: '*'}]"),
            {b"access-control-allow-origin": b"http://any"},
        ),
    ],
)
def test_ordinary_requests_pass_and_allowed_origins_may_read(one: FakeStream, headers: dict[bytes, bytes]) -> None:
    reply, added = run(one)
    assert reply is None
    assert added == headers


def test_a_preflight_of_an_allowed_origin_is_answered() -> None:
    reply, _ = run(stream(b"http://a", b"OPTIONS"))
    assert reply is not None
    assert (reply.status, reply.body, reply.details) == (200, b"", "cors_response")
    assert dict(reply.headers) == {
        **ALLOWED,
        b"access-control-allow-methods": b"GET,POST",
        b"access-control-allow-headers": b"x-h",
        b"access-control-max-age": b"86400",
    }


def test_a_star_allows_what_is_asked_for() -> None:
    text = "{allow_origin_string_match: [{exact: 'http://a'}], allow_methods: '*', allow_headers: '*'}"
    reply, _ = run(stream(b"http://a", b"OPTIONS", text))
    assert reply is not None
    assert dict(reply.headers)[b"access-control-allow-methods"] == b"PUT"
    assert dict(reply.headers)[b"access-control-allow-headers"] == b"x-asked"


def test_a_preflight_of_another_origin_goes_upstream_unless_told_not_to() -> None:
    assert run(stream(b"http://b", b"OPTIONS"))[0] is None
    reply, _ = run(stream(b"http://b", b"OPTIONS", FULL + "forward_not_matching_preflights: false"))
    assert reply is not None
    assert b"access-control-allow-origin" not in dict(reply.headers)
    assert b"access-control-expose-headers" not in dict(reply.headers)
    assert dict(reply.headers)[b"access-control-allow-methods"] == b"GET,POST"


def test_options_without_a_request_method_is_no_preflight() -> None:
    one = stream(b"http://a", b"OPTIONS")
    one.request.remove(b"access-control-request-method")
    assert run(one) == (None, ALLOWED)


def test_private_network_access() -> None:
    one = stream(b"http://a", b"OPTIONS", FULL + "allow_private_network_access: true")
    one.request[b"access-control-request-private-network"] = b"true"
    reply, _ = run(one)
    assert reply is not None
    assert dict(reply.headers)[b"access-control-allow-private-network"] == b"true"


def test_routes_that_answer_themselves_are_left_alone() -> None:
    one = stream(b"http://a", b"OPTIONS")
    one.info.route = Route(redirect=Redirect())
    assert run(one) == (None, {})


def test_acts_on_its_share() -> None:
    half = FULL + "filter_enabled: {default_value: {numerator: 50}}"
    assert run(stream(b"http://a", text=half, numbers=(0.4,)))[1] == ALLOWED
    assert run(stream(b"http://a", text=half, numbers=(0.6,)))[1] == {}


def test_an_origin_removed_on_the_way_is_remembered() -> None:
    one = stream(b"http://a")
    built = CORS.build(NAME, Cors(), AT)
    assert built is not None
    built.on_request(one)
    one.request.remove(b"origin")
    one.response = ResponseHeaders(200)
    built.on_response(one)
    assert dict(one.response) == ALLOWED


def test_refuses_a_broken_origin() -> None:
    with pytest.raises(Rejected, match="invalid regex") as caught:
        policy("allow_origin_string_match: [{exact: a}, {safe_regex: {regex: '('}}]")
    assert caught.value.path == "allow_origin_string_match[1].safe_regex.regex"


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("{}", {}),
        ("{allow_origin_string_match: [{exact: 'http://b'}]}", {b"access-control-allow-origin": None}),
        ("{allow_credentials: false}", {b"access-control-allow-credentials": None}),
        ("{max_age: '5'}", {b"access-control-max-age": b"5"}),
    ],
)
def test_what_a_route_does_not_say_its_virtual_host_does(text: str, changed: dict[bytes, bytes | None]) -> None:
    one = stream(b"http://a", b"OPTIONS", FULL + "forward_not_matching_preflights: false")
    whole, _ = run(one)
    upper = one.route_config(NAME)
    layered, _ = run(FakeStream(one.request, {NAME: policy(text).over(upper)}))
    assert isinstance(whole, LocalReply)
    assert isinstance(layered, LocalReply)
    expected = {**dict(whole.headers), **changed}
    if changed.get(b"access-control-allow-origin", b"") is None:
        del expected[b"access-control-expose-headers"]
    assert dict(layered.headers) == {name: value for name, value in expected.items() if value is not None}


def test_the_share_is_the_most_specific_policys_alone() -> None:
    half = policy("{filter_enabled: {default_value: {numerator: 50}}}")
    assert half.over(policy("{}")).enabled == 0.5
    assert policy("{}").over(half).enabled == 1.0
