"""Where a redirected connection was going before iptables sent it here (SO_ORIGINAL_DST)."""

from __future__ import annotations

import socket
import struct

#: linux/netfilter_ipv4.h and linux/netfilter_ipv6/ip6_tables.h; both have the same number.
SO_ORIGINAL_DST = 80


def original_destination(connection: socket.socket) -> tuple[str, int] | None:
    """(address, port) the client meant; None for a connection that was not redirected."""
    try:
        if connection.family == socket.AF_INET6:
            raw = connection.getsockopt(socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28)
            return parse_sockaddr_in6(raw)
        raw = connection.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
        return parse_sockaddr_in(raw)
    except OSError:
        return None


def parse_sockaddr_in(raw: bytes) -> tuple[str, int]:
    """struct sockaddr_in: family (2), port (2, network order), address (4), padding."""
    (port,) = struct.unpack_from("!H", raw, 2)
    return socket.inet_ntoa(raw[4:8]), port


def parse_sockaddr_in6(raw: bytes) -> tuple[str, int]:
    """struct sockaddr_in6: family (2), port (2, network order), flow (4), address (16), scope (4)."""
    (port,) = struct.unpack_from("!H", raw, 2)
    return socket.inet_ntop(socket.AF_INET6, raw[8:24]), port
