"""The readers: every case whole, byte by byte and cut anywhere; what must be refused; the writers."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.codec.encode import encode_chunk, encode_last_chunk, encode_request, encode_response, status_line
from sidecar.codec.headers import Headers, RequestHeaders, ResponseHeaders
from sidecar.codec.http1 import RequestReader, ResponseReader
from sidecar.codec.reader import BY_LENGTH, NO_BODY, MalformedMessage

Event = tuple[object, ...]


class Requests(RequestReader):
    def __init__(self, **limits: int) -> None:
        self.events: list[Event] = []
        self.tail = b""
        self.init_reader(**limits)

    def whole_request(self, headers: RequestHeaders) -> None:
        self.framing = NO_BODY
        self.keep_alive = True
        self.request_head(headers)
        self.events.append(("end", ()))

    def request_head(self, headers: RequestHeaders) -> None:
        lines = tuple(sorted(headers.lines()))
        self.events.append((headers.method, headers.path, headers.authority, lines, self.framing, self.keep_alive))

    def on_body(self, data: bytes) -> None:
        self.body_bytes += len(data)
        if self.events[-1][0] == "body":
            self.events[-1] = ("body", self.events[-1][1] + data)  # type: ignore[operator]
        else:
            self.events.append(("body", data))

    def on_message_complete(self) -> None:
        trailers = self.end_request()
        self.events.append(("end", tuple(trailers.lines()) if trailers else ()))

    def upgraded(self, rest: bytes) -> None:
        self.tail = rest

    def refused(self, error: MalformedMessage) -> None:
        self.events.append(("refused", error.status))


class Responses(ResponseReader):
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.init_reader()

    def whole_response(self, headers: ResponseHeaders, body: bytes) -> None:
        self.events.append((headers.status, tuple(sorted(headers.lines())), BY_LENGTH if body else NO_BODY, True))
        if body:
            self.events.append(("body", body))
        self.events.append(("end", ()))

    def response_head(self, headers: ResponseHeaders) -> None:
        self.events.append((headers.status, tuple(sorted(headers.lines())), self.framing, self.keep_alive))

    def informational_head(self, headers: ResponseHeaders) -> None:
        self.events.append(("info", headers.status))

    def on_body(self, data: bytes) -> None:
        self.body_bytes += len(data)
        if self.events[-1][0] == "body":
            self.events[-1] = ("body", self.events[-1][1] + data)  # type: ignore[operator]
        else:
            self.events.append(("body", data))

    def on_message_complete(self) -> None:
        trailers = self.end_response()
        self.events.append(("end", tuple(trailers.lines()) if trailers else ()))

    def fed(self) -> None:
        self.fresh_parser()

    def refused(self, error: MalformedMessage) -> None:
        self.events.append(("refused", error.status))


def read(data: bytes, cuts: tuple[int, ...] = (), **limits: int) -> list[Event]:
    reader = Requests(**limits)
    edges = [0, *sorted(cuts), len(data)]
    for start, end in pairwise(edges):
        if start != end:
            reader.data_received(data[start:end])
    return reader.events


HEAD = b"GET /a?b HTTP/1.1\r\nHost: h\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\n"
GOOD = {
    "plain": HEAD + b"\r\n",
    "blanks": HEAD + b"X-A: \t v w \t \r\nX-B:\r\n\r\n",
    "repeated": HEAD + b"X-A: 1\r\nx-a: 2 \r\n\r\n",
    "length": POST + b"Content-Length: 5\r\n\r\nhello",
    "zero-length": POST + b"Content-Length: 0\r\n\r\n",
    "chunked": POST + b"Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
    "trailers": POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\nX-U: 2\r\n\r\n",
    "pipelined": POST + b"Content-Length: 2\r\n\r\nab" + HEAD + b"X: y \r\n\r\n" + HEAD + b"\r\n",
    "absolute": b"GET http://other:80/x?y HTTP/1.1\r\nHost: h\r\n\r\n",
    "absolute-bare": b"GET http://other HTTP/1.1\r\nHost: h\r\n\r\n",
    "absolute-query": b"GET http://other?q HTTP/1.1\r\nHost: h\r\n\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
    "close": HEAD + b"Connection: close\r\n\r\n",
    "http-1.0": b"GET / HTTP/1.0\r\n\r\n",
    "leading-empty-lines": b"\r\n\r\n" + HEAD + b"\r\n",
}


@pytest.mark.parametrize("name", GOOD)
def test_byte_by_byte_is_the_same_as_whole(name: str) -> None:
    data = GOOD[name]
    whole = read(data)
    assert whole
    assert whole[-1][0] == "end"
    assert read(data, tuple(range(1, len(data)))) == whole


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(GOOD)), st.lists(st.integers(0, 200), max_size=6))
def test_cut_anywhere_is_the_same_as_whole(name: str, cuts: list[int]) -> None:
    data = GOOD[name]
    assert read(data, tuple(cut for cut in cuts if cut < len(data))) == read(data)


def test_what_is_read() -> None:
    assert read(GOOD["blanks"])[0][3] == ((b"x-a", b"v w"), (b"x-b", b""))
    assert read(GOOD["repeated"])[0][3] == ((b"x-a", b"1"), (b"x-a", b"2"))
    assert read(GOOD["absolute"])[0][:3] == (b"GET", b"/x?y", b"other:80")
    assert read(GOOD["absolute-bare"])[0][:3] == (b"GET", b"/", b"other")
    assert read(GOOD["absolute-query"])[0][1] == b"/?q"
    assert read(GOOD["trailers"])[1:] == [("body", b"abc"), ("end", ((b"x-t", b"1"), (b"x-u", b"2")))]
    assert [event[0] for event in read(GOOD["pipelined"])] == [b"POST", "body", "end", b"GET", "end", b"GET", "end"]
    assert read(GOOD["close"])[0][5] is False
    assert read(GOOD["plain"])[0][5] is True


BAD = {
    "both-framings": (POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "both-framings-te-first": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400),
    "two-lengths": (POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
    "same-length-twice": (POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    "length-list": (POST + b"Content-Length: 3, 3\r\n\r\nabc", 400),
    "length-sign": (POST + b"Content-Length: +3\r\n\r\nabc", 400),
    "length-hex": (POST + b"Content-Length: 0x3\r\n\r\nabc", 400),
    "length-empty": (POST + b"Content-Length:\r\n\r\n", 400),
    "coding-unknown": (POST + b"Transfer-Encoding: gzip\r\n\r\n", 501),
    "coding-list": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "coding-after-chunked": (POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n", 501),
    "coding-twice": (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
    "coding-prefixed": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    "coding-vt": (POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "coding-http-1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
    "fold": (HEAD + b"X-A: 1\r\n 2\r\n\r\n", 400),
    "fold-first": (b"GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400),
    "bare-cr": (HEAD + b"X-A: 1\r2\r\n\r\n", 400),
    "bare-lf": (HEAD + b"X-A: 1\n\r\n", 400),
    "bare-lf-line": (b"GET / HTTP/1.1\nHost: h\r\n\r\n", 400),
    "nul": (HEAD + b"X-A: 1\x00\r\n\r\n", 400),
    "control": (HEAD + b"X-A: \x01\r\n\r\n", 400),
    "space-before-colon": (HEAD + b"X-A : 1\r\n\r\n", 400),
    "name-character": (HEAD + b"X(A: 1\r\n\r\n", 400),
    "empty-name": (HEAD + b": 1\r\n\r\n", 400),
    "two-hosts": (HEAD + b"Host: other\r\n\r\n", 400),
    "unknown-method": (b"BREW / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "lower-case-method": (b"get / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "space-in-target": (b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "control-in-target": (b"GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "relative-target": (b"GET a/b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "other-scheme": (b"GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "url-without-host": (b"GET http:///x HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "version": (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 426),
    "version-0.9": (b"GET /\r\n\r\n", 426),
    "chunk-size": (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n", 400),
    "chunk-size-sign": (POST + b"Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n", 400),
    "chunk-size-prefix": (POST + b"Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", 400),
    "chunk-size-huge": (POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400),
    "chunk-too-long": (POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", 400),
    "chunk-bare-lf": (POST + b"Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", 400),
    "trailer-length": (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 3\r\n\r\n", 400),
    "trailer-host": (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nHost: x\r\n\r\n", 400),
    "after-close": (HEAD + b"Connection: close\r\n\r\n" + HEAD + b"\r\n", 400),
    "head-size": (HEAD + b"X: " + b"a" * 70_000 + b"\r\n\r\n", 431),
    "url-size": (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 431),
    "head-count": (HEAD + b"".join(b"X-%d: 1\r\n" % n for n in range(101)) + b"\r\n", 431),
    "head-count-repeated": (HEAD + b"X: 1\r\n" * 101 + b"\r\n", 431),
}


@pytest.mark.parametrize("name", BAD)
def test_refused(name: str) -> None:
    data, status = BAD[name]
    whole = read(data)
    assert whole[-1] == ("refused", status)
    step = max(1, len(data) // 500)
    assert read(data, tuple(range(step, len(data), step)))[-1] == ("refused", status)


def test_endless_head_is_refused_before_it_ends() -> None:
    reader = Requests()
    reader.data_received(HEAD)
    for _ in range(70):
        reader.data_received(b"X: " + b"a" * 1000)
    assert reader.events == [("refused", 431)]


def test_endless_chunk_extensions_and_trailers_are_refused() -> None:
    for filler in (b"1;" + b"e" * 1000, b"0\r\nX: " + b"a" * 1000):
        reader = Requests()
        reader.data_received(POST + b"Transfer-Encoding: chunked\r\n\r\n" + filler)
        for _ in range(70):
            reader.data_received(b"a" * 1000)
        assert reader.events[-1] == ("refused", 431)


def test_tiny_chunks_are_not_endless_extensions() -> None:
    reader = Requests()
    reader.data_received(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(20_000):
        reader.data_received(b"1\r\na\r\n")
    reader.data_received(b"0\r\n\r\n")
    assert reader.events[-1] == ("end", ())


def test_large_body_behind_a_large_read_is_no_large_head() -> None:
    body = b"x" * 200_000
    events = read(POST + b"Content-Length: 200000\r\n\r\n" + body + HEAD + b"\r\n")
    assert [event[0] for event in events] == [b"POST", "body", "end", b"GET", "end"]


def test_upgrade_hands_over_the_rest() -> None:
    reader = Requests()
    reader.data_received(HEAD + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x00")
    assert reader.is_upgrade
    assert reader.tail == b"\x81\x00"


def answers(data: bytes, byte_by_byte: bool = False, head_only: bool = False) -> list[Event]:
    reader = Responses()
    reader.head_only = head_only
    for piece in [data[i : i + 1] for i in range(len(data))] if byte_by_byte else [data]:
        reader.data_received(piece)
    return reader.events


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize("byte_by_byte", [False, True])
def test_responses(byte_by_byte: bool) -> None:
    assert answers(OK + b"Content-Length: 2\r\n\r\nab", byte_by_byte)[1:] == [("body", b"ab"), ("end", ())]
    chunked = OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX: y\r\n\r\n"
    assert answers(chunked, byte_by_byte)[1:] == [("body", b"ab"), ("end", ((b"x", b"y"),))]
    until_close = answers(OK + b"\r\nab", byte_by_byte)
    assert until_close[0][3] is False
    assert until_close[1:] == [("body", b"ab")]
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n"
    assert [event[0] for event in answers(hints, byte_by_byte)] == ["info", "end", 200, "end"]
    for status in (204, 304):
        none = b"HTTP/1.1 %d X\r\nContent-Length: 5\r\n\r\n" % status
        assert [event[0] for event in answers(none, byte_by_byte)] == [status, "end"]


@pytest.mark.parametrize("framing", [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b""])
def test_head_has_no_body_and_the_connection_goes_on(framing: bytes) -> None:
    reader = Responses()
    reader.head_only = True
    reader.data_received(OK + framing + b"\r\n")
    assert [event[0] for event in reader.events] == [200, "end"]
    reader.head_only = False
    reader.data_received(OK + b"Content-Length: 1\r\n\r\nx")
    assert [event[0] for event in reader.events] == [200, "end", 200, "body", "end"]


@pytest.mark.parametrize(
    "data",
    [
        b"NONSENSE\r\n\r\n",
        OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 1000 X\r\n\r\n",
    ],
)
def test_bad_responses(data: bytes) -> None:
    assert answers(data)[-1][0] == "refused"


def test_encode() -> None:
    request = RequestHeaders(b"GET", b"/x", b"h")
    assert encode_request(request) == b"GET /x HTTP/1.1\r\nhost: h\r\n\r\n"
    request.add(b"x-a", b"1")
    request.add(b"x-a", b"2")
    assert encode_request(request) == b"GET /x HTTP/1.1\r\nhost: h\r\nx-a: 1\r\nx-a: 2\r\n\r\n"
    response = ResponseHeaders(200)
    assert encode_response(response) == b"HTTP/1.1 200 OK\r\n\r\n"
    response[b"server"] = b"envoy"
    assert encode_response(response) == b"HTTP/1.1 200 OK\r\nserver: envoy\r\n\r\n"
    assert status_line(777) == b"HTTP/1.1 777 Unknown\r\n"
    assert encode_chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    trailers = Headers()
    trailers.add(b"x-t", b"1")
    assert encode_last_chunk(trailers) == b"0\r\nx-t: 1\r\n\r\n"
    assert encode_last_chunk(None) == b"0\r\n\r\n"


@given(
    st.dictionaries(
        st.from_regex(rb"[a-z][a-z0-9_-]{0,10}", fullmatch=True).filter(
            lambda name: name not in (b"host", b"content-length", b"transfer-encoding", b"connection", b"upgrade")
        ),
        st.from_regex(rb"([!-~][ -~]{0,10}[!-~])?", fullmatch=True),
        max_size=8,
    )
)
@settings(max_examples=100, deadline=None)
def test_what_is_written_is_read_back(headers: dict[bytes, bytes]) -> None:
    request = RequestHeaders(b"GET", b"/", b"h")
    request.update(headers)
    assert read(encode_request(request))[0][3] == tuple(sorted(headers.items()))
