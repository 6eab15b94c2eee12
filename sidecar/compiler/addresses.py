"""envoy.config.core.v3.Address: TCP sockets and, for endpoints, Unix sockets."""

from __future__ import annotations

from typing import Any

from sidecar.compiler.ignored import check
from sidecar.config.rejected import At


def socket_address(address: Any, at: At) -> tuple[str, int]:
    """(host, port) of a TCP socket address; the host may be a name where the caller resolves names."""
    if address.WhichOneof("address") != "socket_address":
        at.reject("only a socket_address is supported here")
    socket, place = address.socket_address, at.field("socket_address")
    check(socket, ("protocol", "address", "port_value", "ipv4_compat"), place)
    if socket.protocol != 0:
        place.field("protocol").reject("only TCP is supported")
    if not socket.address:
        place.field("address").reject("empty; give an address")
    if socket.port_value > 65535:
        place.field("port_value").reject(f"{socket.port_value} is not a port; give 0 to 65535")
    return socket.address, socket.port_value


def endpoint_address(address: Any, at: At) -> tuple[str, int]:
    """As `socket_address`, or (path, 0) of a Unix socket."""
    if address.WhichOneof("address") == "pipe":
        if not address.pipe.path.startswith("/"):
            at.field("pipe.path").reject(f"{address.pipe.path!r} is not an absolute path")
        return address.pipe.path, 0
    return socket_address(address, at)
