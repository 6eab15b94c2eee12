"""One HTTP/1.1 connection to an upstream host: carries one request at a time and lives in its host's pool.

A response is handed on once per read, not per callback: a response that came in one read is one call with head, body
and end together, and becomes one write downstream.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, cast

from sidecar.codec.headers import Headers, ResponseHeaders
from sidecar.codec.http1 import ResponseReader
from sidecar.codec.plain_heads import plain_response
from sidecar.codec.reader import UNTIL_CLOSE, MalformedMessage
from sidecar.upstream.socket_name import socket_name

if TYPE_CHECKING:
    from sidecar.upstream.pool import HostPool

#: Why an upstream request ended without its response; the index into RESET_REASONS.
CONNECT_FAILURE, CONNECTION_TERMINATION, OVERFLOW, PROTOCOL_ERROR, CONNECT_TIMEOUT, LOCAL_RESET = range(6)

#: Envoy's wording (StreamResetReason), part of the body of local replies.
RESET_REASONS = (
    "remote connection failure",
    "connection termination",
    "overflow",
    "protocol error",
    "connection timeout",
    "local reset",
)


class UpstreamHandler(Protocol):
    """The router's side of one upstream request."""

    upstream: UpstreamConnection | None
    upstream_sent: bool  # the whole request is written

    def on_upstream_ready(self, connection: UpstreamConnection) -> None:
        """A connection for the request that waited: write it."""

    def on_upstream_informational(self, headers: ResponseHeaders) -> None:
        """A 1xx response other than 101."""

    def on_upstream_response(
        self, headers: ResponseHeaders, body: bytes, end: bool, trailers: Headers | None
    ) -> None:
        """The final response's head, with as much of the body as came with it."""

    def on_upstream_data(self, body: bytes, end: bool, trailers: Headers | None) -> None:
        """More body, or the end."""

    def on_upstream_upgrade(self, headers: ResponseHeaders, connection: UpstreamConnection, rest: bytes) -> None:
        """101: the connection is the handler's now."""

    def on_upstream_reset(self, reason: int, detail: str, reused: bool) -> None:
        """No (further) response comes. `reused`: the connection had served before and not answered a byte now."""

    def on_upstream_pressure(self, blocked: bool) -> None:
        """The connection's write buffer is full (or has room again)."""


