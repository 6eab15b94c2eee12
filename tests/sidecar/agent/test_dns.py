"""The DNS server on real sockets, asked by dnspython, in front of resolvers that behave and that do not."""

from __future__ import annotations

import asyncio
import collections
import ipaddress
import random
import socket
import struct
from collections.abc import AsyncIterator, Callable

import dns.asyncquery
import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest

from sidecar.agent import dns as dns_module
from sidecar.agent.dns import NameServer
from sidecar.agent.dns_forward import Forwarder
from sidecar.config.names import HostAddresses, NameTable
from tests.sidecar.agent.fake_resolver import FakeResolver, answering, truncating

LOCAL = ("127.0.0.1", 0)


def host(*texts: str) -> HostAddresses:
    packed = [ipaddress.ip_address(text).packed for text in texts]
    return HostAddresses(tuple(p for p in packed if len(p) == 4), tuple(p for p in packed if len(p) == 16))


TABLE = NameTable(
    {
        "reviews": host("10.0.0.1"),
        "dual.example": host("10.0.0.2", "fd00::2"),
        "many.example": host("10.0.0.3", "10.0.0.4", "10.0.0.5"),
        "*.wild.example": host("10.0.0.6"),
        "huge.example": host(*(f"10.1.{n // 250}.{n % 250}" for n in range(500))),
    }
)


@pytest.fixture
async def resolver() -> AsyncIterator[FakeResolver]:
    async with FakeResolver() as made:
        yield made


@pytest.fixture
async def server(resolver: FakeResolver) -> AsyncIterator[NameServer]:
    made = NameServer(LOCAL, [resolver.address], search="ns.svc.cluster.local")
    await made.start()
    made.replace(TABLE)
    yield made
    await made.stop()


async def ask(
    server: NameServer, name: str, kind: str = "A", *, tcp: bool = False, **more: object
) -> dns.message.Message:
    query = dns.message.make_query(name, kind, **more)  # type: ignore[arg-type]
    return await send(server, query, tcp=tcp)


async def send(server: NameServer, query: dns.message.Message, *, tcp: bool = False) -> dns.message.Message:
    over = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    return await over(query, server.address[0], timeout=8, port=server.address[1])


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5.0):
        while not condition():  # noqa: ASYNC110  what is waited for has no event
            await asyncio.sleep(0.001)


def addresses(reply: dns.message.Message) -> list[str]:
    return [r.address for answer in reply.answer for r in answer if r.rdtype in (1, 28)]


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("reviews.", "A", ["10.0.0.1"]),
        ("REVIEWS", "A", ["10.0.0.1"]),
        ("reviews", "AAAA", []),
        ("dual.example", "AAAA", ["fd00::2"]),
        ("a.b.wild.example", "A", ["10.0.0.6"]),
        ("dual.example.ns.svc.cluster.local", "A", ["10.0.0.2"]),
    ],
)
async def test_names_of_the_table(
    server: NameServer, resolver: FakeResolver, name: str, kind: str, expected: list[str], tcp: bool
) -> None:
    reply = await ask(server, name, kind, tcp=tcp)
    assert (reply.rcode(), addresses(reply)) == (dns.rcode.NOERROR, expected)
    assert resolver.asked == [], "never forwarded"
    assert server.counts == dns_module.DnsCounts(queries=1, answered=1)


async def test_several_addresses_take_turns_at_the_front(server: NameServer) -> None:
    fronts: collections.Counter[str] = collections.Counter()
    for _ in range(60):
        # An A and an AAAA each time, as clients do: their turns must not go in step.
        got = addresses(await ask(server, "many.example"))
        await ask(server, "many.example", "AAAA")
        assert sorted(got) == ["10.0.0.3", "10.0.0.4", "10.0.0.5"]
        fronts[got[0]] += 1
    assert len(fronts) == 3 and min(fronts.values()) >= 5


async def test_what_is_too_much_for_udp_comes_over_tcp(server: NameServer) -> None:
    small = await ask(server, "huge.example")
    assert small.flags & dns.flags.TC and 0 < len(addresses(small)) < 40
    large = await ask(server, "huge.example", use_edns=0, payload=4096)
    assert large.flags & dns.flags.TC and 60 < len(addresses(large)) < 80
    whole = await ask(server, "huge.example", tcp=True)
    assert not whole.flags & dns.flags.TC and len(addresses(whole)) == 500


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
async def test_other_names_and_types_are_forwarded(server: NameServer, resolver: FakeResolver, tcp: bool) -> None:
    assert addresses(await ask(server, "elsewhere.example", tcp=tcp)) == ["192.0.2.1"]
    assert (await ask(server, "reviews", "TXT", tcp=tcp)).answer == []
    assert [protocol for protocol, _ in resolver.asked] == ["tcp" if tcp else "udp"] * 2
    assert server.counts == dns_module.DnsCounts(queries=2, forwarded=2)


