"""HTTP/1.1 on the wire: strict readers around llhttp (httptools), and the writers of heads and chunks.

A reader is a base class of the connection that owns it, because llhttp calls back for every header and a further
object in between would cost a call each. It turns callbacks into whole heads, checks what llhttp does not check and
says how a body is framed; `on_body` and `on_message_complete` belong to the connection. Where a message could be read
in two ways (RFC 9112 section 11.2, request smuggling) it is refused. All of it works the same however the bytes are
cut into reads.
"""

from __future__ import annotations

from http import HTTPStatus

import httptools
from httptools import HttpParserError, HttpParserUpgrade

from sidecar.codec.headers import Headers, RequestHeaders, ResponseHeaders

#: How a message's body ends (RFC 9112 section 6.3).
NO_BODY, BY_LENGTH, CHUNKED, UNTIL_CLOSE = range(4)

DEFAULT_MAX_HEAD_BYTES = 60 * 1024
DEFAULT_MAX_HEADERS = 100
LAST_CHUNK = b"0\r\n\r\n"

_SLASH = 0x2F
_ENDING_SPACE = b" \r\n"
_TAB = b"\t"
_CONNECT = b"CONNECT"


class MalformedMessage(Exception):
    """A message that is refused. `status` is the answer it deserves, `details` its %RESPONSE_CODE_DETAILS%."""

    def __init__(self, reason: str, status: int = 400, details: str = "http1.codec_error") -> None:
        super().__init__(reason)
        self.status = status
        self.details = details


class _LowerCase(dict[bytes, bytes]):
    """Header names seen so far → lower case. Bounded, since clients choose the names."""

    def __missing__(self, name: bytes) -> bytes:
        lower = name.lower()
        if len(self) < 2048:
            self[name] = lower
        return lower


_lower_case = _LowerCase()


class _Reader:
    """What both directions share: feeding llhttp, header lines, limits."""

    __slots__ = (
        "_fragment_bytes",
        "_loose",
        "body_bytes",
        "headers",
        "in_body",
        "max_head_bytes",
        "max_headers",
        "parser",
    )

    headers: Headers | None
    in_body: bool
    body_bytes: int
    parser: httptools.HttpRequestParser | httptools.HttpResponseParser | None

    def init_reader(self, max_head_bytes: int = DEFAULT_MAX_HEAD_BYTES, max_headers: int = DEFAULT_MAX_HEADERS) -> None:
        """Set up before the first byte."""
        self.headers = None  # the head (later the trailers) being read; None between messages and in a plain body
        self.max_head_bytes = max_head_bytes
        self.max_headers = max_headers
        self.in_body = False
        self.body_bytes = 0  # of this message so far; the connection's on_body counts
        self._fragment_bytes = 0  # of an unfinished head, or of a chunked body's chunk heads and trailers
        self._loose = False  # values may end in blanks, or the head may be too long: it wants the slow check
        self.parser = self._new_parser()

    def _new_parser(self) -> httptools.HttpRequestParser | httptools.HttpResponseParser:
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        """asyncio.Protocol: bytes from the peer."""
        parser = self.parser
        if parser is None:
            return  # refused already; the connection is on its way out
        body_bytes = self.body_bytes
        in_body = self.in_body
        self._loose = (
            in_body  # a head may follow the body in the same read
            or self._fragment_bytes != 0
            or _ENDING_SPACE in data
            or _TAB in data
            or len(data) > self.max_head_bytes
        )
        try:
            parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self.upgraded(data[upgrade.args[0] :])
        except HttpParserError as error:
            self._refuse(error)
            return
        if self.headers is not None:
            self._count_fragment(len(data), in_body, body_bytes)
        self.fed()

    def _count_fragment(self, fed_bytes: int, was_in_body: bool, body_bytes: int) -> None:
        """A head, or a chunked body, went on past this read: bound what is not body."""
        if self.in_body:
            # Chunk sizes, their extensions and trailers: tiny chunks are legal, endless extensions are not.
            self._fragment_bytes += fed_bytes - (self.body_bytes - body_bytes if was_in_body else self.body_bytes)
            limit = self.max_head_bytes + 8 * self.body_bytes
        else:
            self._fragment_bytes += 1 if was_in_body else fed_bytes
            limit = self.max_head_bytes
        if self._fragment_bytes > limit or len(self.headers or ()) > self.max_headers:
            self.parser = None
            self.refused(_too_large())

    def _refuse(self, error: HttpParserError) -> None:
        self.parser = None
        cause = error.__context__
        if isinstance(cause, MalformedMessage):
            self.refused(cause)
        elif isinstance(error, httptools.HttpParserCallbackError) and cause is not None:
            raise cause  # a bug of ours, not of the peer's
        elif "`Transfer-Encoding`" in str(error):
            self.refused(MalformedMessage(str(error), 501, "http1.invalid_transfer_encoding"))
        else:
            self.refused(MalformedMessage(str(error)))

    def on_header(self, name: bytes, value: bytes) -> None:
        """llhttp: one header line (or trailer line)."""
        headers = self.headers
        name = _lower_case[name]
        if name in headers:  # type: ignore[operator]
            headers.add(name, value)  # type: ignore[union-attr]
        else:
            headers[name] = value  # type: ignore[index]

    def _check_loose(self, headers: Headers, line_bytes: int) -> None:
        """Strip the blanks that end values (llhttp leaves them, RFC 9110 5.5 does not) and measure the head."""
        for name, value in headers.items():
            headers[name] = value.rstrip(b" \t")
            line_bytes += len(name) + len(value) + 4
        if headers.multi is not None:
            for name, values in headers.multi.items():
                headers.multi[name] = stripped = [value.rstrip(b" \t") for value in values]
                headers[name] = b",".join(stripped)
        if line_bytes > self.max_head_bytes:
            raise _too_large()

    def _check_count(self, headers: Headers) -> None:
        count = len(headers)
        if headers.multi is not None:
            count += sum(len(values) - 1 for values in headers.multi.values())
        if count > self.max_headers:
            raise _too_large("http1.too_many_headers")

    # What the connection answers to.

    def fed(self) -> None:
        """A read has been worked off."""

    def upgraded(self, rest: bytes) -> None:
        """The message read last ended HTTP on this connection; `rest` is what followed it in this read."""

    def refused(self, error: MalformedMessage) -> None:
        """The peer broke the protocol; nothing more is read."""


