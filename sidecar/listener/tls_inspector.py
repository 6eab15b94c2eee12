"""Reads server name and ALPN out of a TLS ClientHello without answering it (RFC 8446, RFC 6066, RFC 7301). Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_ALPN = 16
#: A ClientHello may take several records; beyond this nobody waits (Envoy: 16 KiB).
MAX_HELLO_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What a client said. `is_tls` False: the bytes are no TLS at all."""

    is_tls: bool
    server_name: str = ""
    application_protocols: tuple[str, ...] = ()


def inspect(data: bytes) -> ClientHello | None:
    """What the first bytes of a connection are; None while more are needed to tell."""
    if not data:
        return None
    if data[0] != _HANDSHAKE or (len(data) > 1 and data[1] != 3):
        return ClientHello(False)
    message, whole = _handshake(data)
    if message[:1] and message[0] != _CLIENT_HELLO:
        return ClientHello(False)
    if not whole:
        return None if len(data) < MAX_HELLO_BYTES else ClientHello(False)
    try:
        return _parse(message[4:])
    except (IndexError, struct.error, UnicodeDecodeError):
        return ClientHello(False)


def _handshake(data: bytes) -> tuple[bytes, bool]:
    """The handshake message out of its records, and whether it is whole."""
    message = b""
    at = 0
    while at + 5 <= len(data):
        (length,) = struct.unpack_from("!H", data, at + 3)
        message += data[at + 5 : at + 5 + length]
        at += 5 + length
        if len(message) >= 4 and len(message) >= 4 + int.from_bytes(message[1:4], "big"):
            return message, True
    return message, False


def _parse(body: bytes) -> ClientHello:
    at = 34  # version (2) and random (32)
    at += 1 + body[at]  # session id
    at += 2 + struct.unpack_from("!H", body, at)[0]  # cipher suites
    at += 1 + body[at]  # compression methods
    server_name, protocols = "", []
    if at + 2 > len(body):
        return ClientHello(True)
    end = at + 2 + struct.unpack_from("!H", body, at)[0]
    at += 2
    while at + 4 <= end:
        kind, length = struct.unpack_from("!HH", body, at)
        value = body[at + 4 : at + 4 + length]
        at += 4 + length
        if kind == _SERVER_NAME and len(value) > 5:
            (size,) = struct.unpack_from("!H", value, 3)
            server_name = value[5 : 5 + size].decode("ascii").lower()
        elif kind == _ALPN:
            inner = 2
            while inner < len(value):
                size = value[inner]
                protocols.append(value[inner + 1 : inner + 1 + size].decode("ascii"))
                inner += 1 + size
    return ClientHello(True, server_name, tuple(protocols))
