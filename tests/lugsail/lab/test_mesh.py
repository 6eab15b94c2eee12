"""A whole lab of stand-ins: up, crash, join and leave, kill -9, down; and not a process left."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lugsail.client import Client
from lugsail.lab import processes, state
from lugsail.lab.addressing import Subnet
from lugsail.lab.checks import CannotStart
from lugsail.lab.control import ControlConnection
from lugsail.lab.paths import Home, source_root
from lugsail.lab.plan import Options
from lugsail.lab.run import encode, prepare

SUBNET = f"127.{130 + os.getpid() % 100}"  # so that two runs of the tests do not meet
PORT = 18300 + os.getpid() % 100

# The lab with its components' entry points exchanged for stand-ins.
DRIVER = """
import sys
from lugsail.lab import run, spawn
fakes = "tests.lugsail.lab.fakes"
spawn.PRELOAD = {"proxies": (fakes,), "apps": (fakes,)}
spawn.CONTROL_PLANE_TARGET = fakes + ":control_plane_main"
spawn.OBSERVER_TARGETS = dict.fromkeys(("tracing", "metrics"), fakes + ":observer")
spawn.PROXY_TARGET = fakes + ":proxy"
spawn.forkable_module = lambda command: fakes if command[0] == "python" else None
spawn.APP_FUNCTION = "app"
sys.exit(run.main(sys.argv[1:]))
"""

TOPOLOGY = """
services:
  a-v1: {command: [python, -m, app], labels: {app: a, version: v1, lugsail.io/ports: "http:9080"}}
  curl: {labels: {app: curl}}