class RequestReader(_Reader):
    """Reads requests. After `request_head`, `framing`, `http_10`, `keep_alive` and `is_upgrade` describe it."""

    __slots__ = ("_url", "framing", "http_10", "is_upgrade", "keep_alive")

    headers: Headers | None

    def init_reader(self, max_head_bytes: int = DEFAULT_MAX_HEAD_BYTES, max_headers: int = DEFAULT_MAX_HEADERS) -> None:
        self._url = b""
        self.framing = NO_BODY
        self.http_10 = False
        self.keep_alive = True
        self.is_upgrade = False
        super().init_reader(max_head_bytes, max_headers)

    def _new_parser(self) -> httptools.HttpRequestParser:
        return httptools.HttpRequestParser(self)

    def on_url(self, part: bytes) -> None:
        """llhttp: the request target, or one more part of it."""
        if self.headers is None:
            self.headers = RequestHeaders(b"", b"")
            self._url = part
        else:
            self._url += part

    def on_headers_complete(self) -> None:
        """llhttp: the head is whole."""
        headers: RequestHeaders = self.headers  # type: ignore[assignment]
        parser: httptools.HttpRequestParser = self.parser  # type: ignore[assignment]
        self.headers = None
        self.in_body = True
        self.body_bytes = 0
        self._fragment_bytes = 0
        url = self._url
        method = parser.get_method()
        headers.method = method
        if self._loose:
            self._check_loose(headers, len(url) + len(method) + 12)
        if len(headers) > self.max_headers or headers.multi is not None:
            self._check_multiple(headers)
        # 1.1 is told from 1.0 without asking for the version (which is dear): only 1.1 persists unasked.
        self.keep_alive = parser.should_keep_alive()
        self.http_10 = False
        self.is_upgrade = False
        if b"connection" in headers or not self.keep_alive:
            self._check_connection(headers, parser)
        host = headers.pop(b"host", None)
        if url[0] == _SLASH and method != _CONNECT:
            headers.path = url
        else:
            host = self._other_target(headers, url, host)
        headers.authority = host or b""  # a missing one is the connection manager's to refuse
        self.framing = NO_BODY
        if b"transfer-encoding" in headers:
            if headers.pop(b"transfer-encoding").lower() != b"chunked" or self.http_10:
                raise MalformedMessage("transfer encoding is not chunked", 501, "http1.invalid_transfer_encoding")
            self.framing = CHUNKED
            self.headers = Headers()  # for the trailers
        elif b"content-length" in headers and headers[b"content-length"].strip(b"0"):
            self.framing = BY_LENGTH
        self.request_head(headers)

    def _check_multiple(self, headers: RequestHeaders) -> None:
        self._check_count(headers)
        multi = headers.multi
        if multi is not None and not multi.keys().isdisjoint(_SINGLE):
            raise MalformedMessage("repeated Host, Content-Length or Transfer-Encoding")

    def _check_connection(self, headers: RequestHeaders, parser: httptools.HttpRequestParser) -> None:
        version = parser.get_http_version()
        if version == "1.0":
            self.http_10 = True
        elif version != "1.1":
            raise MalformedMessage(f"HTTP version {version}", 426, "low_version")
        self.is_upgrade = parser.should_upgrade() and headers.method != _CONNECT

    def _other_target(self, headers: RequestHeaders, url: bytes, host: bytes | None) -> bytes | None:
        """Targets that are no plain path: absolute form, asterisk form, authority form (RFC 9112 section 3.2)."""
        if headers.method == _CONNECT:
            headers.path = b""
            return url
        if url == b"*":
            headers.path = url
            return host
        scheme, separator, rest = url.partition(b"://")
        if not separator or scheme.lower() not in (b"http", b"https"):
            raise MalformedMessage("the target is no path and no http URL", details="http1.invalid_url")
        cut = min((at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0), default=len(rest))
        authority, path = rest[:cut], rest[cut:]
        if not authority:
            raise MalformedMessage("a URL without a host", details="http1.invalid_url")
        headers.path = path if path[:1] == b"/" else b"/" + path
        return authority

    def request_head(self, headers: RequestHeaders) -> None:
        """A request's head is whole; the body follows as `framing` says."""

    def end_request(self) -> Headers | None:
        """To be called in `on_message_complete`: ready for the next head; answers the trailers, if there are any."""
        trailers = self.headers
        self.headers = None
        self.in_body = False
        self._fragment_bytes = 0
        if not trailers:
            return None
        _check_trailers(trailers)
        return trailers


