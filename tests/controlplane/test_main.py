"""The whole control plane: as a process where the process matters, else inside the test's loop."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from controlplane import main as main_module
from controlplane.main import ControlPlane, main
from controlplane.options import parse_options
from tests.controlplane.plane import AdsClient, Plane, destination_rule, node, registry_text, virtual_service
from tests.controlplane.xds.fakes import until


@pytest.fixture
def plane(tmp_path: Path):
    made = Plane(tmp_path)
    yield made
    made.stop(signal.SIGKILL)


@pytest.fixture(autouse=True)
def _own_logging():
    """main() sets up logging for its process; here that is the tests' process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def test_help_shows_an_example(capsys):
    assert main(["--help"]) == 0
    assert "example:" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--http-port", "99999"], ["--log-level", "loud"], ["--nonsense"]])
def test_a_wrong_command_line_is_2(arguments, capsys):
    assert main(arguments) == 2
    assert "error:" in capsys.readouterr().err


def test_importing_starts_nothing():
    import threading

    assert main_module.main and not [t for t in threading.enumerate() if "grpc" in t.name.lower()]


@pytest.mark.parametrize("flag", ["--http-port", "--xds-port", "--monitoring-port"])
def test_a_busy_port_is_named_with_the_way_out(plane, flag, caplog, capfd):
    port = {"--http-port": plane.http_port, "--xds-port": plane.xds_port, "--monitoring-port": plane.monitoring_port}
    with socket.socket() as taken:
        taken.bind((plane.address, port[flag]))
        taken.listen()
        assert main(plane.arguments()) == 1
    told = capfd.readouterr().err
    assert f"port {port[flag]} on {plane.address} is in use" in told and flag in told


def test_an_address_that_is_not_ours_is_named(plane, capfd):
    assert main([*plane.arguments(), "--address", "192.0.2.1"]) == 1
    assert "192.0.2.1 is not an address of this machine" in capfd.readouterr().err


def test_an_unusable_store_is_named(plane, capfd):
    plane.store.write_bytes(b"not a database" * 1000)
    assert main(plane.arguments()) == 1
    assert f"store {plane.store}" in capfd.readouterr().err


def test_life_of_the_process(plane):
    """Start, serve, apply, kill -9, start again with everything there, stop gracefully."""
    started = time.monotonic()
    plane.start()
    assert time.monotonic() - started < 10
    revision = plane.apply(virtual_service())
    assert plane.distribution(revision)[-1] == {
        "done": True,
        "ms": 0.0,
        "acked": 0,
        "nacked": 0,
        "unaffected": 0,
        "disconnected": 0,
        "pending": [],
    }
    plane.stop(signal.SIGKILL)
    plane.start()
    (kept,) = plane.get("/debug/configz")
    assert kept["metadata"]["name"] == "reviews"
    assert plane.apply(destination_rule()) > revision
    assert "pilot_xds_pushes" in plane.request("GET", "/metrics", port=plane.monitoring_port)[1]
    assert plane.request("GET", "/debug/syncz", port=plane.monitoring_port)[0] == 200
    assert plane.stop(signal.SIGTERM) == 0
    assert plane.log.read_text().rstrip().endswith("stopped")


def test_nothing_is_served_before_the_registry_is_complete(plane):
    plane.registry.unlink()
    plane.start(wait=False)
    deadline = time.monotonic() + 10
    while True:
        try:
            status, body = plane.get("/ready", raw=True)
            if "there is no such file" in body:
                break
        except OSError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert status == 503 and str(plane.registry) in body
    # Resources can be applied meanwhile.
    revision = plane.apply(virtual_service())
    with pytest.raises(OSError), socket.create_connection((plane.address, plane.xds_port), 1):
        pass
    plane.registry.write_text(registry_text())
    plane.wait_ready()
    socket.create_connection((plane.address, plane.xds_port), 1).close()
    assert plane.distribution(revision)[-1]["done"]


