"""An upstream server that does what the path asks, and echoes the request head it got in its body."""

from __future__ import annotations

import asyncio


class Upstream(asyncio.Protocol):
    """Reads one request at a time; bodies by Content-Length or chunked, well enough for the table's requests."""

    def __init__(self) -> None:
        self.data = b""
        self.tunnel = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self.tunnel:
            self.transport.write(b"echo:" + data)
            return
        self.data += data
        while b"\r\n\r\n" in self.data:
            head, _, rest = self.data.partition(b"\r\n\r\n")
            lower = head.lower()
            if b"transfer-encoding: chunked" in lower:
                end = rest.find(b"0\r\n")
                if end < 0 or b"\r\n\r\n" not in rest[end:]:
                    return
                stop = rest.index(b"\r\n\r\n", end) + 4
                body, rest = rest[:stop], rest[stop:]
            else:
                length = 0
                for line in lower.split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        length = int(line[15:])
                if b"expect: 100-continue" in lower and len(rest) < length:
                    self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                if len(rest) < length:
                    return
                body, rest = rest[:length], rest[length:]
            self.data = rest
            self.answer(head, body)

    def late(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def answer(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ")[1].partition(b"?")[0]
        echo = head + b"\n--\n" + body
        sized = b"content-length: %d\r\n\r\n" % len(echo)
        write = self.transport.write
        if path.startswith(b"/status/"):
            code = int(path.split(b"/")[2])
            if code in (204, 304):
                write(b"HTTP/1.1 %d X\r\nx-up: 1\r\n\r\n" % code)
            else:
                write(b"HTTP/1.1 %d X\r\n" % code + sized + echo)
        elif path == b"/close":
            self.transport.close()
        elif path == b"/garbage":
            write(b"NONSENSE\r\n\r\n")
        elif path == b"/chunked":
            write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\n\r\n")
        elif path == b"/until-close":
            write(b"HTTP/1.1 200 OK\r\nX-Up: 1\r\n\r\nall of it")
            self.transport.close()
        elif path == b"/half":
            write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
            self.transport.close()
        elif path == b"/hints":
            write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n" + sized + echo)
        elif path == b"/hop":
            write(
                b"HTTP/1.1 200 OK\r\nConnection: keep-alive, x-hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\n"
                b"Proxy-Connection: x\r\nServer: theirs\r\nX-Envoy-Upstream-Service-Time: 77\r\nSet-Cookie: a=1\r\n"
                b"Set-Cookie: b=2\r\nX-Mixed-CASE: Yes\r\n" + sized + echo
            )
        elif path == b"/slow":
            asyncio.get_running_loop().call_later(1.0, self.late, b"HTTP/1.1 200 OK\r\n" + sized + echo)
        elif path == b"/ws":
            self.tunnel = True
            write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhi")
        elif path == b"/empty":
            write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        elif head.startswith(b"HEAD"):
            write(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n")
        else:
            write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n" + sized + echo)