class ResponseReader(_Reader):
    """Reads responses. `head_only` is to be True while the answer to a HEAD request is awaited (it has no body).

    After `response_head`, `framing` and `keep_alive` describe the response.
    """

    __slots__ = ("_stale_parser", "framing", "head_only", "keep_alive", "switching")

    def init_reader(self, max_head_bytes: int = DEFAULT_MAX_HEAD_BYTES, max_headers: int = DEFAULT_MAX_HEADERS) -> None:
        self.framing = NO_BODY
        self.head_only = False
        self.keep_alive = True
        self.switching = False
        self._stale_parser = False
        super().init_reader(max_head_bytes, max_headers)

    def _new_parser(self) -> httptools.HttpResponseParser:
        return httptools.HttpResponseParser(self)

    def on_message_begin(self) -> None:
        """llhttp: the first byte of a response."""
        if self._stale_parser:
            raise MalformedMessage("a body after the answer to HEAD")
        self.headers = ResponseHeaders(0)

    def on_headers_complete(self) -> None:
        """llhttp: the head is whole."""
        headers: ResponseHeaders = self.headers  # type: ignore[assignment]
        parser: httptools.HttpResponseParser = self.parser  # type: ignore[assignment]
        self.headers = None
        self.in_body = True
        self.body_bytes = 0
        self._fragment_bytes = 0
        headers.status = status = parser.get_status_code()
        if self._loose:
            self._check_loose(headers, 20)
        if len(headers) > self.max_headers or headers.multi is not None:
            self._check_count(headers)
        self.keep_alive = parser.should_keep_alive()
        if status < 200:
            self._before_final(headers, parser)
            return
        coding = headers.pop(b"transfer-encoding", None)
        if coding is not None and coding.lower() != b"chunked":
            raise MalformedMessage("transfer encoding is not chunked", 502, "http1.invalid_transfer_encoding")
        if status == 204 or status == 304:
            self.framing = NO_BODY
        elif coding is not None:
            self.framing = CHUNKED
            self.headers = Headers()  # for the trailers
        elif b"content-length" in headers:
            self.framing = BY_LENGTH if headers[b"content-length"].strip(b"0") else NO_BODY
        else:
            self.framing = UNTIL_CLOSE
            self.keep_alive = False
        if self.head_only and self.framing != NO_BODY:
            # llhttp waits for the body that the head announces and HEAD forbids: go on with a new parser.
            self._stale_parser = True
            self.headers = None
            self.framing = NO_BODY
            self.keep_alive = self.keep_alive or b"connection" not in headers
            self.response_head(headers)
            self.on_message_complete()
            return
        self.response_head(headers)

    def _before_final(self, headers: ResponseHeaders, parser: httptools.HttpResponseParser) -> None:
        self.framing = NO_BODY
        if headers.status == 101:
            if not parser.should_upgrade():
                raise MalformedMessage("101 without an upgrade")
            self.switching = True
        self.informational_head(headers)

    def fresh_parser(self) -> None:
        """After an answer to HEAD that announced a body; only outside of llhttp's callbacks."""
        if self._stale_parser:
            self._stale_parser = False
            self.parser = self._new_parser()

    def on_message_complete(self) -> None:
        """llhttp: the response is whole (1xx too: `status` of the head tells)."""

    def response_head(self, headers: ResponseHeaders) -> None:
        """A final response's head is whole; the body follows as `framing` says."""

    def informational_head(self, headers: ResponseHeaders) -> None:
        """A 1xx response; `on_message_complete` follows at once."""

    def end_response(self) -> Headers | None:
        """To be called in `on_message_complete`: ready for the next head; answers the trailers, if there are any."""
        trailers = self.headers
        self.headers = None
        self.in_body = False
        self._fragment_bytes = 0
        if not trailers:
            return None
        _check_trailers(trailers)
        return trailers