"""


class Lab:
    def __init__(self, folder: Path) -> None:
        self.home = Home(folder / "home")
        topology = folder / "app.yaml"
        topology.write_text(TOPOLOGY)
        self.options = Options(self.home, Subnet(SUBNET), topology, gateway_port=PORT, observers=("tracing", "metrics"))
        self.process: subprocess.Popen[bytes] | None = None
        self.events: list[dict[str, Any]] = []

    def up(self) -> None:
        self.home.create()
        read_end, write_end = os.pipe()
        environment = {**os.environ, "PYTHONPATH": str(source_root())}
        command = [sys.executable, "-c", DRIVER, encode(self.options), str(write_end)]
        with self.home.log("lab").open("ab") as log:
            self.process = subprocess.Popen(command, pass_fds=(write_end,), env=environment, stdout=log, stderr=log)
        os.close(write_end)
        with os.fdopen(read_end) as events:
            self.events = [json.loads(line) for line in events]

    @property
    def state(self) -> state.LabState:
        found = state.read_state(self.home)
        assert found is not None
        return found

    def down(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)


@contextmanager
def running(folder: Path) -> Iterator[Lab]:
    lab = Lab(folder)
    lab_id = ""
    try:
        lab.up()
        assert lab.events[-1]["event"] == "up", lab.home.log("lab").read_text()
        lab_id = lab.state.lab_id
        yield lab
    finally:
        lab.down()
        left = state.read_state(lab.home)
        if left is not None:
            state.clean_up(lab.home, left)
    assert processes.marked(lab_id) == []


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One lab for the tests that leave it as it was."""
    with running(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


async def eventually(check: Callable[[], Any]) -> Any:
    async with asyncio.timeout(10):
        while True:
            try:
                if found := check():
                    return found
            except (OSError, AssertionError):
                pass
            await asyncio.sleep(0.01)


def pod(lab: Lab, name: str) -> dict[str, Any]:
    found = lab.state.pod(name)
    assert found is not None
    return found


async def test_up_seeds_the_control_plane_and_writes_its_state(lab: Lab) -> None:
    assert lab.events[-1]["failed"] == []
    assert lab.events[0]["event"] == "plan"
    assert [each["workload"] for each in lab.state.pods] == ["a-v1", "curl", "istio-ingressgateway"]
    assert all(each["proxy_state"]["state"] == "ready" for each in lab.state.pods)
    client = Client(lab.state.control_plane_url)
    sidecars = client.list("networking.istio.io", "sidecars", None)["items"]
    assert sorted(each["metadata"]["name"] for each in sidecars) == ["a-v1", "curl"]
    assert len(client.list("networking.istio.io", "gateways", None)["items"]) == 1
    client.close()
    assert "a.default.svc.cluster.local" in lab.home.registry_file.read_text()


async def test_a_killed_proxy_is_started_again(lab: Lab) -> None:
    before = pod(lab, "a-v1")["proxy_state"]["pid"]
    os.kill(before, signal.SIGKILL)
    after = await eventually(
        lambda: (now := pod(lab, "a-v1")["proxy_state"])["state"] == "ready" and now["pid"] != before and now
    )
    assert after["restarts"] == 1
    assert after["last_exit"] == "killed by SIGKILL"
    assert "restart 1" in lab.home.log("lab").read_text()


async def test_what_watches_the_mesh_is_kept_running_and_in_the_registry(lab: Lab) -> None:
    def tracing() -> dict[str, Any]:
        found: dict[str, Any] = lab.state.data["observers"][0]
        return found

    before = tracing()
    assert (before["name"], before["ip"], before["url"]) == ("tracing", f"{SUBNET}.0.2", f"http://{SUBNET}.0.2:16686/")
    assert [each["state"] for each in lab.state.data["observers"]] == ["ready", "ready"]
    os.kill(before["pid"], signal.SIGKILL)
    await eventually(lambda: (now := tracing())["state"] == "ready" and now["pid"] != before["pid"])
    assert tracing()["restarts"] == 1
    assert "tracing.istio-system.svc.cluster.local" in lab.home.registry_file.read_text()
    assert lab.state.data["mesh_config"] == str(lab.home.mesh_config_file)
    assert "extensionProviders" in lab.home.mesh_config_file.read_text()


async def test_a_program_joins_and_leaves(lab: Lab) -> None:
    connection = ControlConnection(lab.home.control_socket)
    spec = {"name": "b-v1", "namespace": "default", "app": "b", "version": "v1", "port": 8000}
    connection.send({"op": "join", "workload": spec})
    answers = connection.answers()
    first = await asyncio.to_thread(next, answers)
    assert first["environment"]["http_proxy"] == f"http://{SUBNET}.4.2:15080"
    assert "b-v1" not in lab.home.registry_file.read_text()
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", first["pod"]["app_port"])
    assert await asyncio.to_thread(next, answers) == {"joined": True}
    server.close()
    assert "b-v1" in lab.home.registry_file.read_text()
    assert pod(lab, "b-v1")["proxy_state"]["state"] == "ready"
    connection.close()
    await eventually(lambda: lab.state.pod("b-v1") is None)
    assert "b-v1" not in lab.home.registry_file.read_text()


async def test_a_name_or_a_port_that_does_not_fit_is_refused(lab: Lab) -> None:
    for change, message in (
        ({"name": "a-v1"}, "There is a workload a-v1 already"),
        ({"port": 1}, "The service a has the port 9080: say --port 9080."),
    ):
        connection = ControlConnection(lab.home.control_socket)
        spec = {"name": "a-v2", "namespace": "default", "app": "a", "version": "v2", "port": 9080, **change}
        connection.send({"op": "join", "workload": spec})
        answer = await asyncio.to_thread(next, connection.answers())
        assert message in answer["error"]
        assert answer["exit_code"] == 64
        connection.close()


async def test_a_second_lab_is_told_of_the_first(lab: Lab) -> None:
    with pytest.raises(CannotStart, match=r"A mesh is running already \(pid \d+"):
        prepare(lab.options, lambda event: None)


async def test_another_lab_on_the_same_subnet_is_refused(lab: Lab, tmp_path: Path) -> None:
    options = Options(Home(tmp_path / "other"), Subnet(SUBNET), lab.options.topology, gateway_port=PORT + 1)
    with pytest.raises(CannotStart, match=rf"{SUBNET}\.0\.1:8080 is taken by .*LUGSAIL_SUBNET=127\.\d+ lugsail up"):
        prepare(options, lambda event: None)


def test_after_kill_9_the_next_lab_cleans_up_and_says_so_and_stops_when_asked(lab: Lab) -> None:
    """The last test of this file: the lab that the others shared ends here."""
    stale = lab.state
    assert lab.process is not None
    lab.process.kill()
    lab.process.wait()
    assert not lab.state.is_running
    notes: list[dict[str, Any]] = []
    options, pods, lock = prepare(lab.options, notes.append)
    lock.release()
    assert options.keep
    assert len(pods) == 3
    assert "The last mesh was killed" in notes[0]["text"]
    assert state.leftovers(stale) == []
    assert state.read_state(lab.home) is None

    lab.up()
    connection = ControlConnection(lab.home.control_socket)
    connection.send({"op": "stop"})
    events = list(connection.answers())
    connection.close()
    assert lab.process.wait(20) == 0
    assert any(event.get("event") == "component" and event.get("state") == "stopped" for event in events)
    assert state.read_state(lab.home) is None
    assert processes.marked(stale.lab_id) == []
