"""Names from an applied resource to an answer: a real control plane, the agent's parts, the C library's resolver."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.message
import dns.rcode
import pytest

from controlplane.model.auto_addresses import allocate
from sidecar.agent.dns import NameServer
from sidecar.telemetry.stats import Stats
from sidecar.xds.client import XdsClient
from tests.controlplane.plane import Plane, node, registry_text
from tests.sidecar.agent.fake_resolver import FakeResolver

pytestmark = pytest.mark.e2e


@pytest.fixture
def plane(tmp_path: Path) -> Any:
    made = Plane(tmp_path, "127.31.12.1").start()
    yield made
    made.stop()


@contextlib.asynccontextmanager
async def agent(plane: Plane) -> AsyncIterator[tuple[NameServer, XdsClient]]:
    """What the agent beside an Envoy runs: the DNS server and a stream for names alone."""
    async with FakeResolver() as upstream:
        server = NameServer(("127.0.0.1", 0), [upstream.address])
        await server.start()
        who = node("reviews-v1", "127.31.9.3")
        who.metadata.update({"DNS_CAPTURE": "true"})
        client = XdsClient.for_names(f"{plane.address}:{plane.xds_port}", who, Stats(), server.replace)
        streaming = asyncio.create_task(client.run())
        try:
            yield server, client
        finally:
            streaming.cancel()
            await asyncio.gather(streaming, return_exceptions=True)
            await server.stop()


async def ask(server: NameServer, name: str) -> list[str]:
    query = dns.message.make_query(name, "A")
    reply = await dns.asyncquery.udp(query, server.address[0], timeout=5, port=server.address[1])
    assert reply.rcode() == dns.rcode.NOERROR
    return [r.address for answer in reply.answer for r in answer]


async def answered(server: NameServer, name: str, expected: list[str], seconds: float = 5.0) -> float:
    """Seconds until the name is answered so."""
    started = time.monotonic()
    got: list[str] = []
    while time.monotonic() < started + seconds:
        got = await ask(server, name)
        if got == expected:
            return time.monotonic() - started
        await asyncio.sleep(0.002)
    raise AssertionError(f"{name} is answered with {got}, not {expected}")


def entry(host: str, **spec: Any) -> dict[str, Any]:
    ports = [{"number": 9000, "name": "tcp", "protocol": "TCP"}]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": host.replace("*", "wild")},
        "spec": {"hosts": [host], "ports": ports, "resolution": "DNS", **spec},
    }


UPSTREAM = ["192.0.2.1"]


async def test_names_from_apply_to_answer(plane: Plane) -> None:
    async with agent(plane) as (server, client):
        await answered(server, "reviews", ["127.31.9.202"])
        assert await ask(server, "ratings.default.svc.cluster.local") == ["127.31.9.205"]
        assert await ask(server, "new.example") == UPSTREAM

        revision = await asyncio.to_thread(plane.apply, entry("new.example", addresses=["10.9.9.9"]))
        assert await answered(server, "new.example", ["10.9.9.9"]) < 1.0
        await asyncio.to_thread(plane.apply, entry("auto.example"))
        automatic = allocate(["default/auto.example"])["default/auto.example"]
        assert await answered(server, "auto.example", [automatic]) < 1.0
        table = (await asyncio.to_thread(plane.get, "/debug/ndsz?proxyID=reviews-v1.default"))["table"]
        assert table["auto.example"]["ips"] == [automatic]
        assert revision > 0 and client.connected

        # Another endpoint makes no new table.
        before = _pushes(await asyncio.to_thread(plane.get, "/debug/adsz"))
        plane.registry.write_text(registry_text(services={"productpage": 1, "details": 1, "reviews": 3, "ratings": 2}))
        await _until_revision(plane, revision + 2)
        assert _pushes(await asyncio.to_thread(plane.get, "/debug/adsz")) == before

        # While the control plane is away the last table stays, and comes up to date when it is back.
        await asyncio.to_thread(plane.stop)
        while client.connected:  # noqa: ASYNC110  the client has no event for it
            await asyncio.sleep(0.01)
        assert await ask(server, "auto.example") == [automatic]
        await asyncio.to_thread(plane.start)
        await asyncio.to_thread(
            plane.apply, entry("*.late.example", resolution="STATIC", endpoints=[{"address": "10.7.7.7"}])
        )
        await answered(server, "x.late.example", ["10.7.7.7"], 10.0)
        assert await ask(server, "auto.example") == [automatic], "the same after a restart"


def _pushes(adsz: Any) -> int:
    (client,) = adsz["clients"]
    return int(client["watches"]["NDS"]["pushes"])


async def _until_revision(plane: Plane, revision: int) -> None:
    async with asyncio.timeout(5.0):
        while (await asyncio.to_thread(plane.get, "/debug/adsz"))["revision"] < revision:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def test_the_c_library_resolves_through_it(tmp_path: Path) -> None:
    """getaddrinfo in a network namespace whose resolv.conf names the server, with a search domain."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("making a network namespace takes root, unshare and ip")
    conf = tmp_path / "resolv.conf"
    conf.write_text(
        "nameserver 127.0.0.1\nsearch default.svc.cluster.local svc.cluster.local\noptions ndots:5 timeout:1\n"
    )
    script = (
        f"ip link set lo up && mount --bind {conf} /etc/resolv.conf && exec {sys.executable} -m tests.e2e.dns_probe"
    )
    command = ["unshare", "--net", "--mount", "sh", "-c", script]
    found = subprocess.run(
        command, capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2], check=False
    )
    if found.returncode != 0 and "Operation not permitted" in found.stderr:
        pytest.skip(f"no network namespaces here: {found.stderr.strip()}")
    assert found.returncode == 0, found.stderr
    assert found.stdout.split("\n") == [
        "reviews 10.0.0.1",
        "reviews.default 10.0.0.1",
        "api.example 10.0.0.2",
        "dual.example 10.0.0.3 fd00::3",
        "x.wild.example 10.0.0.4",
        "elsewhere.example 192.0.2.1",
        "many.example 60 addresses",
        "",
    ]
