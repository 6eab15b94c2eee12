"""A resolver that answers what it is told to, over UDP and TCP on one port, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterable

import dns.flags
import dns.message
import dns.rrset

Replies = Iterable[bytes]


def answering(message: dns.message.Message, address: str = "192.0.2.1") -> bytes:
    """The ordinary answer."""
    reply = dns.message.make_response(message)
    if message.question[0].rdtype == 1:
        reply.answer.append(dns.rrset.from_text(message.question[0].name, 60, "IN", "A", address))
    return reply.to_wire()


def truncating(message: dns.message.Message) -> bytes:
    """Too much to say."""
    reply = dns.message.make_response(message)
    reply.flags |= dns.flags.TC
    return reply.to_wire()


class FakeResolver:
    """`over_udp`, `over_tcp`: from a query to the datagrams (or messages) that follow; none is silence."""

    def __init__(self) -> None:
        self.over_udp: Callable[[dns.message.Message], Replies] = lambda message: [answering(message)]
        self.over_tcp: Callable[[dns.message.Message], Replies] = self.over_udp
        self.asked: list[tuple[str, bytes]] = []  # protocol, message
        self.senders: list[tuple[str, int]] = []
        self.address = ("127.0.0.1", 0)

    async def __aenter__(self) -> FakeResolver:
        loop = asyncio.get_running_loop()
        self._tcp = await asyncio.start_server(self._connected, *self.address)
        self.address = self._tcp.sockets[0].getsockname()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(self), local_addr=self.address)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._udp.close()
        self._tcp.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        message = await reader.readexactly(length)
        self.asked.append(("tcp", message))
        for reply in self.over_tcp(dns.message.from_wire(message)):
            writer.write(struct.pack("!H", len(reply)) + reply)
        writer.close()


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, resolver: FakeResolver) -> None:
        self._resolver = resolver

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._resolver.asked.append(("udp", data))
        self._resolver.senders.append(addr)
        for reply in self._resolver.over_udp(dns.message.from_wire(data)):
            self._transport.sendto(reply, addr)  # type: ignore[attr-defined]
