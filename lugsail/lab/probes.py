"""Readiness probes: is a TCP port open, does a page answer 200."""

from __future__ import annotations

import asyncio
import contextlib

PROBE_TIMEOUT_S = 2.0


async def tcp_open(host: str, port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def http_status(host: str, port: int, path: str, timeout_s: float = PROBE_TIMEOUT_S) -> int | None:
    """The status of one GET on a connection of its own; None when there was no answer in time."""
    with contextlib.suppress(OSError, TimeoutError, ValueError, IndexError):
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: close\r\n\r\n".encode())
                status_line = await reader.readline()
                while await reader.read(65536):
                    pass  # to the end, so that the server does not log a broken pipe
                return int(status_line.split()[1])
            finally:
                writer.close()
    return None


async def http_ok(host: str, port: int, path: str) -> bool:
    return await http_status(host, port, path) == 200
