"""Access-log filters by CEL. What the table says of each expression is what the stock Envoy 1.40 made of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.codec.headers import RequestHeaders, ResponseHeaders
from sidecar.config.routes import Route
from sidecar.telemetry.cel import InvalidExpression, compile_expression
from sidecar.telemetry.stream_info import StreamInfo


def info() -> StreamInfo:
    """GET /a?q=1 with `x: y`, answered 418 by the route r."""
    made = StreamInfo(1.0, 1_000_000_000)
    made.end_ns = 1_001_500_000
    request = RequestHeaders(b"GET", b"/a?q=1", b"app")
    request[b"x"] = b"y"
    made.request_headers = request
    made.response_headers = ResponseHeaders(418)
    made.response_code = 418
    made.response_code_details = "direct_response"
    made.bytes_sent = 3
    made.downstream_remote_address = "127.0.0.1:4711"
    made.route = Route(name="r")
    return made


TABLE = {
    "response.code >= 400": True,
    "request.headers['x'] == 'y'": True,
    "response.code == 404 || request.headers['x'] == 'y'": True,
    "has(request.headers.x)": True,
    "!has(request.headers.y)": True,
    "'x' in request.headers": True,
    "connection.mtls": False,
    "!connection.mtls": True,
    "response.flags != 0": False,
    "request.path.startsWith('/a')": True,
    "request.url_path == '/a'": True,
    "request.query == 'q=1'": True,
    "xds.cluster_name == ''": False,
    "response.code != 'x'": True,
    "response.code < 'x'": False,
    "request.duration < duration('1s')": True,
    "size(request.method) == 3": True,
    "request.method in ['GET']": True,
    "response.code_details == 'direct_response'": True,
    "request.useragent == ''": False,
    "request.headers[':path'] == '/a?q=1'": True,
    "request.headers['host'] == 'app'": True,
    "request.headers['X'] == 'y'": True,
    "xds.route_name == 'r'": True,
    "source.port > 0": True,
    "request.size == 0": True,
    "request.host.contains('app')": True,
    "request.path.matches('^/a.*1$')": True,
    "int('4') == 4": True,
    "double(1) == 1.0": True,
    "response.code % 2 == 1 ? true : false": False,
    "1 + 1 == 2 && request.protocol == 'HTTP/1.1'": True,
    "response.size > 0": True,
    "upstream.address == ''": False,
    "response.grpc_status == 0": False,
    "-5 / 2 == -2": True,
    "request.scheme == 'http'": True,
}


@pytest.mark.parametrize(("text", "expected"), TABLE.items())
def test_as_envoy(text: str, expected: bool) -> None:
    assert compile_expression(text)(info()) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("request.headers['none'] == 'a' || true", True),  # what fails on one side does not matter
        ("true || request.headers['none'] == 'a'", True),
        ("!(request.headers['none'] == 'a' && false)", True),
        ("request.headers['none'] != 'a'", False),
        ("request.headers['none'] == 'a' && true", False),
        ("response.code", False),  # no truth value
        ("!(response.code == 418)", False),
        ("response.code in [200, 418]", True),
        ("5 - 2 - 1 == 2 && 2 + 3 * 2 == 8", True),
        ("'a' + \"b\" == 'ab' && r'\\d' == '\\\\d'", True),
        ("0x1f == 31 && 7u == 7", True),
        ("1 / 0 == 1", False),
        ("duration('1m30s') == duration('90s')", True),
        ("true == 1", False),
        ("false ? true : response.code > 1 ? true : false", True),
    ],
)
def test_language(text: str, expected: bool) -> None:
    assert compile_expression(text)(info()) is expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "a value is expected"),
        ("response.code >=", "a value is expected"),
        ("response.code 4", "an operator is expected"),
        ("response.duration > 1", r"position 9.*response.duration is not known.*response.code,"),
        ("nothing.at == 1", "'nothing' is no attribute; there are connection"),
        ("code", "'code' is no attribute"),
        ("request.path.reverse() == ''", r"the method reverse\(\) is not known"),
        ("string(1) == '1'", r"the function string\(\) is not known"),
        ("request.path.matches('(')", "invalid regex"),
        ("request.path.matches(request.host)", "wants a text written out"),
        ("duration('soon') < request.duration", "'soon' is no duration"),
        ("request.headers['x'", "']' is expected"),
        ("(true", r"'\)' is expected"),
        ("a = 1", "position"),
        ("#", "'#' is not understood"),
        ("(" * 60 + "true" + ")" * 60, "nested deeper"),
        ("'" + "a" * 5000 + "'", "longer than 4096"),
        (r"'\q' == ''", r"the escape \\q"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidExpression, match=reason):
        compile_expression(text)


@given(st.text(alphabet="ab.()[]'\"=!<>&|+-*/%?: 1x\\,", max_size=60))
def test_compiles_or_says_why(text: str) -> None:
    try:
        decide = compile_expression(text)
    except InvalidExpression:
        return
    assert decide(info()) in (True, False)
