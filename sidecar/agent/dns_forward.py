"""Asks the upstream resolvers what the table does not know. The message goes on as it came, but for its id.

Every question has a socket of its own, connected to the resolver: the kernel gives it a random port and lets in only
what comes from there. With a random id and the question compared, that is as much as plain DNS can do against
forged answers (RFC 5452).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import struct
from collections.abc import Sequence

from sidecar.agent.dns_message import Query, is_poor, is_reply_to, with_id

log = logging.getLogger(__name__)

Upstream = tuple[str, int]

#: All tries together; clients give up after 5 s and shall hear of the failure before.
TOTAL_S = 4.5
#: How often each resolver is asked over UDP.
ROUNDS = 2
#: Questions on their way at once. Each takes a socket.
IN_FLIGHT_LIMIT = 256


class Overloaded(Exception):
    """IN_FLIGHT_LIMIT questions are on their way."""


class Forwarder:
    """`upstreams`: resolvers in order of preference; none means that nothing can be forwarded."""

    def __init__(self, upstreams: Sequence[Upstream], total_s: float = TOTAL_S, limit: int = IN_FLIGHT_LIMIT) -> None:
        self._upstreams = tuple(upstreams)
        self._total_s = total_s
        self.limit = limit
        self.in_flight = 0

    async def ask(self, query: Query, message: bytes, tcp: bool) -> bytes | None:
        """The answer under the query's own id, None when no resolver gave one in time. Raises Overloaded."""
        if self.in_flight >= self.limit:
            raise Overloaded
        self.in_flight += 1
        try:
            reply = await (self._over_tcp if tcp else self._over_udp)(query, message)
        finally:
            self.in_flight -= 1
        return with_id(reply, query.id) if reply is not None else None

    async def _over_udp(self, query: Query, message: bytes) -> bytes | None:
        """Each resolver in turn, twice. One that cannot say is passed over when another can."""
        tries = ROUNDS * len(self._upstreams)
        poor: bytes | None = None
        for number in range(tries):
            upstream = self._upstreams[number % len(self._upstreams)]
            try:
                async with asyncio.timeout(self._total_s / tries):
                    reply = await exchange_udp(upstream, query, message)
            except TimeoutError:
                continue
            except OSError as error:
                log.debug("resolver %s:%d over UDP: %s", *upstream, error)
                continue
            if not is_poor(reply):
                return reply
            poor = reply
            if number + 1 >= len(self._upstreams):
                break
        return poor

    async def _over_tcp(self, query: Query, message: bytes) -> bytes | None:
        """Who asks over TCP is asked for over TCP: the answer was too large, or is a transfer."""
        for upstream in self._upstreams:
            try:
                async with asyncio.timeout(self._total_s / len(self._upstreams)):
                    return await exchange_tcp(upstream, query, message)
            except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
                log.debug("resolver %s:%d over TCP: %r", *upstream, error)
        return None


class _Exchange(asyncio.DatagramProtocol):
    """Waits for the one answer that fits; what does not fit is passed over."""

    def __init__(self, query: Query, id_: int) -> None:
        self._query = query
        self._id = id_
        self.reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self.reply.done() and is_reply_to(self._query, self._id, data):
            self.reply.set_result(data)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there: no need to wait."""
        if not self.reply.done():
            self.reply.set_exception(exc)


async def exchange_udp(upstream: Upstream, query: Query, message: bytes) -> bytes:
    """One question to one resolver. Raises OSError; waits for ever, so give it a timeout."""
    id_ = secrets.randbits(16)
    transport, exchange = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Exchange(query, id_), remote_addr=upstream
    )
    try:
        transport.sendto(with_id(message, id_))
        return await exchange.reply
    finally:
        transport.close()


async def exchange_tcp(upstream: Upstream, query: Query, message: bytes) -> bytes:
    """As `exchange_udp`, over a connection of its own. Raises IncompleteReadError when the resolver hangs up."""
    id_ = secrets.randbits(16)
    reader, writer = await asyncio.open_connection(*upstream)
    try:
        writer.write(struct.pack("!H", len(message)) + with_id(message, id_))
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        reply = await reader.readexactly(length)
    finally:
        writer.close()
    if not is_reply_to(query, id_, reply):
        raise ConnectionError("the answer is to another question")
    return reply
