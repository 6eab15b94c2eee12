"""The expected texts are what Envoy prints for the same request; `test_formatter_envoy` holds some against it."""

import json
from types import SimpleNamespace

import pytest

from sidecar.codec.headers import RequestHeaders, ResponseHeaders
from sidecar.telemetry import response_flags
from sidecar.telemetry.formatter import InvalidFormat, compile_json, compile_substitution, compile_text
from sidecar.telemetry.stream_info import StreamInfo

START_S = 1460751420.3107  # 2016-04-15T20:17:00.310Z


def request() -> StreamInfo:
    info = StreamInfo(START_S, 1_000_000_000)
    head = info.request_headers = RequestHeaders(b"GET", b"/reviews/0?x=1", b"reviews:9080")
    head[b"user-agent"] = b"curl/8.5"
    head[b"x-empty"] = b""
    head[b"x-bytes"] = b"caf\xe9 \xc3\xa9"
    answer = info.response_headers = ResponseHeaders(503)
    answer[b"x-envoy-upstream-service-time"] = b"12"
    info.response_code = 503
    info.response_code_details = "upstream reset before response"
    info.response_flags = response_flags.UPSTREAM_CONNECTION_FAILURE | response_flags.UPSTREAM_RETRY_LIMIT_EXCEEDED
    info.request_end_ns = 1_001_000_000
    info.upstream_first_byte_ns = 1_004_500_000
    info.end_ns = 1_014_900_000
    info.bytes_received, info.bytes_sent = 7, 91
    info.attempt_count = 3
    info.upstream_host = "127.20.1.1:9080"
    info.upstream_cluster = "outbound|9080||reviews.default.svc.cluster.local"
    info.upstream_local_address = "127.20.1.2:41000"
    info.downstream_local_address = "127.20.1.2:15080"
    info.downstream_remote_address = "[::1]:5555"
    info.requested_server_name = "reviews.default"
    info.route = SimpleNamespace(name="to-v2")  # type: ignore[assignment]
    return info


CASES = [
    ("plain text, no operator", "plain text, no operator"),
    ("100%% {braces} \"quotes\" \\ 'n'\n", "100% {braces} \"quotes\" \\ 'n'\n"),
    ("%START_TIME%", "2016-04-15T20:17:00.310Z"),
    ("%START_TIME(%Y/%m/%dT%H:%M:%S%z)%", "2016/04/15T20:17:00+0000"),
    ("%START_TIME(%s.%3f)%", "1460751420.310"),
    ("%START_TIME(%E3S)%", "00.310"),
    ("%REQ(:METHOD)%", "GET"),
    ("%REQ(:PATH)%", "/reviews/0?x=1"),
    ("%REQ(:path):8%", "/reviews"),
    ("%REQ(:AUTHORITY)%", "reviews:9080"),
    ("%REQ(Host)%", "reviews:9080"),
    ("%REQ(:SCHEME)%", "http"),
    ("%REQ(User-Agent)%", "curl/8.5"),
    ("%REQ(X-MISSING)%", "-"),
    ("%REQ(X-MISSING?USER-AGENT):4%", "curl"),
    ("%REQ(X-MISSING?X-ALSO)%", "-"),
    ("[%REQ(X-EMPTY)%]", "[]"),
    ("%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%", "12"),
    ("%RESP(:STATUS)%", "503"),
    ("%RESP(X-MISSING)%", "-"),
    ("%PROTOCOL%", "HTTP/1.1"),
    ("%RESPONSE_CODE%", "503"),
    ("%RESPONSE_FLAGS%", "URX,UF"),
    ("%RESPONSE_FLAGS_LONG%", "UpstreamRetryLimitExceeded,UpstreamConnectionFailure"),
    ("%RESPONSE_CODE_DETAILS%", "upstream_reset_before_response"),
    ("%RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%", "upstream reset before response"),
    ("%CONNECTION_TERMINATION_DETAILS%", "-"),
    ("%UPSTREAM_TRANSPORT_FAILURE_REASON%", "-"),
    ("%BYTES_RECEIVED%/%BYTES_SENT%", "7/91"),
    ("%DURATION%", "14"),
    ("%REQUEST_DURATION%", "1"),
    ("%RESPONSE_DURATION%", "4"),
    ("%RESPONSE_TX_DURATION%", "10"),
    ("%UPSTREAM_HOST%", "127.20.1.1:9080"),
    ("%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "127.20.1.1"),
    ("%UPSTREAM_REMOTE_PORT%", "9080"),
    ("%UPSTREAM_CLUSTER%", "outbound|9080||reviews.default.svc.cluster.local"),
    ("%UPSTREAM_CLUSTER_RAW%", "outbound|9080||reviews.default.svc.cluster.local"),
    ("%UPSTREAM_LOCAL_ADDRESS%", "127.20.1.2:41000"),
    ("%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "3"),
    ("%DOWNSTREAM_LOCAL_ADDRESS%", "127.20.1.2:15080"),
    ("%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%", "127.20.1.2"),
    ("%DOWNSTREAM_LOCAL_PORT%", "15080"),
    ("%DOWNSTREAM_REMOTE_ADDRESS%", "[::1]:5555"),
    ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "::1"),
    ("%DOWNSTREAM_REMOTE_PORT%", "5555"),
    ("%REQUESTED_SERVER_NAME%", "reviews.default"),
    ("%ROUTE_NAME%", "to-v2"),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_operators(text: str, expected: str) -> None:
    assert compile_text(text)(request()) == expected


@pytest.mark.parametrize(
    "text",
    [text for text, _ in CASES if text.startswith("%") and text.endswith("%") and "SCHEME" not in text],
)
def test_what_is_not_known_yet_never_fails(text: str) -> None:
    assert isinstance(compile_text(text)(StreamInfo(0.0, 0)), str)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("%REQ(:PATH)%", "-"),
        ("%RESP(:STATUS)%", "-"),
        ("%RESPONSE_FLAGS%", "-"),
        ("%DURATION%", "-"),
        ("%REQUEST_DURATION%", "-"),
        ("%ROUTE_NAME%", "-"),
        ("%UPSTREAM_HOST%", "-"),
        ("%DOWNSTREAM_REMOTE_PORT%", "-"),
        ("%RESPONSE_CODE%", "0"),
        ("%BYTES_SENT%", "0"),
        ("%RESPONSE_CODE_DETAILS%", "-"),
    ],
)
def test_what_is_not_known_reads_as_envoy_prints_it(text: str, said: str) -> None:
    assert compile_text(text)(StreamInfo(0.0, 0)) == said


