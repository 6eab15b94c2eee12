"""From what happens to a container to EDS, with the real Engine and a real control plane: within a second, always."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from tests.controlplane.plane import Plane
from tests.engine import HOST, IMAGE, engine_missing

pytestmark = [
    pytest.mark.docker,
    pytest.mark.e2e,
    pytest.mark.timeout(180),
    pytest.mark.skipif(engine_missing() is not None, reason=str(engine_missing())),
]

PREFIX = f"lssource-{os.getpid()}"
LIMIT_S = 1.0
# Accepts connections on 9080 until it is told to stop.
LISTENER = (
    "$SIG{TERM} = sub { exit 0 };"
    " my $s = IO::Socket::INET->new(LocalPort => 9080, Listen => 64, ReuseAddr => 1) or die;"
    " while (1) { my $c = $s->accept or next; close $c }"
)


class Lab:
    """Containers of one compose project that never was, and a control plane that watches them."""

    def __init__(self, folder: Path) -> None:
        self.client = docker.DockerClient(base_url=HOST)
        self.network = self.client.networks.create(PREFIX, labels={"com.docker.compose.project": PREFIX})
        self.plane = DockerPlane(folder)
        self.times: dict[str, float] = {}
        self._started = time.monotonic()

    def run(self, name: str, *, health: dict | None = None, wait: bool = True, **labels: str) -> Container:
        given = {
            "app": "reviews",
            "lugsail.io/ports": "http:9080",
            "lugsail.io/workload": name,
            "com.docker.compose.project": PREFIX,
            **{key.replace("__", "."): value for key, value in labels.items()},
        }
        command = ["perl", "-MIO::Socket::INET", "-e", LISTENER]
        made = self.client.containers.create(
            IMAGE, command, name=f"{PREFIX}-{name}", network=PREFIX, labels=given, healthcheck=health
        )
        made.start()
        if wait:
            self.within(f"start {name}", lambda: name in self.endpoints())
        return made

    def endpoints(self) -> dict[str, str]:
        """Workload → address, of those that EDS holds for service reviews."""
        services = self.plane.get("/debug/endpointz")
        return {
            e["workload"].split(".")[0]: e["address"]
            for s in services
            if s["service"] == "reviews.default.svc.cluster.local"
            for e in s["endpoints"]
        }

    def within(self, what: str, condition, seconds: float = LIMIT_S) -> None:
        """From now, which is just after the Engine has done it."""
        begin = time.monotonic()
        while not condition():
            assert time.monotonic() - begin < seconds, f"{what}: not within {seconds} s; there is {self.endpoints()}"
            time.sleep(0.005)
        self.times[what] = time.monotonic() - begin

    def close(self) -> None:
        self.plane.stop()
        mine = {"label": f"com.docker.compose.project={PREFIX}"}
        for container in self.client.containers.list(all=True, ignore_removed=True, filters=mine):
            container.remove(force=True)
        self.network.remove()
        self.client.close()
        print(json.dumps({what: round(seconds * 1000) for what, seconds in self.times.items()}), file=sys.stderr)


class DockerPlane(Plane):
    """On the host: all networks are within reach, the project is named."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "127.31.8.7")

    def arguments(self) -> list[str]:
        return [*super().arguments()[2:], "--docker", "--docker-host", HOST, "--docker-project", PREFIX]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("docker"))
    try:
        made.plane.start()
        yield made
    finally:
        made.close()


@pytest.fixture
def web(lab: Lab) -> Iterator[Container]:
    made = lab.run("web")
    yield made
    made.remove(force=True)
    lab.within("remove", lambda: lab.endpoints() == {})


def test_stop_and_start(lab, web):
    web.kill()
    lab.within("kill", lambda: lab.endpoints() == {})
    web.start()
    lab.within("start again", lambda: "web" in lab.endpoints())
    web.stop(timeout=2)
    lab.within("stop", lambda: lab.endpoints() == {})


def test_pause_and_unpause(lab, web):
    web.pause()
    lab.within("pause", lambda: lab.endpoints() == {})
    web.unpause()
    lab.within("unpause", lambda: "web" in lab.endpoints())


