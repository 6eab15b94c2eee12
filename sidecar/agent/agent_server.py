"""The agent's own page, port 15020: is the pod ready, its metrics, its app's health, and an orderly end.

It knows the proxy by its admin page alone, and so is the same for both proxies. Everybody on the pod's network may ask;
what changes something is for the pod itself.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from sidecar.agent.app_metrics import Scrape, merge
from sidecar.agent.app_probes import INSIDE_SOURCE, Probe, accepts, run_probe

log = logging.getLogger(__name__)

AGENT_PORT = 15020

_MAX_CONNECTIONS = 256
#: Requests that are being answered at one time.
_MAX_ACTIVE = 64
_MAX_PORTS = 32
_MAX_PAGE_BYTES = 32 * 1024 * 1024
_PORT_TIMEOUT_S = 1.0
_READY_TIMEOUT_S, _METRICS_TIMEOUT_S, _ADMIN_TIMEOUT_S = 1.0, 5.0, 2.0
#: An idle connection may be kept so long.
_KEEP_ALIVE_S = 15.0
_PLAIN = "text/plain; charset=utf-8"
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"

Handler = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(frozen=True, kw_only=True)
class AgentView:
    """What the page needs. `admin` is (ip, port) of the proxy's admin page; `pod_address()` the pod's address now.

    `quit()` begins the end of the agent and its proxy; `unready()` is why the agent itself is not ready, "" when it is.
    """

    admin: tuple[str, int]
    pod_address: Callable[[], str]
    quit: Callable[[], None]
    unready: Callable[[], str] = lambda: ""
    probes: Mapping[str, Probe] = field(default_factory=dict)
    scrape: Scrape | None = None


class AgentServer:
    """Serves the page at (ip, port) `listen`."""

    def __init__(self, view: AgentView, listen: tuple[str, int]) -> None:
        self._view = view
        self._listen = listen
        self._active = 0
        self._scrapes_failed = 0
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._session: aiohttp.ClientSession | None = None
        self._inside: aiohttp.ClientSession | None = None
        #: path → (handler, whether it changes something)
        self._pages: dict[str, tuple[Handler, bool]] = {
            "/healthz/ready": (self._ready, False),
            "/stats/prometheus": (self._metrics, False),
            "/drain": (self._drain, True),
            "/quitquitquit": (self._quit, True),
        }

    async def start(self) -> None:
        """Listen. Raises OSError that names the busy address."""
        app = web.Application(client_max_size=1024)
        app.router.add_route("*", "/{tail:.*}", self._dispatch)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, keepalive_timeout=_KEEP_ALIVE_S, shutdown_timeout=0.5
        )
        await self._runner.setup()
        self._session = aiohttp.ClientSession()
        self._inside = aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=(INSIDE_SOURCE, 0)))
        ip, port = self._listen
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._connection, ip, port, reuse_address=True
            )
        except OSError as error:
            await self.stop()
            raise OSError(error.errno, f"can not listen on {ip}:{port}: {error.strerror}") from error

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()
        for session in (self._session, self._inside):
            if session is not None:
                await session.close()

    def _connection(self) -> asyncio.Protocol:
        """A connection's protocol. Where there are too many, the oldest makes room: it may well be a forgotten one."""
        assert self._runner is not None and self._runner.server is not None
        server = self._runner.server
        if len(server.connections) >= _MAX_CONNECTIONS:
            server.connections[0].force_close()
        return server()

    async def _dispatch(self, request: web.Request) -> web.Response:
        path = request.path
        page = self._pages.get(path)
        handler = page[0] if page else self._app_health if path in self._view.probes else None
        if handler is None:
            return _text(404, f"no page {path!r}; there are {', '.join([*self._pages, *self._view.probes])}\n")
        changes = page is not None and page[1]
        wanted = ("POST",) if changes else ("GET", "HEAD")
        if request.method not in wanted:
            return _text(405, f"{path} wants {wanted[0]}\n", {"allow": ", ".join(wanted)})
        if changes and not _is_local(request.remote):
            return _text(403, f"{path} is for the pod itself: ask on 127.0.0.1\n")
        if self._active >= _MAX_ACTIVE:
            return _text(503, "too many requests at once\n")
        self._active += 1
        try:
            return await handler(request)
        finally:
            self._active -= 1

    async def _ready(self, request: web.Request) -> web.Response:
        try:
            ports = _ports(request.query.get("ports", ""))
        except ValueError as error:
            return _text(400, f"ports: {error}\n")
        reason = self._view.unready() or await self._proxy_unready()
        if reason:
            return _text(503, f"{reason}\n")
        addresses = self._addresses()
        open_ports = await asyncio.gather(*(accepts(addresses, port, _PORT_TIMEOUT_S) for port in ports))
        closed = [str(port) for port, is_open in zip(ports, open_ports, strict=True) if not is_open]
        if closed:
            return _text(503, f"the app takes no connections on {', '.join(closed)} yet\n")
        return _text(200, "ready\n")

    async def _proxy_unready(self) -> str:
        status, body = await self._ask_admin("GET", "/ready", _READY_TIMEOUT_S)
        if status == 200:
            return ""
        return f"the proxy is not ready: {body.decode('latin-1').strip()[:200] if status else 'it does not answer'}"

    async def _metrics(self, request: web.Request) -> web.Response:
        scrape = self._view.scrape
        (status, proxy), app = await asyncio.gather(
            self._ask_admin("GET", "/stats/prometheus", _METRICS_TIMEOUT_S),
            self._scrape(scrape) if scrape is not None else _nothing(),
        )
        if status != 200:
            self._scrapes_failed += 1
            proxy = b""
        page = merge(proxy, app, self._scrapes_failed)
        return web.Response(body=page, headers={"content-type": _PROMETHEUS})

    async def _scrape(self, scrape: Scrape) -> bytes:
        assert self._inside is not None
        for address in self._addresses():
            url = f"http://{address}:{scrape.port}{scrape.path}"
            try:
                status, body = await _fetch(self._inside, "GET", url, _METRICS_TIMEOUT_S, {"accept": "text/plain"})
            except (aiohttp.ClientError, OSError, ValueError) as error:
                log.debug("no metrics from %s: %s", url, error)
                continue
            if status == 200:
                return body
        self._scrapes_failed += 1
        return b""

    async def _app_health(self, request: web.Request) -> web.Response:
        probe = self._view.probes[request.path]
        status, body = await run_probe(probe, self._addresses(), request.headers)
        return web.Response(status=status, body=body, headers={"content-type": _PLAIN})

    async def _drain(self, request: web.Request) -> web.Response:
        await self._ask_admin("POST", "/healthcheck/fail", _ADMIN_TIMEOUT_S)
        status, body = await self._ask_admin("POST", "/drain_listeners?inboundonly&graceful", _ADMIN_TIMEOUT_S)
        if status != 200:
            return _text(502, f"the proxy does not drain: {body.decode('latin-1')[:200] or 'no answer'}\n")
        return _text(200, "OK\n")

    async def _quit(self, request: web.Request) -> web.Response:
        asyncio.get_running_loop().call_later(0.05, self._view.quit)  # after the answer is written
        return _text(200, "OK\n")

    async def _ask_admin(self, method: str, path: str, timeout_s: float) -> tuple[int, bytes]:
        """(status, body) of the proxy's admin page; (0, b"") where it does not answer."""
        assert self._session is not None
        ip, port = self._view.admin
        try:
            return await _fetch(self._session, method, f"http://{ip}:{port}{path}", timeout_s)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            log.debug("the admin page did not answer %s: %r", path, error)
            return 0, b""

    def _addresses(self) -> tuple[str, ...]:
        """Where the app may listen: on localhost, or on the pod's address alone."""
        address = self._view.pod_address()
        return ("127.0.0.1", address) if address else ("127.0.0.1",)


