"""Tells from its first bytes whether a plain connection speaks HTTP, and which. Pure."""

from __future__ import annotations

_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH")
_MAX_LINE_BYTES = 8 * 1024


def inspect(data: bytes) -> str | None:
    """"http/1.0", "http/1.1", "h2c", or "" for anything else; None while more bytes are needed to tell."""
    if data.startswith(_HTTP2_PREFACE):
        return "h2c"
    if _HTTP2_PREFACE.startswith(data):
        return None
    line, end, _ = data.partition(b"\r\n")
    method = line.partition(b" ")[0]
    if not any(one.startswith(method) if len(method) == len(line) else one == method for one in _METHODS):
        return ""
    if not end:
        return None if len(data) < _MAX_LINE_BYTES else ""
    version = line.rpartition(b" ")[2]
    return {b"HTTP/1.1": "http/1.1", b"HTTP/1.0": "http/1.0"}.get(version, "")
