"""A client that says exactly which bytes it sends, and reads answers as HTTP/1.1 frames them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from tests.oracle.backends import pairs, read_chunked, read_head

#: Nothing in the table takes so long; whoever is silent for it has hung.
SILENCE_S = 8.0
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Answer:
    """One answer. `cut`: the connection ended before the answer did; status 0: before it began."""

    status: int
    headers: Headers = ()
    body: bytes = b""
    trailers: Headers = ()
    interim: tuple[int, ...] = ()
    cut: bool = False
    protocol: str = "HTTP/1.1"
    seconds: float = field(default=0.0, compare=False)

    def get(self, name: str) -> str | None:
        """The values of a header, joined, or None."""
        values = [value for key, value in self.headers if key.lower() == name]
        return ",".join(values) if values else None


class Connection:
    """One connection to a proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, address: tuple[str, int], source: str | None = None) -> Connection:
        local = (source, 0) if source else None
        return cls(*await asyncio.open_connection(*address, limit=1 << 20, local_addr=local))

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self, method: str = "GET") -> Answer:
        """The next answer, interim ones counted within it."""
        start = asyncio.get_running_loop().time()
        async with asyncio.timeout(SILENCE_S):
            found = await self._answer(method)
        return Answer(**{**found, "seconds": asyncio.get_running_loop().time() - start})  # type: ignore[arg-type]

    async def _answer(self, method: str) -> dict[str, object]:
        interim: list[int] = []
        try:
            while True:
                line, headers = await read_head(self.reader)
                protocol, status = line.split(" ")[0], int(line.split(" ")[1])
                if status >= 200 or status == 101:
                    break
                interim.append(status)
        except (asyncio.IncompleteReadError, ConnectionError):
            return {"status": 0, "cut": True, "interim": tuple(interim)}
        out = {"status": status, "headers": headers, "interim": tuple(interim), "protocol": protocol}
        if method == "HEAD" or status in (101, 204, 304):
            return out
        named = {name.lower(): value for name, value in headers}
        try:
            if "chunked" in named.get("transfer-encoding", ""):
                out["body"], out["trailers"] = await read_chunked(self.reader)
            elif "content-length" in named:
                out["body"] = await self.reader.readexactly(int(named["content-length"]))
            else:
                out["body"] = await self.reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            out["cut"] = True
        return out

    async def ended(self, within_s: float = 2.0) -> bool:
        """Whether the other side closes without another word."""
        try:
            async with asyncio.timeout(within_s):
                return await self.reader.read(1) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True

    def close(self) -> None:
        self.writer.close()


__all__ = ["Answer", "Connection", "Headers", "pairs"]
