"""What reading requests and responses share: feeding llhttp (httptools), header lines, limits."""

from __future__ import annotations

import httptools
from httptools import HttpParserError, HttpParserUpgrade

from sidecar.codec.headers import Headers

#: How a message's body ends (RFC 9112 section 6.3).
NO_BODY, BY_LENGTH, CHUNKED, UNTIL_CLOSE = range(4)

DEFAULT_MAX_HEAD_BYTES = 60 * 1024
DEFAULT_MAX_HEADERS = 100

_ENDING_SPACE = b" \r\n"
_TAB = b"\t"


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


class Reader:
    """What both directions share: feeding llhttp, header lines, limits."""

    __slots__ = (
        "_fragment_bytes",
        "_loose",
        "between",
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
        self.between = True  # llhttp waits for a first byte, and nothing said before forbids a further message
        self.in_body = False
        self.body_bytes = 0  # of this message so far; the connection's on_body counts
        self._fragment_bytes = 0  # of an unfinished head, or of a chunked body's chunk heads and trailers
        self._loose = False  # values may end in blanks, or the head may be too long: it wants the slow check
        self.parser = self.new_parser()

    def new_parser(self) -> httptools.HttpRequestParser | httptools.HttpResponseParser:
        raise NotImplementedError

    def feed(self, data: bytes) -> None:
        """Bytes from the peer, for llhttp."""
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
        if not in_body:
            self._fragment_bytes += len(data)  # a head that ends in this read starts over at 0
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
            # Behind a message that ended in this read: how much of the read is the new head's, llhttp doesn't tell.
            self._fragment_bytes = self._fragment_bytes or 1
            limit = self.max_head_bytes
        if self._fragment_bytes > limit or len(self.headers or ()) > self.max_headers:
            self.parser = None
            self.refused(too_large())

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

    def check_loose(self, headers: Headers, line_bytes: int) -> None:
        """Strip the blanks that end values (llhttp leaves them, RFC 9110 5.5 does not) and measure the head."""
        for name, value in headers.items():
            headers[name] = value.rstrip(b" \t")
            line_bytes += len(name) + len(value) + 4
        if headers.multi is not None:
            for name, values in headers.multi.items():
                headers.multi[name] = stripped = [value.rstrip(b" \t") for value in values]
                headers[name] = b",".join(stripped)
        if line_bytes > self.max_head_bytes:
            raise too_large()

    def check_count(self, headers: Headers) -> None:
        count = len(headers)
        if headers.multi is not None:
            count += sum(len(values) - 1 for values in headers.multi.values())
        if count > self.max_headers:
            raise too_large("http1.too_many_headers")

    def end_message(self) -> Headers | None:
        trailers = self.headers
        self.headers = None
        self.in_body = False
        self._fragment_bytes = 0
        if not trailers:
            return None
        for name in _NOT_IN_TRAILERS:
            if name in trailers:
                raise MalformedMessage("a trailer that frames the message")
        return trailers

    # What the connection answers to.

    def fed(self) -> None:
        """A read has been worked off."""

    def upgraded(self, rest: bytes) -> None:
        """The message read last ended HTTP on this connection; `rest` is what followed it in this read."""

    def refused(self, error: MalformedMessage) -> None:
        """The peer broke the protocol; nothing more is read."""


def too_large(details: str = "http1.headerstoo_large") -> MalformedMessage:
    """A head over its limit of bytes or lines."""
    return MalformedMessage("the head is too large", 431, details)


_NOT_IN_TRAILERS = (b"content-length", b"transfer-encoding", b"host")
