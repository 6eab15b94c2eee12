"""HTTP/1.1 on the wire, inwards: strict readers around llhttp (httptools).

A reader is a base class of the connection that owns it, because llhttp calls back for every header and a further
object in between would cost a call each. It turns callbacks into whole heads, checks what llhttp does not check and
says how a body is framed; `on_body` and `on_message_complete` belong to the connection. Where a message could be read
in two ways (RFC 9112 section 11.2, request smuggling) it is refused. All of it works the same however the bytes are
cut into reads. An ordinary message that comes whole in one read does not go through llhttp at all, see plain_heads.py.
"""

from __future__ import annotations

import httptools

from sidecar.codec.headers import Headers, RequestHeaders, ResponseHeaders
from sidecar.codec.plain_heads import plain_request, plain_response
from sidecar.codec.reader import (
    BY_LENGTH,
    CHUNKED,
    DEFAULT_MAX_HEAD_BYTES,
    DEFAULT_MAX_HEADERS,
    NO_BODY,
    UNTIL_CLOSE,
    MalformedMessage,
    Reader,
)

_SLASH = 0x2F
_CONNECT = b"CONNECT"


class RequestReader(Reader):
    """Reads requests. After `request_head`, `framing`, `http_10`, `keep_alive` and `is_upgrade` describe it.

    `whole_request` gives one without a body, of HTTP/1.1, that keeps its connection: then none of these matters.
    """

    __slots__ = ("_url", "framing", "http_10", "is_upgrade", "keep_alive")

    headers: Headers | None

    def init_reader(self, max_head_bytes: int = DEFAULT_MAX_HEAD_BYTES, max_headers: int = DEFAULT_MAX_HEADERS) -> None:
        self._url = b""
        self.framing = NO_BODY
        self.http_10 = False
        self.keep_alive = True
        self.is_upgrade = False
        super().init_reader(max_head_bytes, max_headers)

    def new_parser(self) -> httptools.HttpRequestParser:
        return httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        """asyncio.Protocol: bytes from the peer."""
        if self.between and self.parser is not None:
            headers = plain_request(data, self.max_headers, self.max_head_bytes)
            if headers is not None:
                self.whole_request(headers)
                return
        self.feed(data)

    def on_message_begin(self) -> None:
        """llhttp: the first byte of a request."""
        self.between = False

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
            self.check_loose(headers, len(url) + len(method) + 12)
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
        self.check_count(headers)
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

    def whole_request(self, headers: RequestHeaders) -> None:
        """A request that came in one read, and nothing else in it."""
        raise NotImplementedError

    def request_head(self, headers: RequestHeaders) -> None:
        """A request's head is whole; the body follows as `framing` says."""

    def end_request(self) -> Headers | None:
        """To be called in `on_message_complete`: ready for the next head; answers the trailers, if there are any."""
        self.between = self.keep_alive and not self.parser.should_upgrade()  # type: ignore[union-attr]
        return self.end_message()


class ResponseReader(Reader):
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

    def new_parser(self) -> httptools.HttpResponseParser:
        return httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        """asyncio.Protocol: bytes from the peer."""
        if self.between and self.parser is not None and not self.head_only:
            whole = plain_response(data, self.max_headers, self.max_head_bytes)
            if whole is not None:
                self.whole_response(*whole)
                return
        self.feed(data)

    def on_message_begin(self) -> None:
        """llhttp: the first byte of a response."""
        self.between = False
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
            self.check_loose(headers, 20)
        if len(headers) > self.max_headers or headers.multi is not None:
            self.check_count(headers)
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
            self.between = self.keep_alive
            self.parser = self.new_parser()

    def on_message_complete(self) -> None:
        """llhttp: the response is whole (1xx too: `status` of the head tells)."""

    def whole_response(self, headers: ResponseHeaders, body: bytes) -> None:
        """A final response that came in one read, and nothing else in it; its connection persists."""
        raise NotImplementedError

    def response_head(self, headers: ResponseHeaders) -> None:
        """A final response's head is whole; the body follows as `framing` says."""

    def informational_head(self, headers: ResponseHeaders) -> None:
        """A 1xx response; `on_message_complete` follows at once."""

    def end_response(self) -> Headers | None:
        """To be called in `on_message_complete`: ready for the next head; answers the trailers, if there are any."""
        self.between = self.keep_alive and not self.switching and not self._stale_parser
        return self.end_message()


_SINGLE = frozenset((b"host", b"content-length", b"transfer-encoding"))
