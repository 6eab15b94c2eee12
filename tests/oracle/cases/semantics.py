"""HTTP itself through the mesh's own configuration: framing, methods without bodies, upgrades, old clients."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from tests.oracle.cases.changing import rule
from tests.oracle.client import Answer
from tests.oracle.play import Player, comparable
from tests.oracle.table import SUBSETS, V1, Case, ask, echo_of

PLAIN = SUBSETS + rule(V1)
LARGE = bytes(range(256)) * (5 * 4096)
TRAILERS = "RFC 9110 section 6.5 lets a proxy forward or drop trailers: Envoy drops them, the Python proxy does not"
CHUNKED = {"transfer-encoding": "chunked"}


def url(path: str = "/") -> str:
    return f"http://app:9000{path}"


async def large_both_ways(player: Player) -> list[Any]:
    """5 MiB up with a length, 5 MiB down with one, and both chunked."""
    connection = await player.connect()
    out: list[Any] = []
    up = await player.send(ask(method="PUT", body=LARGE, by="v1"), connection)
    assert (echo_of(up) or {})["body"] == [len(LARGE), hashlib.sha256(LARGE).hexdigest()]
    down = await player.send(ask(do=f"size={5 << 20}"), connection)
    assert len(down.body) == 5 << 20
    chunked = await player.send(ask(do=f"size={5 << 20} chunked"), connection)
    assert len(chunked.body) == 5 << 20
    framed = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in (LARGE[:3_000_000], LARGE[3_000_000:])) + b"0\r\n\r\n"
    sent = await player.send(ask(method="POST", body=framed, h=CHUNKED), connection)
    assert (echo_of(sent) or {})["body"] == [len(LARGE), hashlib.sha256(LARGE).hexdigest()]
    out = [comparable(each) for each in (up, down, chunked, sent)]
    connection.close()
    return out


async def pipelined(player: Player) -> list[Any]:
    """Three requests in one write are answered in order."""
    connection = await player.connect()
    for path in ("/1", "/2", "/3"):
        connection.send(ask(path, do="delay=0.1" if path == "/1" else "").head(player.agent(), "sidecar"))
    found = [await connection.answer() for _ in range(3)]
    connection.close()
    lines = [(echo_of(each) or {})["line"] for each in found]
    assert lines == [f"GET /{n} HTTP/1.1" for n in (1, 2, 3)]
    return [comparable(each) for each in found]


async def websocket(player: Player) -> list[Any]:
    """The tunnel carries bytes both ways until one side ends it."""
    connection = await player.connect()
    upgrade = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-key": "abc"}
    answer = await player.send(ask("/ws", do="ws", h=upgrade), connection)
    got = await connection.reader.readexactly(2)
    connection.send(b"one")
    got += await connection.reader.readexactly(8)
    connection.send(b"two")
    got += await connection.reader.readexactly(8)
    assert got == b"hiecho:oneecho:two"
    connection.close()
    return [answer.status, comparable(answer)]


def upgrade_refused(do: str) -> Any:
    """A probe: a backend that does not upgrade answers as to any request."""

    async def probe(player: Player) -> list[Any]:
        connection = await player.connect()
        answer = await player.send(ask("/ws", do=do, h={"connection": "Upgrade", "upgrade": "websocket"}), connection)
        connection.close()
        return [comparable(answer)]

    return probe


async def continued(player: Player) -> list[Any]:
    """100 comes through the proxy before the body goes up."""
    connection = await player.connect()
    one = ask(method="POST", h={"expect": "100-continue", "content-length": "5"})
    connection.send(one.head(player.agent(), "sidecar"))
    line = await asyncio.wait_for(connection.reader.readuntil(b"\r\n\r\n"), 3)
    connection.send(b"hello")
    answer = await connection.answer("POST")
    connection.close()
    assert (echo_of(answer) or {})["body"] == "hello"
    return [line, comparable(answer)]


async def http_10(player: Player) -> list[Any]:
    """What a client of 1996 gets, and whether the connection stays."""
    connection = await player.connect()
    answer = await player.send(ask(protocol="HTTP/1.0"), connection)
    return [comparable(answer), await connection.ended()]


async def closing(player: Player) -> list[Any]:
    connection = await player.connect()
    answer = await player.send(ask(h={"connection": "close"}), connection)
    return [comparable(answer), await connection.ended()]


async def streamed(player: Player) -> list[Any]:
    """The first bytes come before the last are there."""
    connection = await player.connect()
    connection.send(ask(do="slow=0.4").head(player.agent(), "sidecar"))
    await connection.reader.readuntil(b"\r\n\r\n")
    first = await asyncio.wait_for(connection.reader.readexactly(10), 0.3)
    connection.close()
    return [first]


async def upload_streams(player: Player) -> list[Any]:
    """A chunked body whose end comes late."""
    connection = await player.connect()
    connection.send(ask(method="POST", h=CHUNKED).head(player.agent(), "sidecar") + b"3\r\nabc\r\n")
    await asyncio.sleep(0.2)
    reached = len(player.hits())
    connection.send(b"4\r\ndefg\r\n0\r\n\r\n")
    answer: Answer = await connection.answer("POST")
    connection.close()
    return [reached, comparable(answer)]


async def half_answer(player: Player) -> list[Any]:
    """A body that ends early ends the client's connection, whatever its framing."""
    out: list[Any] = []
    for do in ("half", "half chunked"):
        connection = await player.connect()
        answer = await player.send(ask(do=do), connection)
        out.append((answer.status, answer.cut, await connection.ended()))
    assert out == [(200, True, True)] * 2, out
    return out