class UpstreamConnection(ResponseReader, asyncio.Protocol):
    """See the module. The pool sets `stream` before the request is written."""

    __slots__ = (
        "_chunks",
        "_complete",
        "_final",
        "_informational",
        "_trailers",
        "dead",
        "drained",
        "heard",
        "idle_passes",
        "local_address",
        "opened_ns",
        "pool",
        "requests",
        "stream",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, pool: HostPool) -> None:
        self.pool = pool
        self.stream: UpstreamHandler | None = None
        self.requests = 0
        self.dead = False
        self.drained = False  # to be closed after the request it carries
        self.heard = False  # a byte of the response to the present request has come
        self.idle_passes = 0
        self.opened_ns = 0
        self.local_address = ""
        self._final: ResponseHeaders | None = None
        self._chunks: list[bytes] = []
        self._complete = False
        self._informational = False
        self._trailers: Headers | None = None
        options = pool.cluster.config.http
        self.init_reader(options.max_response_headers_bytes, options.max_headers_count)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by type
        limit = self.pool.cluster.config.buffer_limit_bytes
        self.transport.set_write_buffer_limits(high=limit or 65536)
        self.local_address = socket_name(transport.get_extra_info("sockname"))

    def data_received(self, data: bytes) -> None:
        # As ResponseReader does it, and only where a request waits for its response.
        stream = self.stream
        if stream is not None and self.between and not self.head_only and self.parser is not None:
            whole = plain_response(data, self.max_headers, self.max_head_bytes)
            if whole is not None:
                self.stream = None
                stream.upstream = None
                self.keep_alive = True
                self.pool.done(self, stream.upstream_sent)
                stream.on_upstream_response(whole[0], whole[1], True, None)
                return
        self.feed(data)

    def response_head(self, headers: ResponseHeaders) -> None:
        if self.stream is None or self._complete:
            raise MalformedMessage("a response nobody asked for")
        self._final = headers

    def informational_head(self, headers: ResponseHeaders) -> None:
        stream = self.stream
        if stream is None or self._complete:
            raise MalformedMessage("a response nobody asked for")
        self._informational = True
        if headers.status == 101:
            self._final = headers
        else:
            stream.on_upstream_informational(headers)

    def on_body(self, data: bytes) -> None:
        """llhttp: a piece of the body."""
        if self._complete:
            raise MalformedMessage("a body after the end of the response")
        self.body_bytes += len(data)
        self._chunks.append(data)

    def on_message_complete(self) -> None:
        trailers = self.end_response()
        if self._informational:
            self._informational = False
            return
        self._trailers = trailers
        self._complete = True

    def fed(self) -> None:
        stream = self.stream
        if stream is None:
            if not self.dead:
                self.close()  # bytes without a request
            return
        self.heard = True
        chunks = self._chunks
        if self._complete:
            head = self._final
            trailers = self._trailers
            if not chunks:
                body = b""
            elif len(chunks) == 1:
                body = chunks[0]
                chunks.clear()
            else:
                body = b"".join(chunks)
                chunks.clear()
            self._final = None
            self._complete = False
            self.stream = None
            stream.upstream = None
            self.pool.done(self, stream.upstream_sent)
            if head is not None:
                stream.on_upstream_response(head, body, True, trailers)
            else:
                stream.on_upstream_data(body, True, trailers)
            return
        if self.switching:
            return
        head = self._final
        if head is not None or chunks:
            body = b"".join(chunks)
            chunks.clear()
            self._final = None
            if head is not None:
                stream.on_upstream_response(head, body, False, None)
            else:
                stream.on_upstream_data(body, False, None)

    def upgraded(self, rest: bytes) -> None:
        stream, head = self.stream, self._final
        if stream is None or head is None:
            self.close()
            return
        self.stream = None
        self._final = None
        self.parser = None
        stream.upstream = None
        self.pool.detach(self)
        stream.on_upstream_upgrade(head, self, rest)

    def refused(self, error: MalformedMessage) -> None:
        self.pool.cluster.stats.protocol_error.value += 1
        self._fail(PROTOCOL_ERROR, str(error))
        self.close()

    def eof_received(self) -> bool:
        self._end_of_stream(None)
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._end_of_stream(error)
        if not self.dead:
            self.dead = True
            self.pool.closed(self)

    def _end_of_stream(self, error: Exception | None) -> None:
        stream = self.stream
        if stream is None:
            return
        if self.framing == UNTIL_CLOSE and self.in_body and error is None:
            self.in_body = False
            self.drained = True
            self._complete = True
            self.fed()
            return
        # A response cut short broke the protocol; before it began, the connection simply ended.
        self._fail(PROTOCOL_ERROR if self.in_body else CONNECTION_TERMINATION, str(error or ""))

    def _fail(self, reason: int, detail: str) -> None:
        stream = self.stream
        if stream is None:
            return
        self.stream = None
        stream.upstream = None
        self._final = None
        self._chunks.clear()
        reused = self.requests > 1 and not self.heard
        self.drained = True
        self.pool.done(self, False)
        stream.on_upstream_reset(reason, detail, reused)

    def abandon(self) -> None:
        """The request is given up (timeout, client gone): its answer can only be avoided by closing."""
        self.stream = None
        self.drained = True
        self.pool.done(self, False)

    def close(self) -> None:
        """Leave the pool and close."""
        if not self.dead:
            self.dead = True
            self.pool.closed(self)
        self.parser = None
        self.transport.close()

    def pause_writing(self) -> None:
        if self.stream is not None:
            self.stream.on_upstream_pressure(True)

    def resume_writing(self) -> None:
        if self.stream is not None:
            self.stream.on_upstream_pressure(False)
