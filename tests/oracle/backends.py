"""Small HTTP/1.1 servers that echo what reached them as JSON, and misbehave when a request's `x-do` asks for it.

`x-do` holds words separated by blanks. `v1:` before a word limits it to the backend of that name; `until=N` limits the
words after it to the first N attempts of one request, told apart by their user-agent.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import struct
from collections import defaultdict
from dataclasses import dataclass, field

CUT = "cut"


@dataclass(frozen=True)
class Hit:
    """A request as it reached a backend. `connection` numbers the backend's connections."""

    by: str
    line: str
    headers: tuple[tuple[str, str], ...]
    connection: int


@dataclass
class Record:
    """What reached any backend, by user-agent, in order."""

    hits: dict[str, list[Hit]] = field(default_factory=lambda: defaultdict(list))
    connections: int = 0


@dataclass(frozen=True)
class Request:
    """One request, read whole."""

    line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    trailers: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")


async def read_head(reader: asyncio.StreamReader) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The first line and the header lines; raises IncompleteReadError at the end of the connection."""
    text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = text[:-4].split("\r\n")
    return first, pairs(lines)


def pairs(lines: list[str]) -> tuple[tuple[str, str], ...]:
    """Header lines as (name, value)."""
    return tuple((name, value.strip()) for name, _, value in (line.partition(":") for line in lines))


async def read_chunked(reader: asyncio.StreamReader) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """A chunked body and its trailers."""
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    lines = []
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        lines.append(line[:-2].decode("latin-1"))
    return body, pairs(lines)


class Backend:
    """One server. Every connection is a task of the loop it was started on."""

    def __init__(self, name: str, record: Record) -> None:
        self.name = name
        self.record = record

    async def start(self, address: str, port: int) -> int:
        """Listen; the port, which the system chooses where 0 was asked for."""
        server = await asyncio.start_server(self._serve, address, port, limit=1 << 20)
        return int(server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.record.connections += 1
        number = self.record.connections
        try:
            while await self._one(reader, writer, number) != CUT:
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> str | None:
        line, headers = await read_head(reader)
        request = Request(line, headers, b"", ())
        hits = self.record.hits[request.get("user-agent")]
        hits.append(Hit(self.name, line, headers, number))
        words = self._words(request.get("x-do"), len(hits))
        if request.get("expect") and "no-continue" not in words:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in request.get("transfer-encoding"):
            body, trailers = await read_chunked(reader)
        else:
            body, trailers = await reader.readexactly(int(request.get("content-length") or 0)), ()
        return await self._answer(Request(line, headers, body, trailers), words, writer, reader)

    def _words(self, do: str, attempt: int) -> dict[str, str]:
        words: dict[str, str] = {}
        for word in do.split():
            limited, colon, rest = word.partition(":")
            if colon and limited != self.name:
                continue
            key, _, value = (rest if colon else word).partition("=")
            if key == "until" and attempt > int(value):
                break
            words[key] = value
        return words

    async def _answer(
        self, request: Request, words: dict[str, str], writer: asyncio.StreamWriter, reader: asyncio.StreamReader
    ) -> str | None:
        if "delay" in words:
            await asyncio.sleep(float(words["delay"]))
        if "close" in words:
            return CUT
        if "reset" in words:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return CUT
        if "garbage" in words:
            writer.write(b"NONSENSE\r\n\r\n")
            return CUT
        if "ws" in words:
            return await self._tunnel(writer, reader)
        body = self._echo(request)
        if "size" in words:
            body = b"x" * int(words["size"])
        if "early" in words:
            writer.write(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
        return await self._respond(request, words, body, writer)

    async def _respond(
        self, request: Request, words: dict[str, str], body: bytes, writer: asyncio.StreamWriter
    ) -> str | None:
        status = words.get("status", "200")
        lines = [f"HTTP/1.1 {status} X", "content-type: application/json", "x-up: 1"]
        lines += [f"{key[4:]}: {value}" for key, value in words.items() if key.startswith("add-")]
        if "trailers" in words or "chunked" in words:
            lines.append("transfer-encoding: chunked")
            trailer = b"x-trailer: t\r\n" if "trailers" in words else b""
            body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:]))
            body += b"0\r\n" + trailer + b"\r\n"
        elif "until-close" not in words and status not in ("204", "304"):
            lines.append(f"content-length: {len(body)}")
        if request.line.startswith("HEAD") or status in ("204", "304"):
            body = b""
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
        if "half" in words:
            writer.write(body[: len(body) // 2])
            await writer.drain()
            return CUT
        if "slow" in words:
            writer.write(body[:10])
            await asyncio.sleep(float(words["slow"]))
            body = body[10:]
        writer.write(body)
        await writer.drain()
        return CUT if "until-close" in words else None

    def _echo(self, request: Request) -> bytes:
        body: object = request.body.decode("latin-1")
        if len(request.body) > 1000:
            body = [len(request.body), hashlib.sha256(request.body).hexdigest()]
        echo = {"by": self.name, "line": request.line, "headers": request.headers, "body": body}
        if request.trailers:
            echo["trailers"] = request.trailers
        return json.dumps(echo).encode()

    @staticmethod
    async def _tunnel(writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> str:
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\nhi")
        while data := await reader.read(65536):
            writer.write(b"echo:" + data)
        return CUT