def number(value: int) -> bytes:
    """A decimal, from a table where it is small: counts and milliseconds mostly are."""
    return _NUMBERS[value] if 0 <= value < 1000 else b"%d" % value


def encode_request(headers: RequestHeaders) -> bytes:
    """A request head with its empty line; the framing headers are those in `headers`."""
    lines = _CRLF.join(map(_COLON.join, headers.items() if headers.multi is None else headers.lines()))
    if not lines:
        return b"%b %b HTTP/1.1\r\nhost: %b\r\n\r\n" % (headers.method, headers.path, headers.authority)
    return b"%b %b HTTP/1.1\r\nhost: %b\r\n%b\r\n\r\n" % (headers.method, headers.path, headers.authority, lines)


def encode_response(headers: ResponseHeaders) -> bytes:
    """A response head with its empty line; the framing headers are those in `headers`."""
    lines = _CRLF.join(map(_COLON.join, headers.items() if headers.multi is None else headers.lines()))
    if not lines:
        return b"%b\r\n" % status_line(headers.status)
    return b"%b%b\r\n\r\n" % (_STATUS_LINES.get(headers.status) or status_line(headers.status), lines)


def status_line(status: int) -> bytes:
    """`HTTP/1.1 200 OK` and its line end; a code without a standard phrase gets `Unknown`, as Envoy does."""
    line = _STATUS_LINES.get(status)
    return line if line is not None else b"HTTP/1.1 %d Unknown\r\n" % status


def encode_chunk(data: bytes) -> bytes:
    """One chunk; `data` must not be empty, since that would end the body (RFC 9112 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def encode_last_chunk(trailers: Headers | None) -> bytes:
    """The end of a chunked body, with its trailers."""
    if not trailers:
        return LAST_CHUNK
    return b"0\r\n%b\r\n\r\n" % _CRLF.join(map(_COLON.join, trailers.lines()))


def _check_trailers(trailers: Headers) -> None:
    for name in _NOT_IN_TRAILERS:
        if name in trailers:
            raise MalformedMessage("a trailer that frames the message")


def _too_large(details: str = "http1.headers_too_large") -> MalformedMessage:
    return MalformedMessage("the head is too large", 431, details)


_CRLF = b"\r\n"
_COLON = b": "
_NUMBERS = tuple(b"%d" % value for value in range(1000))
#: Envoy's phrases are the standard ones; those it does not know read `Unknown`.
_UNKNOWN = frozenset((102, 103, 418, 425, 451))
_STATUS_LINES = {
    int(one): b"HTTP/1.1 %d %b\r\n" % (one, one.phrase.encode()) for one in HTTPStatus if one not in _UNKNOWN
}
_STATUS_LINES[599] = b"HTTP/1.1 599 Last Unassigned Server Error Code\r\n"
_SINGLE = frozenset((b"host", b"content-length", b"transfer-encoding"))
_NOT_IN_TRAILERS = (b"content-length", b"transfer-encoding", b"host")