_FORK = """
import os, sys
from controlplane.main import main
child = os.fork()
if child == 0:
    sys.exit(main(sys.argv[1:]))
print(child, flush=True)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_it_can_be_forked_after_import(plane):
    """The lab imports once and forks each component."""
    command = [sys.executable, "-c", _FORK, *plane.arguments()]
    plane.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=plane.log.open("ab"))
    child = int(plane.process.stdout.readline())
    plane.wait_ready()
    os.kill(child, signal.SIGTERM)
    assert plane.process.wait(10) == 0
    plane.process.stdout.close()


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    """Ask until it holds."""
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        await asyncio.sleep(0.005)


async def is_ready(plane: Plane) -> bool:
    try:
        return (await in_thread(plane.get, "/ready", True))[0] == 200
    except OSError:
        return False


async def in_thread(function, *arguments):
    return await asyncio.to_thread(function, *arguments)


@pytest.fixture(params=[False, True], ids=["sotw", "delta"])
def delta(request) -> bool:
    return request.param


class TestWithProxies:
    """Real translation, real gRPC; the proxies are clients that accept everything."""

    @pytest.fixture
    async def plane(self, tmp_path: Path):
        made, stop = Plane(tmp_path), asyncio.Event()
        running = asyncio.create_task(ControlPlane(parse_options(made.arguments())).run(stop))
        await eventually(lambda: is_ready(made))
        yield made
        stop.set()
        await running

    def client(self, plane: Plane, delta: bool, workload: str = "productpage-v1", ip: str = "127.31.9.1") -> AdsClient:
        return AdsClient(f"{plane.address}:{plane.xds_port}", node(workload, ip), delta)

    async def synced(self, plane: Plane, count: int) -> list[dict]:
        rows: list[dict] = []

        async def check() -> bool:
            nonlocal rows
            rows = await in_thread(plane.get, "/debug/syncz")
            return len(rows) == count and all(
                v == "SYNCED" for r in rows for k, v in r.items() if k.endswith("_status")
            )

        await eventually(check)
        return rows

    async def test_apply_reaches_the_proxies(self, plane, delta):
        async with self.client(plane, delta), self.client(plane, delta, "details-v1", "127.31.9.2"):
            rows = await self.synced(plane, 2)
            assert rows[0]["proxy"] == "details-v1.default" and rows[0]["ip"] == "127.31.9.2"
            await in_thread(plane.apply, destination_rule())
            revision = await in_thread(plane.apply, virtual_service())
            lines = await in_thread(plane.distribution, revision)
            assert lines[0]["proxies"] == ["details-v1.default", "productpage-v1.default"]
            assert {line["state"] for line in lines[1:-1]} == {"ACKED"}
            assert lines[-1]["acked"] == 2

    async def test_a_rejection_is_shown_where_it_was_typed(self, plane, delta):
        async with self.client(plane, delta) as client:
            await self.synced(plane, 1)
            await in_thread(plane.distribution, await in_thread(plane.apply, destination_rule()))
            client.refuse = dict.fromkeys(client.resources, "cannot do this")
            lines = await in_thread(plane.distribution, await in_thread(plane.apply, virtual_service()))
            assert lines[1]["state"] == "NACKED" and lines[1]["error"] == "RDS: cannot do this"
            (row,) = await in_thread(plane.get, "/debug/syncz")
            assert row["route_status"] == "NACKED" and row["errors"] == {"RDS": "cannot do this"}
            _, metrics, _ = await in_thread(plane.request, "GET", "/metrics", None, plane.monitoring_port)
            assert "pilot_total_xds_rejects 1.0" in metrics

    async def test_invalid_input_changes_nothing(self, plane, delta):
        async with self.client(plane, delta) as client:
            await self.synced(plane, 1)
            client.received.clear()
            bad = virtual_service()
            bad["spec"]["http"][0]["route"][0]["weight"] = -1
            path = "/apis/networking.istio.io/v1/namespaces/default/virtualservices/reviews"
            status, body, headers = await in_thread(plane.request, "PUT", path, bad)
            assert status == 422 and json.loads(body)["details"]["causes"] and "X-Lugsail-Revision" not in headers
            await in_thread(plane.get, "/debug/syncz")
            assert client.received == []

    async def test_a_new_workload_reaches_the_proxies(self, plane, delta):
        async with self.client(plane, delta) as client:
            await self.synced(plane, 1)
            client.received.clear()
            text = registry_text(services={"productpage": 1, "details": 1, "reviews": 4, "ratings": 1})
            fresh = plane.registry.with_suffix(".new")
            fresh.write_text(text)
            started = time.monotonic()
            fresh.rename(plane.registry)
            await until(lambda: client.received, "the new endpoint")
            assert time.monotonic() - started < 1.0

    async def test_a_broken_registry_is_told_and_nothing_is_lost(self, plane, delta):
        async with self.client(plane, delta) as client:
            await self.synced(plane, 1)
            client.received.clear()
            plane.registry.write_text("kind: [")
            found: dict = {}

            async def told() -> bool:
                found.update(await in_thread(plane.get, "/debug/registryz"))
                return found["sources"][0]["error"] is not None

            await eventually(told)
            assert f"{plane.registry}:2:1: not YAML" in found["sources"][0]["error"]
            assert len(found["services"]) == 4 and client.received == []
            assert (await in_thread(plane.get, "/ready", True))[0] == 200

    async def test_every_debug_page_says_something(self, plane, delta):
        async with self.client(plane, delta):
            await self.synced(plane, 1)
            of_a_proxy = ("config_dump", "ndsz")
            for path in await in_thread(plane.get, "/debug/list"):
                query = "?proxyID=productpage-v1.default" if path.endswith(of_a_proxy) else ""
                for port in (plane.http_port, plane.monitoring_port):
                    status, body, _ = await in_thread(plane.request, "GET", path + query, None, port)
                    assert status == 200 and body.strip() not in ("", "{}"), path
            clients = (await in_thread(plane.get, "/debug/adsz"))["clients"]
            assert clients[0]["watches"]["CDS"]["version_acked"] == clients[0]["watches"]["CDS"]["version_sent"] != ""
            (stream,) = await in_thread(plane.get, "/debug/connections")
            assert stream["protocol"] == ("delta" if delta else "sotw") and stream["current"]
            endpoints = await in_thread(plane.get, "/debug/endpointz")
            assert {len(e["endpoints"]) for e in endpoints if e["service"].startswith("reviews.")} == {3}

    async def test_the_config_dump_is_what_the_proxy_has(self, plane, delta):
        async with self.client(plane, delta) as client:
            await self.synced(plane, 1)
            dump = await in_thread(plane.get, "/debug/config_dump?proxyID=productpage-v1.default")
            by_type = {c["@type"].rsplit(".", 1)[-1]: c for c in dump["configs"]}
            clusters = {c["cluster"]["name"] for c in by_type["ClustersConfigDump"]["dynamic_active_clusters"]}
            listeners = {item["name"] for item in by_type["ListenersConfigDump"]["dynamic_listeners"]}
            cds, lds = (t for t in client.resources if t.endswith(("Cluster", "Listener")))
            assert clusters == set(client.resources[cds]) and listeners == set(client.resources[lds])
            status, body = await in_thread(plane.get, "/debug/config_dump?proxyID=nobody", True)
            assert status == 404 and "productpage-v1.default" in body

    async def test_a_forced_push_sends_everything_again(self, plane, delta):
        async with self.client(plane, delta) as client:
            await self.synced(plane, 1)
            client.received.clear()
            await in_thread(plane.get, "/debug/adsz?push=true")
            await until(lambda: len(client.received) >= 4, "all four types")
            assert [t.rsplit(".", 1)[-1] for t, _, _ in client.received[:4]] == [
                "Cluster",
                "ClusterLoadAssignment",
                "Listener",
                "RouteConfiguration",
            ]

    @pytest.mark.parametrize("query", ["revision=999999", "revision=x", "revision=0&timeout=soon"])
    async def test_wrong_distribution_questions(self, plane, delta, query):
        status, body = await in_thread(plane.get, f"/apis/lugsail.io/v1/distribution?{query}", True)
        assert status in (400, 404) and json.loads(body)["kind"] == "Status"
