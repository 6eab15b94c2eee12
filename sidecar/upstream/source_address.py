"""Connections that come from an address of our choice."""

from __future__ import annotations

import asyncio
import socket

_IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h; Python has no name for it before 3.14


async def connect_from(loop: asyncio.AbstractEventLoop, source: str, address: str, port: int) -> socket.socket:
    """A socket of ours, connected. Raises OSError.

    Its port is chosen at connect, not at bind: one port then serves any number of destinations, as without an address.
    """
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((source, 0))
        await loop.sock_connect(sock, (address, port))
    except BaseException:
        sock.close()
        raise
    return sock
