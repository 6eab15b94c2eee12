"""Run in a network namespace of its own: a DNS server on port 53 before a resolver, asked through the C library."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

from sidecar.agent.dns import NameServer
from sidecar.config.names import HostAddresses, NameTable
from tests.sidecar.agent.fake_resolver import FakeResolver

NAMES = ("reviews", "reviews.default", "api.example", "dual.example", "x.wild.example", "elsewhere.example")


def host(*texts: str) -> HostAddresses:
    packed = [ipaddress.ip_address(text).packed for text in texts]
    return HostAddresses(tuple(p for p in packed if len(p) == 4), tuple(p for p in packed if len(p) == 16))


TABLE = NameTable(
    {
        "reviews": host("10.0.0.1"),
        "reviews.default": host("10.0.0.1"),
        "reviews.default.svc.cluster.local": host("10.0.0.1"),
        "api.example": host("10.0.0.2"),
        "dual.example": host("10.0.0.3", "fd00::3"),
        "*.wild.example": host("10.0.0.4"),
        "many.example": host(*(f"10.1.0.{n}" for n in range(60))),  # too many for UDP
    }
)


def resolved(name: str) -> list[str]:
    return sorted({str(row[4][0]) for row in socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)})


async def main() -> None:
    """One line a name."""
    async with FakeResolver() as upstream:
        server = NameServer(("127.0.0.1", 53), [upstream.address], search="default.svc.cluster.local")
        await server.start()
        server.replace(TABLE)
        for name in NAMES:
            print(name, *await asyncio.to_thread(resolved, name))
        print("many.example", len(await asyncio.to_thread(resolved, "many.example")), "addresses")
        await server.stop()


if __name__ == "__main__":
    asyncio.run(main())
