"""HTTP/1.1 on the wire, outwards: heads, chunks and status lines from header maps."""

from __future__ import annotations

from http import HTTPStatus

from sidecar.codec.headers import Headers, RequestHeaders, ResponseHeaders

LAST_CHUNK = b"0\r\n\r\n"
_CRLF = b"\r\n"
_COLON = b": "
_NUMBERS = tuple(b"%d" % value for value in range(1000))
#: Envoy's phrases are the standard ones; those it does not know read `Unknown`.
_UNKNOWN = frozenset((102, 103, 418, 425, 451))
_STATUS_LINES = {
    int(one): b"HTTP/1.1 %d %b\r\n" % (one, one.phrase.encode()) for one in HTTPStatus if one not in _UNKNOWN
}
_STATUS_LINES[599] = b"HTTP/1.1 599 Last Unassigned Server Error Code\r\n"


def number(value: int) -> bytes:
    """A decimal, from a table where it is small: counts and milliseconds mostly are."""
    return _NUMBERS[value] if 0 <= value < 1000 else b"%d" % value


def encode_request(headers: RequestHeaders) -> bytes:
    """A request head with its empty line; the framing headers are those in `headers`."""
    lines = _CRLF.join(map(_COLON.join, headers.items() if headers.multi is None else headers.lines()))
    end = b"\r\n\r\n" if lines else _CRLF
    host = b" HTTP/1.1\r\nhost: "
    return b"".join((headers.method, b" ", headers.path, host, headers.authority, _CRLF, lines, end))


def encode_response(headers: ResponseHeaders, body: bytes = b"") -> bytes:
    """A response head with its empty line, and what follows it; the framing headers are those in `headers`."""
    lines = _CRLF.join(map(_COLON.join, headers.items() if headers.multi is None else headers.lines()))
    start = _STATUS_LINES.get(headers.status) or status_line(headers.status)
    return b"".join((start, lines, b"\r\n\r\n" if lines else _CRLF, body))


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
