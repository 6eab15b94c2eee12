"""The pod's DNS server: names of the mesh from the control plane's table, everything else from the pod's resolvers.

The app's queries to port 53 are redirected here (UDP and TCP); those of the proxy's own user are not, so what is
forwarded reaches the resolvers. Before the first table everything is forwarded, and the last good table stays in
force while the control plane is away. Source of the behaviour: Istio's pkg/dns/client.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import struct
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from sidecar.agent.dns_forward import Forwarder, Overloaded, Upstream
from sidecar.agent.dns_message import TCP_BYTES, TYPE_A, Malformed, Query, address_answer, failure, parse_query
from sidecar.agent.dns_names import NameIndex
from sidecar.config.names import NameTable

log = logging.getLogger(__name__)

#: Where the app's queries are redirected to.
DNS_PORT = 15053
#: A query is a name and perhaps a signature; more is not one.
QUERY_BYTES = 4096
TCP_CONNECTIONS_LIMIT = 64
#: A connection that asks nothing, or does not take its answer, for so long is closed.
TCP_IDLE_S = 10.0


@dataclass(slots=True)
class DnsCounts:
    """What the server did since it was made: queries that came; of these answered from the table, sent on, and
    answered with SERVFAIL of our own. `malformed`: messages that were dropped, not among the queries."""

    queries: int = 0
    answered: int = 0
    forwarded: int = 0
    failures: int = 0
    malformed: int = 0


class NameServer:
    """`listen`: where to serve UDP and TCP; `upstreams`: resolvers for all other names, in order of preference.

    `search`: the pod's first search domain, "" for none. `randomness` turns the order of several addresses.
    """

    def __init__(
        self,
        listen: tuple[str, int],
        upstreams: Sequence[Upstream],
        *,
        search: str = "",
        forwarder: Forwarder | None = None,
        randomness: random.Random | None = None,
    ) -> None:
        self.address = listen
        self.counts = DnsCounts()
        self._search = search
        self._forwarder = forwarder or Forwarder(upstreams)
        self._random = randomness or random.Random()
        self._index: NameIndex | None = None
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = 0

    @property
    def has_table(self) -> bool:
        """Whether the control plane has told of names yet."""
        return self._index is not None

    def replace(self, table: NameTable) -> None:
        """Answer from this table from now on."""
        self._index = NameIndex(table, self._search)

    async def start(self) -> None:
        """Listen. Raises OSError that says where it can not; `address` then has the port where 0 was asked for."""
        host, port = self.address
        loop = asyncio.get_running_loop()
        try:
            self._tcp = await asyncio.start_server(self._connected, host, port)
            port = self._tcp.sockets[0].getsockname()[1]
            self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), local_addr=(host, port))
        except OSError as error:
            await self.stop()
            raise OSError(error.errno, f"the DNS server can not listen on {host}:{port}: {error.strerror}") from error
        self.address = (host, port)
        log.info("DNS on %s:%d", host, port)

    async def stop(self) -> None:
        """Stop listening and drop what is on its way."""
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._udp = self._tcp = None

    def answer(self, query: Query, limit: int) -> bytes | None:
        """The answer from the table in at most `limit` bytes; None when the name or the type is not ours."""
        if self._index is None or not query.asks_addresses:
            return None
        found = self._index.find(query.name)
        if found is None:
            return None
        self.counts.answered += 1
        addresses = found.addresses.v4 if query.type == TYPE_A else found.addresses.v6
        first = self._random.randrange(len(addresses)) if len(addresses) > 1 else 0
        return address_answer(query, addresses[first:] + addresses[:first], found.alias_of, limit)

    async def forward(self, query: Query, message: bytes, tcp: bool) -> bytes:
        """A resolver's answer, or SERVFAIL."""
        try:
            reply = await self._forwarder.ask(query, message, tcp)
            self.counts.forwarded += 1
        except Overloaded:
            reply = None
        if reply is None:
            self.counts.failures += 1
            return failure(query)
        return reply

    def parse(self, message: bytes) -> Query | None:
        """The query in a message; None, and counted, when it is none."""
        try:
            if len(message) > QUERY_BYTES:
                raise Malformed(f"longer than {QUERY_BYTES} bytes")
            query = parse_query(message)
        except Malformed as error:
            self.counts.malformed += 1
            log.debug("a DNS message was dropped: %s", error)
            return None
        self.counts.queries += 1
        return query

    def receive(self, message: bytes, sender: tuple[str, int]) -> None:
        """A datagram."""
        query = self.parse(message)
        if query is None:
            return
        reply = self.answer(query, query.payload_bytes)
        if reply is not None:
            self._send(reply, sender)
        elif len(self._tasks) >= self._forwarder.limit + TCP_CONNECTIONS_LIMIT:
            # Not even a task for it: a flood costs an answer each, and no memory.
            self.counts.failures += 1
            self._send(failure(query), sender)
        else:
            self._spawn(self._forward_datagram(query, message, sender))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward_datagram(self, query: Query, message: bytes, sender: tuple[str, int]) -> None:
        self._send(await self.forward(query, message, tcp=False), sender)

    def _send(self, reply: bytes, receiver: tuple[str, int]) -> None:
        if self._udp is not None and not self._udp.is_closing():
            self._udp.sendto(reply, receiver)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._connections >= TCP_CONNECTIONS_LIMIT:
            writer.close()
        else:
            self._connections += 1
            self._spawn(self._serve_connection(reader, writer))

    async def _serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Queries of one TCP connection, one after the other (RFC 7766), until it idles or sends nonsense."""
        try:
            while await self._serve_query(reader, writer):
                pass
        except (TimeoutError, asyncio.IncompleteReadError, OSError):
            pass  # idle, or gone
        finally:
            self._connections -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _serve_query(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One query; whether the connection may go on."""
        async with asyncio.timeout(TCP_IDLE_S):
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            message = await reader.readexactly(min(length, QUERY_BYTES + 1))
        query = self.parse(message)
        if query is None:
            return False
        reply = self.answer(query, TCP_BYTES)
        if reply is None:
            reply = await self.forward(query, message, tcp=True)
        async with asyncio.timeout(TCP_IDLE_S):
            writer.write(struct.pack("!H", len(reply)) + reply)
            await writer.drain()
        return True


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.receive(data, addr)