async def origin_form(player: Player) -> list[Any]:
    """A client that speaks to the sidecar as to a server."""
    connection = await player.connect()
    agent = player.agent()
    connection.send(f"GET /o HTTP/1.1\r\nhost: app:9000\r\nuser-agent: {agent}\r\n\r\n".encode())
    answer = await connection.answer()
    connection.close()
    return [comparable(answer)]


async def other_host(player: Player) -> list[Any]:
    """The target's authority counts, not the Host header (RFC 9112 section 3.2.2)."""
    connection = await player.connect()
    connection.send(f"GET {url('/x')} HTTP/1.1\r\nhost: nobody\r\nuser-agent: {player.agent()}\r\n\r\n".encode())
    answer = await connection.answer()
    connection.close()
    return [comparable(answer)]


async def gone_client(player: Player) -> list[Any]:
    """A client that leaves is logged, and its request abandoned."""
    connection = await player.connect()
    connection.send(ask(do="delay=0.5").head(player.agent(), "sidecar"))
    await asyncio.sleep(0.1)
    connection.close()
    await asyncio.sleep(0.1)
    return [len(player.hits())]


CASES = (
    Case("head", PLAIN, (ask(method="HEAD"), ask(method="HEAD", do="status=404", status=404))),
    Case("no-content", PLAIN, (ask(do="status=204", status=204), ask(do="status=304", status=304),
                              ask(do="status=205", status=205))),
    Case("odd-statuses", PLAIN,
         tuple(ask(do=f"status={n}", status=n) for n in (201, 206, 299, 302, 400, 426, 451, 599))),
    Case("methods", PLAIN, tuple(ask(method=m, body=b) for m, b in (
        ("GET", b""), ("POST", b"x=1"), ("PUT", b"y"), ("DELETE", b""), ("PATCH", b"{}"), ("OPTIONS", b""),
        ("TRACE", b"")))),
    Case("chunked-request", PLAIN, (ask(method="POST", h=CHUNKED, body=b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"),)),
    Case("chunked-answer", PLAIN, (ask(do="chunked"),)),
    Case("answer-until-close", PLAIN, (ask(do="until-close"),)),
    Case("trailers-of-answer", PLAIN, (ask(do="trailers", h={"te": "trailers"}),),
         excused={"answers": TRAILERS}),
    Case("trailers-of-request", PLAIN,
         (ask(method="POST", h={**CHUNKED, "trailer": "x-t"}, body=b"3\r\nabc\r\n0\r\nx-t: end\r\n\r\n"),),
         excused={"answers": TRAILERS, "log": TRAILERS}),
    Case("early-hints", PLAIN, (ask(do="early"),)),
    Case("large-bodies", PLAIN, probe=large_both_ways),
    Case("pipelining", PLAIN, probe=pipelined),
    Case("websocket", PLAIN, probe=websocket),
    Case("websocket-refused", PLAIN, probe=upgrade_refused("status=403")),
    Case("websocket-ignored", PLAIN, probe=upgrade_refused("status=200"),
         excused={"answers": "Envoy keeps back the body of a 200 to an upgrade; the Python proxy passes it on"}),
    Case("continue", PLAIN, probe=continued),
    Case("http-1.0", PLAIN, probe=http_10),
    Case("connection-close", PLAIN, probe=closing),
    Case("streamed-answer", PLAIN, probe=streamed),
    Case("streamed-request", PLAIN, probe=upload_streams),
    Case("half-answers", PLAIN, probe=half_answer),
    Case("origin-form", PLAIN, probe=origin_form),
    Case("other-host", PLAIN, probe=other_host),
    Case("client-leaves", PLAIN, probe=gone_client),
    Case("many-set-cookies", PLAIN, (ask(do="add-set-cookie=a=1 add-Set-Cookie=b=2 add-SET-COOKIE=c"),)),
    Case("hop-by-hop", PLAIN, (ask(h={"connection": "x-hop, keep-alive", "x-hop": "1", "keep-alive": "timeout=5",
                                      "proxy-connection": "keep-alive"}, do="add-keep-alive=timeout=9"),)),
    Case("clients-forwarding-headers", PLAIN, (ask(h={"x-forwarded-for": "1.2.3.4", "x-forwarded-proto": "https",
                                                      "x-request-id": "given-by-the-client", "via": "1.1 x"}),)),
    Case("istios-headers-of-client", PLAIN, (ask(h={"x-envoy-decorator-operation": "x", "x-envoy-attempt-count": "7",
                                                    "x-envoy-internal": "true", "x-b3-traceid": "1",
                                                    "traceparent": "x"}),)),
    Case("backends-own-headers", PLAIN, (ask(do="add-server=mine add-x-envoy-upstream-service-time=5 add-date=never"
                                             " add-x-envoy-overloaded=true"),)),
)  # fmt: skip
