"""Listens on ports and sends each line back behind the prefix: python -m bookinfo.tcp_echo 9000 9001

Environment: PREFIX (default `one`), BIND_ADDRESS (default 127.0.0.1; a container image sets 0.0.0.0), PORT (listen
there instead of on the arguments: the process lab's private port). SIGTERM and SIGINT end it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping

import uvloop

from bookinfo.common.server import EXIT_FAILED, EXIT_USAGE
from bookinfo.common.settings import InvalidSetting, port

DEFAULT_PORT = 9000
LINE_LIMIT_BYTES = 64 * 1024
CONNECTIONS_LIMIT = 2000


class Echo:
    """The service of one process. Opened and closed inside a running event loop."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix.encode() + b" "
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()

    async def open(self, address: str, number: int) -> int:
        """Listen there too; the port (0 asks for a free one). Raises OSError."""
        server = await asyncio.start_server(self._serve, address, number, limit=LINE_LIMIT_BYTES)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening and end all connections."""
        for server in self._servers:
            server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until the client has nothing more to say. A line that is too long ends the connection."""
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= CONNECTIONS_LIMIT:
            writer.transport.abort()
            return
        self._connections.add(task)
        try:
            while (line := await reader.readline()).endswith(b"\n"):
                writer.write(self._prefix + line)
                await writer.drain()
        except (ValueError, OSError, asyncio.CancelledError):
            pass  # too long a line, a client that went away, the end of the process
        finally:
            self._connections.discard(task)
            writer.close()


async def serve(env: Mapping[str, str], ports: list[int], prefix: str) -> int:
    """Serve until a signal; the process's exit code."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    address = env.get("BIND_ADDRESS") or "127.0.0.1"
    echo = Echo(prefix)
    try:
        for wanted in ports:
            await echo.open(address, wanted)
    except OSError as error:
        print(f"tcp_echo: cannot listen on {address}:{wanted}: {error.strerror or error}", file=sys.stderr)
        await echo.close()
        return EXIT_FAILED
    await stop.wait()
    await echo.close()
    return 0


def ports_of(argv: list[str], env: Mapping[str, str]) -> list[int]:
    """Where to listen. Raises InvalidSetting."""
    if env.get("PORT"):
        return [port(env, "PORT")]
    return [port({"port": text}, "port") for text in argv] or [DEFAULT_PORT]


def main(argv: list[str]) -> int:
    """Serve until a signal; returns the exit code."""
    env = os.environ
    try:
        ports = ports_of(argv, env)
    except InvalidSetting as error:
        print(f"tcp_echo: {error}; usage: tcp_echo PORT…", file=sys.stderr)
        return EXIT_USAGE
    return uvloop.run(serve(env, ports, env.get("PREFIX") or "one"))
