"""The short way reads what llhttp reads, as llhttp reads it, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.codec import plain_heads
from sidecar.codec.plain_heads import plain_request, plain_response
from tests.sidecar.codec.test_http1 import BAD, Event, Requests, Responses

TARGETS = st.one_of(
    st.sampled_from([b"/", b"*", b"a", b"", b"//", b"/a?b#c", b"http://h/", b"/ b", b"/\xff", b"/\x7f"]),
    st.binary(max_size=6).map(lambda path: b"/" + path),
)
NAMES = st.one_of(
    st.sampled_from(
        [b"x-a", b"X-A", b"Content-Length", b"Connection", b"Transfer-Encoding", b"Upgrade", b"Host", b"", b"x y"]
    ),
    st.binary(min_size=1, max_size=3),
)
VALUES = st.one_of(
    st.sampled_from([b"", b"1", b" 1 ", b"0", b"2", b"+1", b"close", b"keep-alive", b"Keep-Alive", b"chunked", b"\t,"]),
    st.text(" \tab", max_size=6).map(str.encode),
    st.binary(max_size=4),
)
FIELDS = st.lists(st.tuples(NAMES, st.sampled_from([b":", b": ", b" :", b":\t", b""]), VALUES), max_size=4)
LINE_ENDS = st.sampled_from([b"\r\n"] * 9 + [b"\n", b"\r"])


def head(start: bytes, fields: list[tuple[bytes, bytes, bytes]], line_end: bytes) -> bytes:
    return line_end.join([start, *(b"".join(field) for field in fields), b"", b""])


def by_llhttp(reader: Requests | Responses, data: bytes) -> list[Event]:
    reader.feed(data)
    return reader.events


def by_either(reader: Requests | Responses, data: bytes) -> list[Event]:
    for piece in (data, data):  # the second time from the tables
        reader.events.clear()
        reader.data_received(piece)
        if reader.parser is None or not reader.between:
            break
    return reader.events


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([b"GET", b"HEAD", b"POST", b"OPTIONS", b"CONNECT", b"get", b"BREW", b"TRACE"]),
    TARGETS,
    st.sampled_from([b" HTTP/1.1"] * 5 + [b" HTTP/1.0", b" HTTP/2.0", b"", b" HTTP/1.1 "]),
    st.booleans(),
    FIELDS,
    LINE_ENDS,
)
def test_requests_as_llhttp_reads_them(
    method: bytes, target: bytes, version: bytes, host: bool, fields: list[tuple[bytes, bytes, bytes]], line_end: bytes
) -> None:
    start = method + b" " + target + version
    data = head(start, ([(b"Host", b": ", b"h")] if host else []) + fields, line_end)
    assert by_either(Requests(), data) == by_llhttp(Requests(), data)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([b"HTTP/1.1 200 OK"] * 5 + [b"HTTP/1.1 %d X" % n for n in (99, 100, 101, 204, 304, 404, 599, 600)]),
    FIELDS,
    LINE_ENDS,
    st.sampled_from([b"", b"a", b"ab", b"HTTP/1.1 200 OK\r\n"]),
)
def test_responses_as_llhttp_reads_them(
    start: bytes, fields: list[tuple[bytes, bytes, bytes]], line_end: bytes, body: bytes
) -> None:
    data = head(start, fields, line_end) + body
    assert by_either(Responses(), data) == by_llhttp(Responses(), data)


@pytest.mark.parametrize("name", BAD)
def test_nothing_that_is_refused_is_plain(name: str) -> None:
    data = BAD[name][0]
    assert plain_request(data, 100, 60_000) is None


def test_what_is_plain() -> None:
    request = plain_request(b"GET /a?b HTTP/1.1\r\nHOST: h\r\nX-A:  v w \t\r\nconnection: Keep-Alive\r\n\r\n", 3, 1000)
    assert request is not None
    assert (request.method, request.path, request.authority) == (b"GET", b"/a?b", b"h")
    assert request == {b"x-a": b"v w", b"connection": b"Keep-Alive"}
    response = plain_response(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nab", 1, 100)
    assert response is not None
    assert (response[0].status, dict(response[0]), response[1]) == (404, {b"content-length": b"2"}, b"ab")


REQUEST = b"GET / HTTP/1.1\r\nhost: h\r\nx: 1\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        REQUEST[:-1],
        REQUEST + b"G",
        REQUEST + REQUEST,
        b"\r\n" + REQUEST,
        REQUEST.replace(b"host", b"x-host"),
        REQUEST.replace(b"x: 1", b"host: h"),
        REQUEST.replace(b"x: 1", b"content-length: 0"),
        REQUEST.replace(b"x: 1", b"connection: close"),
    ],
)
def test_what_is_no_plain_request(data: bytes) -> None:
    assert plain_request(data, 100, 60_000) is None
    assert plain_request(REQUEST, 1, 1000) is None
    assert plain_request(REQUEST, 2, 1000) is not None


@pytest.mark.parametrize("body", [b"", b"a", b"abc"])
def test_a_response_with_less_or_more_body_is_not_plain(body: bytes) -> None:
    assert plain_response(RESPONSE + body, 100, 1000) is None
    assert plain_response(RESPONSE + b"ab", 100, 1000) is not None
    assert plain_response(RESPONSE + b"ab", 100, 10) is None


def test_the_tables_are_bounded_and_keep_no_secrets() -> None:
    for number in range(3000):
        plain_request(b"GET /%d HTTP/1.1\r\nhost: h%d\r\ncookie: secret\r\n\r\n" % (number, number), 9, 1000)
    tables = (plain_heads._request_line.__self__, plain_heads._request_field.__self__)  # type: ignore[attr-defined]
    assert all(0 < len(table) <= 1024 for table in tables)
    assert not any(b"secret" in line for line in tables[1])
