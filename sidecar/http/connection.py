"""One downstream HTTP/1.1 connection: reads requests, answers them in order, and knows when to close."""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic_ns
from typing import TYPE_CHECKING, cast

from sidecar.codec.encode import encode_response
from sidecar.codec.headers import RequestHeaders, ResponseHeaders
from sidecar.codec.http1 import RequestReader
from sidecar.codec.reader import CHUNKED, NO_BODY, MalformedMessage
from sidecar.filters.base import LocalReply
from sidecar.http.stream import Stream
from sidecar.telemetry import response_flags as flag
from sidecar.timers import Deadline
from sidecar.upstream.connection import UpstreamConnection
from sidecar.upstream.relay import ClosingOnce, join
from sidecar.upstream.socket_name import socket_name

if TYPE_CHECKING:
    from sidecar.http.connection_manager import HttpManager

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
#: The bodies of answers to what was no request.
REFUSALS = {
    400: b"Bad Request",
    408: b"Request Timeout",
    426: b"Upgrade Required",
    431: b"Request Header Fields Too Large",
    501: b"Not Implemented",
}


class ServerConnection(RequestReader, asyncio.Protocol):
    """`current` is the stream being served, `_queue` holds pipelined ones behind it, `_reading` the one coming in.

    It lends its deadlines to the stream it serves (`request`, `attempt`, `stream_idle`), see sidecar/timers.py.
    """

    __slots__ = (
        "_broken",
        "_head_deadline",
        "_held",
        "_idle",
        "_queue",
        "_reading",
        "_requests",
        "_upgrade_tail",
        "_working",
        "attempt",
        "closing",
        "current",
        "draining",
        "local_address",
        "manager",
        "original_destination",
        "peer_address",
        "remote_address",
        "request",
        "server_name",
        "stream_idle",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, manager: HttpManager, server_name: str = "") -> None:
        self.manager = manager
        self.server_name = server_name
        self.current: Stream | None = None
        self.draining = False
        self.closing = False
        self.local_address = ""
        self.remote_address = ""
        self.peer_address = ""
        self.original_destination: tuple[str, int] | None = None
        self._broken: MalformedMessage | None = None  # refused once what came before it is answered
        self._queue: deque[Stream] = deque()
        self._reading: Stream | None = None
        self._requests = 0
        self._working = False
        self._held = False
        self._upgrade_tail = b""
        wheel = manager.clusters.wheel
        self.request = wheel.deadline(self._on_request_timeout)
        self.attempt = wheel.deadline(self._on_attempt_timeout)
        self.stream_idle = wheel.deadline(self._on_stream_idle)
        self._idle = wheel.deadline(self._on_idle)
        self._head_deadline: Deadline | None = None
        config = manager.config
        self.init_reader(config.max_request_headers_bytes, config.max_headers_count)

    # ---- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by type
        peer = transport.get_extra_info("peername")
        self.remote_address = socket_name(peer)
        self.peer_address = peer[0] if isinstance(peer, tuple) else ""
        local = transport.get_extra_info("sockname")
        if self.original_destination is None and isinstance(local, tuple):
            self.original_destination = (local[0], local[1])
        # As in Envoy, the local address of a redirected connection is where it was going.
        self.local_address = socket_name(self.original_destination or local)
        self.manager.opened(self)
        self._watch_idle()

    def connection_lost(self, error: Exception | None) -> None:
        self.closing = True
        self.parser = None
        if self._head_deadline is not None:
            self._head_deadline.drop()
        current, self.current = self.current, None
        if current is not None:
            self.manager.stats.cx_destroy_remote_active_rq.value += 1
            current.client_gone()
        for stream in self._queue:
            stream.client_gone()
        self._queue.clear()
        for deadline in (self.request, self.attempt, self.stream_idle, self._idle):
            deadline.drop()
        self.manager.closed(self)

    def eof_received(self) -> bool:
        # As Envoy: who closes for writing before its answer is there is gone.
        return False

    def pause_writing(self) -> None:
        upstream = self.current.upstream if self.current is not None else None
        if upstream is not None:
            upstream.transport.pause_reading()

    def resume_writing(self) -> None:
        upstream = self.current.upstream if self.current is not None else None
        if upstream is not None:
            upstream.transport.resume_reading()

    # ---- the reader's calls

    def whole_request(self, headers: RequestHeaders) -> None:
        # The usual case from end to end, so everything is written out: see request_head, on_message_complete and fed.
        self._idle.at_ns = 0
        stream = Stream(self, headers)
        self._requests += 1
        manager = self.manager
        manager.rq_total.value += 1
        manager.rq_active.value += 1
        if self.current is not None:
            self._queue.append(stream)
            self.work()
            return
        self.current = stream
        stream.started = True
        self._working = True
        try:
            manager.serve(stream)
        finally:
            self._working = False

    def request_head(self, headers: RequestHeaders) -> None:
        self._idle.at_ns = 0
        stream = Stream(self, headers)
        stream.http_10 = self.http_10
        stream.close = not self.keep_alive
        stream.upgrading = self.is_upgrade
        stream.request_complete = self.framing == NO_BODY
        stream.chunked = self.framing == CHUNKED
        self._reading = stream
        self._requests += 1
        self.manager.rq_total.value += 1
        self.manager.rq_active.value += 1
        if self.current is None:
            self.current = stream
        else:
            self._queue.append(stream)

    def on_body(self, data: bytes) -> None:
        """llhttp: a piece of the body."""
        self.body_bytes += len(data)
        self._reading.request_data(data)  # type: ignore[union-attr]

    def on_message_complete(self) -> None:
        """llhttp: the request is whole."""
        stream = self._reading
        self._reading = None
        stream.request_complete = True  # type: ignore[union-attr]
        stream.request_trailers = self.end_request()  # type: ignore[union-attr]

    def upgraded(self, rest: bytes) -> None:
        """llhttp stops after a request to upgrade: what follows is the tunnel's, should there be one."""
        self._upgrade_tail = rest

    def fed(self) -> None:
        stream = self.current
        if stream is not None:
            if stream.started or self._queue:
                self.work()
                return
            stream.started = True
            self._working = True
            try:
                self.manager.serve(stream)
            finally:
                self._working = False
        elif self.headers is not None:
            self._watch_head()

    def refused(self, error: MalformedMessage) -> None:
        self.manager.stats.cx_protocol_error.value += 1
        if error.status == 431:
            self.manager.stats.rq_too_large.value += 1
        self.parser = None
        reading = self._reading
        if self.current is not None and self.current is not reading:
            if reading is not None:
                self._reading = None
                self._queue.pop()  # it came last
                self.manager.stats.rq_active.value -= 1
            self._broken = error
            self.hold(True)
            self.work()
            return
        if reading is not None:
            reading.stop_waiting()
            reading.close = True
            body = REFUSALS.get(error.status, b"Bad Request")
            reading.reply(LocalReply(error.status, body, error.details, flag.DOWNSTREAM_PROTOCOL_ERROR))
            return
        self._refuse_and_close(error)

    def _refuse_and_close(self, error: MalformedMessage) -> None:
        self.manager.refuse(self, error, REFUSALS.get(error.status, b"Bad Request"))
        self.current = None
        self.finish_closing()

    # ---- serving

    def work(self) -> None:
        """Serve what can be served: the current stream, and those behind it that can be answered at once."""
        if self._working:
            return
        self._working = True
        try:
            stream = self.current
            while stream is not None:
                if not stream.started:
                    stream.started = True
                    self.manager.serve(stream)
                elif stream.routed:
                    stream.request_progress()
                if self.current is stream:
                    break
                stream = self.current
        finally:
            self._working = False
        if self._queue and not self._held:
            self.hold(True)

    def ended(self, stream: Stream, abort: bool) -> None:
        """The stream's response is out."""
        self.stream_idle.at_ns = 0
        if abort:
            self.closing = True
            self.current = None
            self.transport.abort()
            return
        if stream.close:
            self.current = None
            self.manager.stats.rq_active.value -= len(self._queue)  # pipelined behind the last answer: never served
            self._queue.clear()
            self.finish_closing()
            return
        if self._queue:
            self.current = self._queue.popleft()
            if not self._working:
                self.work()
            return
        self.current = None
        if self._held:
            if self._broken is not None:
                self._refuse_and_close(self._broken)
                return
            self.hold(False)
        if self.draining:
            self.finish_closing()
            return
        idle_ns = self.manager.idle_ns
        if idle_ns:
            idle = self._idle
            idle.at_ns = stream.info.end_ns + idle_ns
            if not idle.armed_tick:
                idle.set(idle.at_ns)

    def finish_closing(self) -> None:
        """Close so that the answer arrives: a client that is still sending gets time to read it (delayed close)."""
        if self.closing:
            return
        self.closing = True
        busy = self._reading is not None or self.parser is None
        self.parser = None
        delay_ms = self.manager.config.delayed_close_timeout_ms
        if busy and delay_ms and self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()
            self.manager.clusters.wheel.call_after(delay_ms, self.transport.close)
        else:
            self.transport.close()

    def hold(self, hold: bool) -> None:
        """Stop or go on reading from the client."""
        if hold == self._held or self.transport.is_closing():
            return
        if not hold and (self._queue or self._broken is not None):
            return
        self._held = hold
        if hold:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def drain(self) -> None:
        """Close after the present request, or now."""
        self.draining = True
        if self.current is None and not self.closing:
            self.manager.stats.cx_drain_close.value += 1
            self.finish_closing()

    @property
    def last_request(self) -> bool:
        """Whether max_requests_per_connection is reached."""
        limit = self.manager.config.max_requests_per_connection
        return limit is not None and self._requests >= limit

    def send_continue(self) -> None:
        """100 Continue, where the proxy itself gives it."""
        self.transport.write(_CONTINUE)

    def send_refusal(self, headers: ResponseHeaders, body: bytes) -> None:
        """The answer to something that was no request."""
        self.transport.write(encode_response(headers, body))

    def tunnel(self, stream: Stream, upstream: UpstreamConnection, head: bytes, rest: bytes) -> None:
        """After 101: bytes go both ways until either side closes; then the request ends."""
        self.parser = None
        self.closing = True
        self.current = None
        self.manager.stats.cx_upgrades_total.value += 1
        for deadline in (self.request, self.attempt, self.stream_idle, self._idle):
            deadline.drop()

        def closed(by_downstream: bool, error: Exception | None) -> None:
            info = stream.info
            info.bytes_received += counter.received
            info.bytes_sent += counter.sent
            info.end_ns = monotonic_ns()
            if by_downstream:
                info.response_flags |= flag.DOWNSTREAM_CONNECTION_TERMINATION
                info.response_code_details = "downstream_remote_disconnect"
            stream.finished = True
            stream.routing_ended()
            self.manager.ended(stream)
            self.manager.closed(self)

        counter = ClosingOnce(closed)
        self.transport.write(head + rest)
        counter.sent += len(rest)
        tail, self._upgrade_tail = self._upgrade_tail, b""
        if tail:
            upstream.transport.write(tail)
            counter.received += len(tail)
        join(counter, self.transport, upstream.transport)

    # ---- deadlines

    def _watch_idle(self) -> None:
        if self.manager.idle_ns:
            self._idle.set(monotonic_ns() + self.manager.idle_ns)

    def _watch_head(self) -> None:
        timeout_ms = self.manager.config.request_headers_timeout_ms
        if timeout_ms and self._head_deadline is None:
            self._head_deadline = self.manager.clusters.wheel.deadline(self._on_head_timeout)
        if self._head_deadline is not None and timeout_ms and not self._head_deadline.at_ns:
            self._head_deadline.after(timeout_ms)

    def _on_head_timeout(self) -> None:
        if self.headers is not None and not self.in_body and not self.closing:
            self.manager.stats.rq_header_timeout.value += 1
            self.refused(MalformedMessage("the head took too long", 408, "request_header_timeout"))

    def _on_request_timeout(self) -> None:
        if self.current is not None:
            self.current.on_request_timeout()

    def _on_attempt_timeout(self) -> None:
        if self.current is not None:
            self.current.on_attempt_timeout()

    def _on_stream_idle(self) -> None:
        if self.current is not None:
            self.current.on_idle()

    def _on_idle(self) -> None:
        if self.current is None and not self.closing:
            self.manager.stats.cx_idle_timeout.value += 1
            self.finish_closing()
