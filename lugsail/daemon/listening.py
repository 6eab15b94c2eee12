"""Listening sockets, and plain words when there is none to be had."""

from __future__ import annotations

import errno
import socket

from aiohttp import web


class CannotListen(Exception):
    """The text names the address, the port and the way out."""


def check_free(host: str, port: int, flag: str) -> None:
    """That the port can be bound now. Raises CannotListen; `flag` is the option that chooses another."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            raise CannotListen(explain(error, host, port, flag)) from error


def explain(error: OSError, host: str, port: int, flag: str) -> str:
    """What to do about a bind that failed."""
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is in use: stop what listens there (`ss -ltnp 'sport = :{port}'` names it) "
            f"or choose another with {flag}"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine: choose another with --address, or add it (`ip addr add`)"
    if error.errno == errno.EACCES:
        return f"port {port} on {host} needs more rights than this user has: choose one above 1023 with {flag}"
    return f"cannot listen on {host}:{port}: {error.strerror}; choose another with --address or {flag}"


async def serve_http(
    app: web.Application, host: str, port: int, *, drain_s: float = 0.5, cancel: bool = False
) -> web.AppRunner:
    """Serve the app. When the runner is cleaned up, requests under way have `drain_s` to end.

    `cancel`: a handler ends when its client leaves.
    """
    runner = web.AppRunner(app, access_log=None, handler_cancellation=cancel, shutdown_timeout=drain_s)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
