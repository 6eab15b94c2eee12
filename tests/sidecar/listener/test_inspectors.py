"""The inspectors, on what real clients send, whole and in pieces; and the original destination's bytes."""

from __future__ import annotations

import socket
import ssl
import struct

import pytest

from sidecar.listener import http_inspector, tls_inspector
from sidecar.listener.original_dst import parse_sockaddr_in, parse_sockaddr_in6


def client_hello(name: str, alpn: list[str]) -> bytes:
    context = ssl.create_default_context()
    if alpn:
        context.set_alpn_protocols(alpn)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def test_client_hello() -> None:
    data = client_hello("Reviews.Example", ["istio", "h2"])
    hello = tls_inspector.inspect(data)
    assert hello == tls_inspector.ClientHello(True, "reviews.example", ("istio", "h2"))
    for end in range(1, len(data)):
        assert tls_inspector.inspect(data[:end]) is None


def test_client_hello_in_two_records() -> None:
    data = client_hello("a.example", [])
    body = data[5:]
    split = b"".join(b"\x16\x03\x01" + struct.pack("!H", len(part)) + part for part in (body[:50], body[50:]))
    hello = tls_inspector.inspect(split)
    assert hello is not None
    assert hello.server_name == "a.example"


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"\x16\x07\x01\x00\x05aaaaa", b"\x16\x03\x01\x00\x05\x02aaaa"])
def test_no_tls(data: bytes) -> None:
    hello = tls_inspector.inspect(data)
    assert hello is not None
    assert not hello.is_tls


def test_broken_hello_is_no_crash() -> None:
    data = bytearray(client_hello("a.example", ["h2"]))
    for at in range(5, len(data)):
        broken = bytes(data[:at]) + b"\xff" + bytes(data[at + 1 :])
        tls_inspector.inspect(broken)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n", "http/1.1"),
        (b"POST /x HTTP/1.0\r\n", "http/1.0"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "h2c"),
        (b"PRI * HT", None),
        (b"GE", None),
        (b"GET /long", None),
        (b"\x00\x01binary", ""),
        (b"GETS / HTTP/1.1\r\n", ""),
        (b"GET / SIP/2.0\r\n", ""),
    ],
)
def test_http_inspector(data: bytes, expected: str | None) -> None:
    assert http_inspector.inspect(data) == expected


def test_sockaddr() -> None:
    v4 = struct.pack("=H", socket.AF_INET) + struct.pack("!H", 9080) + socket.inet_aton("10.1.2.3") + bytes(8)
    assert parse_sockaddr_in(v4) == ("10.1.2.3", 9080)
    v6 = struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", 9080, 0) + socket.inet_pton(socket.AF_INET6, "fe80::1")
    assert parse_sockaddr_in6(v6 + bytes(4)) == ("fe80::1", 9080)
