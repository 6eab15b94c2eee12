"""TCP keep-alive of upstream connections (Envoy: upstream_connection_options.tcp_keepalive)."""

from __future__ import annotations

import socket
from typing import Protocol

from sidecar.config.clusters import TcpKeepalive


class _Socket(Protocol):
    family: int

    def setsockopt(self, level: int, option: int, value: int, /) -> None: ...


def keep_alive(sock: _Socket, settings: TcpKeepalive) -> None:
    """Let the system probe an idle connection; what the settings leave out stays the system's."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPCNT, settings.probes),
        (socket.TCP_KEEPIDLE, settings.time_s),
        (socket.TCP_KEEPINTVL, settings.interval_s),
    ):
        if value is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
