"""The short way for ordinary messages: a head that came whole, in one read, and asks for no thought.

Most messages are like that, and most of their lines have been seen before: `user-agent`, `accept`, `content-type` and
the like repeat from request to request. So a head is cut into lines by one `split`, and each line is looked up in a
table of lines that were read (and checked) before. That costs a third of llhttp's callbacks.

What is read here is read as llhttp reads it, or not at all: the answer None means "ask llhttp", and is given for all
that frames a message in another way than by Content-Length, for repeated names, and for each line that is not beyond
doubt. The tables are bounded, since peers choose the lines; lines that hardly ever repeat, or are secret, are not kept.
"""

from __future__ import annotations

import re

from sidecar.codec.headers import RequestHeaders, ResponseHeaders

_MAX_LINES = 1024
_MAX_LINE_BYTES = 200

#: A field line without its line end (RFC 9112 5): a token, a colon, and a value of visible ASCII with blanks around it.
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*((?:[!-~](?:[\t -~]*[!-~])?)?)[ \t]*").fullmatch
_REQUEST_LINE = re.compile(rb"(GET|POST|PUT|DELETE|HEAD|OPTIONS|PATCH) (/[!-\"$-~]*) HTTP/1\.1").fullmatch
#: Final responses that have a body as Content-Length says: not 1xx, 204 and 304.
_STATUS_LINE = re.compile(rb"HTTP/1\.1 (20[0-35-9]|2[1-9]\d|30[0-35-9]|3[1-9]\d|[45]\d\d) [ -~]*").fullmatch

_VISIBLE = bytes(range(0x21, 0x7F))
#: Names whose lines differ in every message, or are secret.
_NOT_KEPT = frozenset(
    (
        b"authorization",
        b"cookie",
        b"etag",
        b"set-cookie",
        b"traceparent",
        b"tracestate",
        b"x-api-key",
        b"x-b3-parentspanid",
        b"x-b3-spanid",
        b"x-b3-traceid",
        b"x-envoy-attempt-count",
        b"x-ot-span-context",
        b"x-request-id",
    )
)
#: Names that change what a message or its connection is.
_REQUEST_FRAMING = frozenset(
    (b"content-length", b"transfer-encoding", b"connection", b"proxy-connection", b"upgrade", b"http2-settings")
)
_RESPONSE_FRAMING = frozenset((b"transfer-encoding", b"connection", b"proxy-connection", b"upgrade"))


class _NotPlain(Exception):
    """A line that llhttp is to read."""


class _FieldLines(dict[bytes, tuple[bytes, bytes]]):
    """Field line → (name in lower case, value without the blanks around it)."""

    def __init__(self, framing: frozenset[bytes]) -> None:
        super().__init__()
        self._framing = framing

    def __missing__(self, line: bytes) -> tuple[bytes, bytes]:
        name, _, value = line.partition(b": ")
        # The usual form of the lines that are new each time. Ids of one piece need no table.
        if name in _NOT_KEPT and (value.isalnum() or (value and not value.translate(None, _VISIBLE))):
            return name, value
        match = _FIELD(line)
        if match is None:
            raise _NotPlain
        name, value = match.groups()
        name = name.lower()
        if name in self._framing and not (name == b"connection" and value.lower() == b"keep-alive"):
            raise _NotPlain
        if name == b"content-length" and not (value.isdigit() and len(value) < 16):
            raise _NotPlain
        field = (name, value)
        if name not in _NOT_KEPT and len(line) <= _MAX_LINE_BYTES:
            if len(self) >= _MAX_LINES:
                self.clear()
            self[line] = field
        return field


class _RequestLines(dict[bytes, tuple[bytes, bytes]]):
    """Request line → (method, path)."""

    def __missing__(self, line: bytes) -> tuple[bytes, bytes]:
        match = _REQUEST_LINE(line)
        if match is None:
            raise _NotPlain
        method, path = match.groups()
        found = (method, path)
        if b"?" not in line and len(line) <= _MAX_LINE_BYTES:
            if len(self) >= _MAX_LINES:
                self.clear()
            self[line] = found
        return found


class _StatusLines(dict[bytes, int]):
    """Status line → code."""

    def __missing__(self, line: bytes) -> int:
        match = _STATUS_LINE(line)
        if match is None:
            raise _NotPlain
        status = int(match[1])
        if len(line) <= _MAX_LINE_BYTES:
            if len(self) >= _MAX_LINES:
                self.clear()
            self[line] = status
        return status


_request_line = _RequestLines().__getitem__
_request_field = _FieldLines(_REQUEST_FRAMING).__getitem__
_status_line = _StatusLines().__getitem__
_response_field = _FieldLines(_RESPONSE_FRAMING).__getitem__


def plain_request(data: bytes, max_headers: int, max_head_bytes: int) -> RequestHeaders | None:
    """`data` as one HTTP/1.1 request without a body, on a connection that persists; None where it is anything else."""
    if data[-4:] != b"\r\n\r\n" or len(data) > max_head_bytes:
        return None
    lines = data.split(b"\r\n")
    # Behind the last line stand two empty strings. An empty line further up is no field line: two requests in one read.
    del lines[-2:]
    try:
        method, path = _request_line(lines[0])
        del lines[0]
        headers = RequestHeaders(method, path)
        headers.update(map(_request_field, lines))
    except _NotPlain:
        return None
    if len(headers) != len(lines) or len(lines) > max_headers:
        return None  # a repeated name, or too many
    authority = headers.pop(b"host", None)
    if authority is None:
        return None
    headers.authority = authority
    return headers


def plain_response(data: bytes, max_headers: int, max_head_bytes: int) -> tuple[ResponseHeaders, bytes] | None:
    """`data` as one whole final response with a Content-Length: its head and body; None where it is anything else."""
    end = data.find(b"\r\n\r\n")
    if not 0 < end <= max_head_bytes:
        return None
    lines = data[:end].split(b"\r\n")
    try:
        headers = ResponseHeaders(_status_line(lines[0]))
        del lines[0]
        headers.update(map(_response_field, lines))
    except _NotPlain:
        return None
    if len(headers) != len(lines) or len(lines) > max_headers:
        return None
    length = headers.get(b"content-length")
    body = data[end + 4 :]
    if length is None or int(length) != len(body):
        return None
    return headers, body