def test_bytes_that_are_not_utf8_survive() -> None:
    line = compile_text("%REQ(X-BYTES)%")(request())
    assert line.encode("utf-8", "surrogateescape") == b"caf\xe9 \xc3\xa9"


def test_each_second_is_formatted_anew() -> None:
    line = compile_text("%START_TIME%")
    assert [line(StreamInfo(when, 0)) for when in (0.0, 0.999, 1.5, 0.25)] == [
        "1970-01-01T00:00:00.000Z",
        "1970-01-01T00:00:00.999Z",
        "1970-01-01T00:00:01.500Z",
        "1970-01-01T00:00:00.250Z",
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("%NO_SUCH_THING%", "%NO_SUCH_THING% is not a command operator"),
        ("%ENVIRONMENT(HOME)%", "%ENVIRONMENT% is not a command operator"),
        ("50% off", "no command operator at position 2"),
        ("%REQ()%", "expected a header name"),
        ("%REQ(a?b?c)%", "expected a header name"),
        ("%DURATION(x)%", "takes no argument"),
        ("%RESPONSE_CODE:1%", "only REQ and RESP take a length"),
        ("%RESPONSE_CODE_DETAILS(x)%", "ALLOW_WHITESPACES"),
    ],
)
def test_bad_formats_are_refused_with_the_reason(text: str, complaint: str) -> None:
    with pytest.raises(InvalidFormat, match=complaint.replace("(", r"\(")):
        compile_text(text)


def test_the_users_text_never_becomes_code() -> None:
    text = "' + __import__('os').getcwd() + '{i.start_ns!r}\\N{DASH}\"\"\"\r\n\x00"
    assert compile_text(text)(request()) == text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"fixed", b"fixed"),
        (b"100%%", b"100%"),
        (b"%REQ(user-agent)%", b"curl/8.5"),
        (b"%REQ(x-missing)%", b""),
        (b"%REQ(x-bytes)%", b"caf\xe9 \xc3\xa9"),
        (b"%REQ(user-agent):4%/%PROTOCOL%", b"curl/HTTP/1.1"),
        (b"\xff %RESPONSE_CODE%", b"\xff 503"),
    ],
)
def test_substitutions(value: bytes, expected: bytes) -> None:
    made = compile_substitution(value)
    assert (made if isinstance(made, bytes) else made(request())) == expected


def test_a_constant_substitution_is_no_function() -> None:
    assert compile_substitution(b"v1") == b"v1"


def test_json_keeps_types_and_sorts_keys() -> None:
    line = compile_json(
        {
            "status": "%RESPONSE_CODE%",
            "path": "%REQ(:PATH)%",
            "missing": "%REQ(X-MISSING)%",
            "mixed": "%REQ(X-MISSING)% %DURATION%ms",
            "nested": {"b": "%BYTES_SENT%", "a": ["%UPSTREAM_HOST%", 3, True]},
        }
    )(request())
    assert line == (
        '{"missing":null,"mixed":"- 14ms","nested":{"a":["127.20.1.1:9080",3,true],"b":91},'
        '"path":"/reviews/0?x=1","status":503}\n'
    )
    assert json.loads(line)["status"] == 503


def test_no_flags_are_a_dash_in_headers_too() -> None:
    made = compile_substitution(b"%RESPONSE_FLAGS%")
    assert not isinstance(made, bytes)
    assert made(StreamInfo(0.0, 0)) == b"-"