def test_a_restart_on_a_new_address(lab, web):
    before = lab.endpoints()["web"]
    web.stop(timeout=2)
    lab.within("stop", lambda: lab.endpoints() == {})
    other = lab.run("other")  # takes the address that has become free
    web.start()
    lab.within("start on a new address", lambda: lab.endpoints().get("web", before) != before)
    assert lab.endpoints()["other"] == before
    other.remove(force=True)
    lab.within("remove", lambda: set(lab.endpoints()) == {"web"})


def test_health(lab):
    every_s, limit_s = 0.3, 2.0
    test = ["CMD", "test", "!", "-e", "/sick"]
    check = {"test": test, "interval": int(every_s * 1e9), "timeout": int(limit_s * 1e9), "retries": 1}
    web = lab.run("ill", health=check)
    try:
        web.exec_run(["touch", "/sick"])
        _await_health(web, "unhealthy")
        lab.within("unhealthy", lambda: lab.endpoints() == {})
        web.exec_run(["rm", "/sick"])
        _await_health(web, "healthy")
        lab.within("healthy", lambda: "ill" in lab.endpoints())
    finally:
        web.remove(force=True)
    lab.within("remove", lambda: lab.endpoints() == {})


def test_a_pause_of_a_container_with_a_health_check(lab):
    """Docker calls it unhealthy until its next check, which is long after the pause."""
    web = lab.run("checked", health={"test": ["CMD", "true"], "interval": int(60e9)})
    try:
        web.pause()
        lab.within("pause with health check", lambda: lab.endpoints() == {})
        web.unpause()
        lab.within("unpause with health check", lambda: "checked" in lab.endpoints())
    finally:
        web.remove(force=True)
    lab.within("remove", lambda: lab.endpoints() == {})


def _await_health(container: Container, status: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        container.reload()
        if container.attrs["State"]["Health"]["Status"] == status:
            return
        assert time.monotonic() < deadline, f"Docker never found it {status}"
        time.sleep(0.01)


def test_a_network_that_goes_and_comes_back(lab, web):
    lab.network.disconnect(web)
    lab.within("disconnect", lambda: lab.endpoints() == {})
    lab.network.connect(web)
    lab.within("connect", lambda: "web" in lab.endpoints())


def test_replicas_come_and_go(lab):
    made = [
        lab.run("web", wait=False, **{"com.docker.compose.container-number": str(n), "lugsail.io/workload": "many"})
        if n == 1
        else _replica(lab, n)
        for n in (1, 2, 3)
    ]
    lab.within("scale up to 3", lambda: set(lab.endpoints()) == {"many", "many-2", "many-3"})
    for container in made[1:]:
        container.remove(force=True)
    lab.within("scale down to 1", lambda: set(lab.endpoints()) == {"many"})
    made[0].remove(force=True)
    lab.within("remove", lambda: lab.endpoints() == {})


def _replica(lab: Lab, number: int) -> Container:
    labels = {"com.docker.compose.container-number": str(number), "lugsail.io/workload": "many"}
    return lab.run(f"web-{number}", wait=False, **labels)


def test_the_control_plane_comes_back_with_every_endpoint(lab, web):
    lab.plane.stop()
    lab.plane.start()
    assert set(lab.endpoints()) == {"web"}, "ready from the first answer on"


def test_bad_labels_are_shown(lab, web):
    bad = lab.run("bad", wait=False, **{"lugsail.io/ports": "http:nine"})
    try:
        lab.within("a warning", lambda: _warnings(lab) != [])
        assert _warnings(lab) == [
            f"container {PREFIX}-bad: label lugsail.io/ports: 'http:nine': 'nine' is not a port from 1 to 65535; "
            "it is left out"
        ]
        assert set(lab.endpoints()) == {"web"}
    finally:
        bad.remove(force=True)
    lab.within("no warning", lambda: _warnings(lab) == [])


def _warnings(lab: Lab) -> list[str]:
    (source,) = lab.plane.get("/debug/registryz")["sources"]
    return source["warnings"]
