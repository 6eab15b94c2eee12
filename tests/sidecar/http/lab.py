"""A proxy's data path in this process, upstream servers made of functions, and a client of few words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sidecar.config.clusters import Cluster
from sidecar.config.endpoints import Endpoint, Endpoints, LocalityEndpoints
from sidecar.config.listeners import AccessLog, FilterChain, HttpConnectionManager, Listener
from sidecar.config.routes import Route, RouteAction, RouteConfiguration, VirtualHost
from sidecar.http.route_tables import RouteTables
from sidecar.listener.manager import ListenerManager
from sidecar.telemetry.access_log import AccessLogWriters, compile_format
from sidecar.telemetry.stats import Stats
from sidecar.upstream.cluster_manager import ClusterManager

HOST = "127.35.4.1"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


def endpoints(name: str, *addresses: tuple[str, int]) -> Endpoints:
    group = tuple(Endpoint(address=ip, port=port) for ip, port in addresses)
    return Endpoints(cluster_name=name, localities=(LocalityEndpoints(endpoints=group),))


def routes(**action: Any) -> RouteConfiguration:
    route = Route(name="all", action=RouteAction(**{"cluster": "app", "timeout_ms": None, **action}))
    return RouteConfiguration(name="main", virtual_hosts=(VirtualHost(name="any", domains=(b"*",), routes=(route,)),))


class Lab:
    """A proxy, and upstream servers made of functions."""

    def __init__(self, folder: Path) -> None:
        loop = asyncio.get_running_loop()
        self.stats = Stats()
        self.log_path = folder / "access.log"
        self.logs = AccessLogWriters(self.stats, loop)
        self.clusters = ClusterManager(self.stats, loop)
        self.routes = RouteTables()
        self.listeners = ListenerManager(self.stats, self.clusters, self.routes, self.logs)
        self._servers: list[asyncio.Server] = []

    async def upstream(self, handler: Handler) -> tuple[str, int]:
        server = await asyncio.start_server(handler, HOST, 0)
        self._servers.append(server)
        return HOST, server.sockets[0].getsockname()[1]

    def cluster(self, *addresses: tuple[str, int], **more: Any) -> None:
        """A cluster of these hosts; "app", STATIC and so on where `more` says nothing else."""
        name = more.pop("name", "app")
        settings = {"type": "static", "endpoints": endpoints(name, *addresses), **more}
        self.clusters.update_clusters({name: Cluster(name=name, **settings)})

    def access_log(self, text: str) -> AccessLog:
        return AccessLog(path=str(self.log_path), render=compile_format(text))

    async def listen(self, **http: Any) -> tuple[str, int]:
        log = self.access_log("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n")
        manager = HttpConnectionManager(stat_prefix="main", rds_name="main", access_logs=(log,), **http)
        chains = (FilterChain(http=manager),)
        wanted = frozenset({"main"})
        return await self.bind(
            Listener(name="main", addresses=((HOST, 0),), filter_chains=chains, rds_names=wanted)
        )

    async def bind(self, listener: Listener) -> tuple[str, int]:
        assert self.listeners.update({"main": listener}) == {}
        await self.listeners.settled()
        runtime = self.listeners.active.get("main") or self.listeners.warming["main"]
        return HOST, runtime.sockets[0].getsockname()[1]

    def counter(self, name: str) -> float:
        self.listeners.flush()
        return self.stats.counter(name).value

    def log(self) -> list[str]:
        self.listeners.flush()
        self.logs.flush()
        return self.log_path.read_text().splitlines()

    def close(self) -> None:
        self.listeners.close()
        self.listeners.drain()
        self.clusters.close()
        self.logs.close()
        for server in self._servers:
            server.close()


async def read_head(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            await read_head(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def ask(address: tuple[str, int], request: bytes = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(request)
    head = await read_head(reader)
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
    body = await reader.readexactly(length)
    writer.close()
    return head + body


async def until(condition: Callable[[], bool]) -> None:
    """The proxy's counters raise no event: look often."""
    deadline = asyncio.get_running_loop().time() + 5
    while not condition() and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.002)
    assert condition()
