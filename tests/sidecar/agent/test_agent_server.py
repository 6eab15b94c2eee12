"""The page on 15020 before an admin page and an app made for the case."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web

from sidecar.agent import agent_server
from sidecar.agent.agent_server import AgentServer, AgentView
from sidecar.agent.app_metrics import Scrape
from sidecar.agent.app_probes import Probe
from tests.sidecar.loopback import own_ip

IP = own_ip(95)
# The app is asked on localhost first: ports that nobody else on this machine has.
PORT, ADMIN_PORT, APP_PORT, CLOSED_PORT = 15020, 15000, 29480, 29499


@dataclass
class World:
    """What the page stands before."""

    ready: int = 200
    unready: str = ""
    page: bytes = b"proxy_total 1\n"
    delay_s: float = 0.0
    asked: list[str] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def admin(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.raw_path}")
        await asyncio.sleep(self.delay_s)
        if request.path == "/ready":
            return web.Response(status=self.ready, text="LIVE\n" if self.ready == 200 else "PRE_INITIALIZING\n")
        return web.Response(body=self.page)

    async def app(self, request: web.Request) -> web.Response:
        if request.path == "/health":
            return web.Response(status=418, text=f"{request.remote} {request.headers.get('x-probe')}")
        return web.Response(text="app_total 2\n# EOF\n")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    runners = []
    for handler, address, port in ((world.admin, IP, ADMIN_PORT), (world.app, IP, APP_PORT)):
        application = web.Application()
        application.router.add_route("*", "/{tail:.*}", handler)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, address, port).start()
        runners.append(runner)
    view = AgentView(
        admin=(IP, ADMIN_PORT),
        pod_address=lambda: IP,
        quit=world.ended.set,
        unready=lambda: world.unready,
        probes={
            "/app-health/a/livez": Probe(port=APP_PORT, path="/health", headers=(("x-probe", "yes"),)),
            "/app-health/a/readyz": Probe(port=APP_PORT),
            "/app-health/a/startupz": Probe(port=CLOSED_PORT, path="/"),
        },
        scrape=Scrape(APP_PORT, "/metrics"),
    )
    server = AgentServer(view, (IP, PORT))
    await server.start()
    try:
        yield world
    finally:
        await server.stop()
        for runner in runners:
            await runner.cleanup()


async def ask(path: str, method: str = "GET") -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.request(method, f"http://{IP}:{PORT}{path}") as answer:
        return answer.status, await answer.text()


async def test_readiness(world: World) -> None:
    assert await ask("/healthz/ready") == (200, "ready\n")
    assert await ask(f"/healthz/ready?ports={APP_PORT}") == (200, "ready\n")
    status, body = await ask(f"/healthz/ready?ports={APP_PORT},{CLOSED_PORT}")
    assert (status, body) == (503, f"the app takes no connections on {CLOSED_PORT} yet\n")
    world.ready = 503
    assert await ask("/healthz/ready") == (503, "the proxy is not ready: PRE_INITIALIZING\n")
    world.unready = "the names have not come"
    assert await ask("/healthz/ready") == (503, "the names have not come\n")


@pytest.mark.parametrize("ports", ["0", "65536", "x", "80;81", ",".join(["80"] * 40), "٣"])
async def test_ports_that_are_none(world: World, ports: str) -> None:
    status, body = await ask(f"/healthz/ready?ports={ports}")
    assert status == 400
    assert "is not a port number" in body


async def test_a_proxy_that_does_not_answer_is_not_ready(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_server, "_READY_TIMEOUT_S", 0.05)
    world.delay_s = 0.5
    assert await ask("/healthz/ready") == (503, "the proxy is not ready: it does not answer\n")


async def test_metrics_of_both(world: World) -> None:
    status, page = await ask("/stats/prometheus")
    assert status == 200
    assert page.splitlines()[1:] == ["lugsail_agent_scrape_failures_total 0", "app_total 2", "proxy_total 1"]


async def test_too_large_a_page_is_left_out_and_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_server, "_MAX_PAGE_BYTES", 100)
    world.page = b"x" * 101
    _, page = await ask("/stats/prometheus")
    assert page.splitlines()[1:] == ["lugsail_agent_scrape_failures_total 1", "app_total 2"]


async def test_the_apps_health(world: World) -> None:
    assert await ask("/app-health/a/livez") == (418, "127.0.0.6 yes")
    assert (await ask("/app-health/a/readyz"))[0] == 200
    status, body = await ask("/app-health/a/startupz")
    assert status == 503
    assert f"does not answer on port {CLOSED_PORT}" in body
    assert (await ask("/app-health/a/none"))[0] == 404


async def test_draining_and_ending(world: World) -> None:
    assert (await ask("/drain"))[0] == (await ask("/quitquitquit"))[0] == 405
    assert await ask("/drain", "POST") == (200, "OK\n")
    assert world.asked == ["POST /healthcheck/fail", "POST /drain_listeners?inboundonly&graceful"]
    assert await ask("/quitquitquit", "POST") == (200, "OK\n")
    await asyncio.wait_for(world.ended.wait(), 2)


async def test_others_may_not_end_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_server, "_is_local", lambda remote: False)
    for path in ("/drain", "/quitquitquit"):
        assert (await ask(path, "POST"))[0] == 403
    assert not world.ended.is_set()
    assert world.asked == []


def test_who_is_local() -> None:
    assert agent_server._is_local("127.0.0.1") and agent_server._is_local("::1")
    assert not any(agent_server._is_local(one) for one in ("10.0.0.1", "", None, "localhost"))


async def test_many_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_server, "_MAX_ACTIVE", 2)
    world.delay_s = 0.3
    answers = await asyncio.gather(*(ask("/healthz/ready") for _ in range(4)))
    assert sorted(status for status, _ in answers) == [200, 200, 503, 503]


async def test_forgotten_connections_make_room(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_server, "_MAX_CONNECTIONS", 3)
    idle = [await asyncio.open_connection(IP, PORT) for _ in range(3)]
    assert (await ask("/healthz/ready"))[0] == 200
    assert await asyncio.wait_for(idle[0][0].read(1), 2) == b"", "the oldest was closed"
    for _, writer in idle:
        writer.close()


async def test_a_busy_address_is_named(world: World) -> None:
    view = AgentView(admin=(IP, ADMIN_PORT), pod_address=str, quit=lambda: None)
    with pytest.raises(OSError) as caught:
        await AgentServer(view, (IP, PORT)).start()
    assert f"can not listen on {IP}:{PORT}" in caught.value.strerror