async def test_the_message_passes_as_it_came_but_for_the_id(server: NameServer, resolver: FakeResolver) -> None:
    option = dns.edns.GenericOption(65001, b"12345678")
    query = dns.message.make_query("WwW.example", "TYPE65", payload=1400, options=[option], want_dnssec=True)
    reply = await send(server, query)
    ((_, forwarded),) = resolver.asked
    assert forwarded[2:] == query.to_wire()[2:] and reply.id == query.id


async def test_ids_and_ports_can_not_be_guessed(server: NameServer, resolver: FakeResolver) -> None:
    for _ in range(20):
        await ask(server, "elsewhere.example", id=7)
    assert len({message[:2] for _, message in resolver.asked}) > 15
    assert len({port for _, port in resolver.senders}) > 10


async def test_without_a_table_everything_is_forwarded(resolver: FakeResolver) -> None:
    server = NameServer(LOCAL, [resolver.address])
    await server.start()
    assert not server.has_table
    assert addresses(await ask(server, "reviews")) == ["192.0.2.1"]
    server.replace(TABLE)
    assert server.has_table
    assert addresses(await ask(server, "reviews")) == ["10.0.0.1"]
    server.replace(NameTable())
    assert addresses(await ask(server, "reviews")) == ["192.0.2.1"]
    await server.stop()


async def test_forged_answers_are_passed_over(server: NameServer, resolver: FakeResolver) -> None:
    def forge(message: dns.message.Message) -> list[bytes]:
        wrong_id = bytearray(answering(message, "6.6.6.1"))
        wrong_id[0] ^= 1
        other = dns.message.make_query("other.example", "A", id=message.id)
        return [bytes(wrong_id), answering(other, "6.6.6.2"), b"", b"\x00" * 5, message.to_wire(), answering(message)]

    resolver.over_udp = forge
    assert addresses(await ask(server, "elsewhere.example")) == ["192.0.2.1"]


async def test_answers_from_elsewhere_do_not_arrive(server: NameServer, resolver: FakeResolver) -> None:
    forged: list[str] = []

    def from_elsewhere(message: dns.message.Message) -> list[bytes]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.2", 0))
            other.sendto(answering(message, "6.6.6.6"), resolver.senders[-1])
            forged.append("sent")
        return [answering(message)]

    resolver.over_udp = from_elsewhere
    assert addresses(await ask(server, "elsewhere.example")) == ["192.0.2.1"] and forged == ["sent"]


async def test_a_lost_datagram_is_asked_for_again(resolver: FakeResolver) -> None:
    resolver.over_udp = lambda message: [answering(message)] if len(resolver.asked) > 1 else []
    server = NameServer(LOCAL, [], forwarder=Forwarder([resolver.address], total_s=0.4))
    await server.start()
    assert addresses(await ask(server, "elsewhere.example")) == ["192.0.2.1"]
    assert len(resolver.asked) == 2
    await server.stop()


async def test_the_next_resolver_is_asked_when_one_is_silent_or_will_not_say() -> None:
    async with FakeResolver() as silent, FakeResolver() as poor, FakeResolver() as good:
        silent.over_udp = lambda message: []
        refused = dns.message.make_response
        poor.over_udp = lambda message: [_with_rcode(refused(message), dns.rcode.REFUSED)]
        forwarder = Forwarder([silent.address, poor.address, good.address], total_s=1.2)
        server = NameServer(LOCAL, [], forwarder=forwarder)
        await server.start()
        assert addresses(await ask(server, "elsewhere.example")) == ["192.0.2.1"]
        good.over_udp = silent.over_udp
        reply = await ask(server, "elsewhere.example")
        assert reply.rcode() == dns.rcode.REFUSED, "a poor answer is better than none"
        await server.stop()


def _with_rcode(reply: dns.message.Message, rcode: dns.rcode.Rcode) -> bytes:
    reply.set_rcode(rcode)
    return reply.to_wire()


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
async def test_no_answer_in_time_is_a_failure(resolver: FakeResolver, tcp: bool) -> None:
    resolver.over_udp = resolver.over_tcp = lambda message: []
    server = NameServer(LOCAL, [], forwarder=Forwarder([resolver.address], total_s=0.2))
    await server.start()
    assert (await ask(server, "elsewhere.example", tcp=tcp)).rcode() == dns.rcode.SERVFAIL
    assert server.counts.failures == 1
    await server.stop()


