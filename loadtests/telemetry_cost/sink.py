"""Takes spans by Zipkin's POST and forgets them: answers 202 at once.

    python -m loadtests.telemetry_cost.sink 127.0.0.1:9411

A stand-in for the benchmark's own proxies only: a connection has one request at a time, and the bodies are JSON, which
has no line feed inside.
"""

from __future__ import annotations

import asyncio
import re
import signal
import sys

import uvloop

ANSWER = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"
LIMIT_BYTES = 4 * 1024 * 1024
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_HEAD_END, _LAST_CHUNK = b"\r\n\r\n", b"\r\n0\r\n\r\n"


def complete(data: bytes) -> bool:
    """Whether a request is there to its end: a length or chunks."""
    head, found, body = data.partition(_HEAD_END)
    if not found:
        return False
    length = _LENGTH.search(head + b"\r\n")
    return len(body) >= int(length[1]) if length else data.endswith(_LAST_CHUNK)


class Taking(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer when a request has ended."""
        assert self._transport is not None
        self._pending += data
        if complete(self._pending):
            self._pending = b""
            self._transport.write(ANSWER)
        elif len(self._pending) > LIMIT_BYTES:
            self._transport.abort()


async def serve(ip: str, port: int) -> None:
    """Until SIGTERM or SIGINT; raises OSError."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await loop.create_server(Taking, ip, port)
    await stop.wait()
    server.close()


def main(argv: list[str]) -> int:
    """See the module's docstring."""
    ip, _, port = argv[0].rpartition(":")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(ip, int(port)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