async def _fetch(
    session: aiohttp.ClientSession, method: str, url: str, timeout_s: float, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """(status, body) of one request. Raises aiohttp.ClientError, OSError, or ValueError for too large an answer."""
    limit = aiohttp.ClientTimeout(total=timeout_s)
    async with session.request(method, url, timeout=limit, headers=headers, allow_redirects=False) as answer:
        body = bytearray()
        async for chunk in answer.content.iter_chunked(65536):
            body += chunk
            if len(body) > _MAX_PAGE_BYTES:
                raise ValueError(f"{url}: more than {_MAX_PAGE_BYTES} bytes")
        return answer.status, bytes(body)


async def _nothing() -> bytes:
    return b""


def _ports(text: str) -> list[int]:
    """Port numbers of `9080,9090`. Raises ValueError."""
    ports = []
    for part in filter(None, text.split(",", _MAX_PORTS)):
        if not part.isascii() or not part.isdecimal() or not 0 < int(part) < 65536:
            raise ValueError(f"{part[:40]!r} is not a port number (at most {_MAX_PORTS}, with commas between them)")
        ports.append(int(part))
    return ports


def _is_local(remote: str | None) -> bool:
    try:
        return remote is not None and ipaddress.ip_address(remote).is_loopback
    except ValueError:
        return False


def _text(status: int, body: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=body, headers=headers)