async def test_nobody_listening_is_a_failure_at_once(server: NameServer, resolver: FakeResolver) -> None:
    resolver._udp.close()
    resolver._tcp.close()
    await asyncio.sleep(0)
    async with asyncio.timeout(2.0):
        for tcp in (False, True):
            assert (await ask(server, "elsewhere.example", tcp=tcp)).rcode() == dns.rcode.SERVFAIL


async def test_no_resolver_at_all_is_a_failure() -> None:
    server = NameServer(LOCAL, [])
    await server.start()
    assert (await ask(server, "elsewhere.example")).rcode() == dns.rcode.SERVFAIL
    await server.stop()


async def test_a_truncated_answer_passes_and_the_whole_comes_over_tcp(
    server: NameServer, resolver: FakeResolver
) -> None:
    resolver.over_udp = lambda message: [truncating(message)]
    assert (await ask(server, "elsewhere.example")).flags & dns.flags.TC
    assert addresses(await ask(server, "elsewhere.example", tcp=True)) == ["192.0.2.1"]


async def test_questions_on_their_way_are_bounded(resolver: FakeResolver) -> None:
    resolver.over_udp = lambda message: []
    server = NameServer(LOCAL, [], forwarder=Forwarder([resolver.address], total_s=1.0, limit=3))
    server.replace(TABLE)
    await server.start()
    waiting = [asyncio.create_task(ask(server, f"{n}.example")) for n in range(3)]
    await until(lambda: len(resolver.asked) == 3)
    async with asyncio.timeout(0.5):
        assert (await ask(server, "one.more")).rcode() == dns.rcode.SERVFAIL
        assert addresses(await ask(server, "reviews")) == ["10.0.0.1"], "the table answers all the same"
    assert {reply.rcode() for reply in await asyncio.gather(*waiting)} == {dns.rcode.SERVFAIL}
    await server.stop()


async def test_malformed_messages_are_dropped_and_counted(server: NameServer) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        sent = [b"", b"\x00", bytes(12), random.Random(1).randbytes(300), b"\x00\x00\x01\x00\x00\x01" + bytes(5000)]
        for message in sent:
            client.sendto(message, server.address)
    assert addresses(await ask(server, "reviews")) == ["10.0.0.1"]
    assert server.counts == dns_module.DnsCounts(queries=1, answered=1, malformed=len(sent))


async def test_a_connection_may_ask_often_and_ends_with_nonsense(server: NameServer) -> None:
    reader, writer = await asyncio.open_connection(*server.address)
    wires = [dns.message.make_query(name, "A").to_wire() for name in ("reviews", "elsewhere.example", "dual.example")]
    writer.write(b"".join(struct.pack("!H", len(wire)) + wire for wire in wires))
    for wire in wires:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        assert (await reader.readexactly(length))[:2] == wire[:2]
    writer.write(b"\xff\xff" + bytes(65535))
    with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
        await reader.readexactly(1)
    assert server.counts.malformed == 1
    writer.close()


async def test_idle_and_surplus_connections_are_closed(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_module, "TCP_IDLE_S", 0.3)
    monkeypatch.setattr(dns_module, "TCP_CONNECTIONS_LIMIT", 2)
    held = [await asyncio.open_connection(*server.address) for _ in range(2)]
    await until(lambda: server._connections == 2)
    surplus, closing = await asyncio.open_connection(*server.address)
    assert await surplus.read() == b"" and server._connections == 2
    async with asyncio.timeout(2.0):
        for reader, _ in held:
            assert await reader.read() == b""
    for writer in (closing, *(writer for _, writer in held)):
        writer.close()


async def test_a_taken_port_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(LOCAL)
        taken.listen()
        port = taken.getsockname()[1]
        server = NameServer(("127.0.0.1", port), [])
        with pytest.raises(OSError, match=f"the DNS server can not listen on 127.0.0.1:{port}: "):
            await server.start()
        # Nothing stays behind.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            await asyncio.sleep(0)
            free.bind(("127.0.0.1", port))


async def test_stopping_drops_what_is_on_its_way(resolver: FakeResolver) -> None:
    resolver.over_udp = lambda message: []
    server = NameServer(LOCAL, [resolver.address])
    await server.start()
    _, writer = await asyncio.open_connection(*server.address)
    waiting = asyncio.create_task(ask(server, "elsewhere.example"))
    await until(lambda: resolver.asked and server._connections)
    async with asyncio.timeout(1.0):
        await server.stop()
    assert not server._tasks
    waiting.cancel()
    writer.close()
