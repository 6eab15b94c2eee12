"""The service behind the proxies under test: answers every GET at once with the same kilobyte.

    python -m loadtests.backend 127.0.0.1:9080 127.0.0.2:9080

It reads no more of a request than it must, so that the proxies, not it, set the pace. It is a stand-in for a
benchmark's own GETs only: a request ends at the first empty line, bodies are not understood.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

import uvloop

HEAD_LIMIT_BYTES = 64 * 1024
BODY = (b'{"id": "0", "reviews": [{"reviewer": "Reviewer1", "text": "' + b"x" * 1024)[:1021] + b'"}]'
RESPONSE = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "
    + str(len(BODY)).encode()
    + b"\r\n\r\n"
    + BODY
)
END = b"\r\n\r\n"


class Answering(asyncio.Protocol):
    """One connection: a response for each end of a request head."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._pending = b""

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request whose end has come."""
        if self._pending:
            data = self._pending + data
            self._pending = b""
        count = data.count(END)
        if not data.endswith(END):
            self._pending = data[data.rfind(END) + 4 :] if count else data
            if len(self._pending) > HEAD_LIMIT_BYTES:
                self._transport.abort()
                return
        if count:
            self._transport.write(RESPONSE * count)


async def serve(addresses: list[tuple[str, int]]) -> None:
    """Answer on all addresses until SIGTERM or SIGINT. Prints `ready` once it listens; raises OSError."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    servers = [await loop.create_server(Answering, ip, port) for ip, port in addresses]
    print("ready", flush=True)
    await stop.wait()
    for server in servers:
        server.close()


def main(argv: list[str]) -> int:
    """See the module's docstring."""
    addresses = []
    for text in argv:
        ip, _, port = text.rpartition(":")
        addresses.append((ip, int(port)))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(addresses))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
