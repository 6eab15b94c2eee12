"""The Engine itself is killed and comes back: a real dockerd of the test's own, beside the machine's."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.errors import DockerException

from lugsail.lab.processes import start_time
from tests.controlplane.plane import Plane
from tests.controlplane.sources.test_docker_e2e import LISTENER
from tests.engine import IMAGE, engine_missing


def daemon_missing() -> str | None:
    if os.getuid() != 0 or shutil.which("dockerd") is None or shutil.which("ip") is None:
        return "a dockerd of its own needs root and the programs dockerd and ip (scripts/docker-engine)"
    return engine_missing()  # whose image is taken over


pytestmark = [
    pytest.mark.docker,
    pytest.mark.e2e,
    pytest.mark.timeout(180),
    pytest.mark.skipif(daemon_missing() is not None, reason=str(daemon_missing())),
]

PROJECT = "lugsail-daemon"
# Its own: without a bridge a dockerd would take the machine's docker0 away.
NUMBER = os.getpid() % 100000
BRIDGE, GATEWAY = f"lsd{NUMBER}", f"10.233.{NUMBER % 250}.1/24"


class Daemon:
    """One dockerd in a folder; containers outlive it (live-restore). Its sockets' paths must be short."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = f"unix://{folder}/d.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._spawn()
        try:
            within(30, "dockerd answers", self.answers)
        except AssertionError as e:
            raise AssertionError(f"{e}; the end of its log:\n{(self.folder / 'log').read_text()[-4000:]}") from None

    def _spawn(self) -> None:
        folder = self.folder
        with (folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("dockerd", "--host", self.host, "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"),
                    *("--pidfile", f"{folder}/pid", "--bridge", BRIDGE, "--iptables=false", "--live-restore"),
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def answers(self) -> bool:
        try:
            self.client().ping()
        except (DockerException, OSError):
            return False
        return True

    def client(self) -> docker.DockerClient:
        return docker.DockerClient(base_url=self.host, version="1.41")

    def kill(self) -> None:
        """The daemon and its containerd. Who finds the pid of one that ended but was not reaped yet (init may take
        its time) believes that it still runs, and waits for it in vain: the files that name them go."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)
        (self.folder / "pid").unlink(missing_ok=True)
        written = self.folder / "exec" / "containerd" / "containerd.pid"
        pid = int(written.read_text())
        within(10, "its containerd ends with it", lambda: start_time(pid) is None)
        written.unlink()

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(30)


class DaemonPlane(Plane):
    def __init__(self, folder: Path, host: str) -> None:
        super().__init__(folder, "127.31.8.9")
        self._host = host

    def arguments(self) -> list[str]:
        return [*super().arguments()[2:], "--docker", "--docker-host", self._host, "--docker-project", PROJECT]

    def endpoints(self) -> set[str]:
        services = self.get("/debug/endpointz")
        return {e["workload"].split(".")[0] for s in services for e in s["endpoints"]}

    def error(self) -> str:
        return str(self.get("/debug/registryz")["sources"][0]["error"] or "")


def within(seconds: float, what: str, condition) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.02)


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    folder = Path(f"/tmp/lsd-{os.getpid()}")
    folder.mkdir()
    made = Daemon(folder)
    ip("link", "add", BRIDGE, "type", "bridge")
    try:
        ip("addr", "add", GATEWAY, "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        made.start()
        image = subprocess.Popen(["docker", "save", IMAGE], stdout=subprocess.PIPE)
        subprocess.run(["docker", "-H", made.host, "load", "-q"], stdin=image.stdout, check=True, timeout=120)
        yield made
        for container in made.client().containers.list(all=True):
            container.remove(force=True)
    finally:
        made.stop()
        ip("link", "del", BRIDGE)
        # dockerd mounts it upon itself.
        subprocess.run(["umount", "-R", "-l", str(folder / "data")], capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=10)


def run(client: docker.DockerClient, name: str) -> None:
    client.containers.run(
        IMAGE,
        ["perl", "-MIO::Socket::INET", "-e", LISTENER],
        name=name,
        detach=True,
        labels={
            "app": "reviews",
            "lugsail.io/ports": "http:9080",
            "lugsail.io/workload": name,
            "com.docker.compose.project": PROJECT,
        },
    )


def test_what_runs_keeps_its_endpoints_and_what_happened_meanwhile_is_seen_after(
    daemon: Daemon, tmp_path: Path
) -> None:
    client = daemon.client()
    for name in ("stays", "goes"):
        run(client, name)
    plane = DaemonPlane(tmp_path, daemon.host)
    plane.start()
    try:
        within(10, "both are endpoints", lambda: plane.endpoints() == {"stays", "goes"})
        pid = client.containers.get("goes").attrs["State"]["Pid"]
        daemon.kill()
        within(5, "the loss is told", lambda: plane.error() != "")
        os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + 1.5  # some failed attempts to reach it
        while time.monotonic() < until:
            assert plane.endpoints() == {"stays", "goes"}, "an error never deletes"
            time.sleep(0.05)
        daemon.start()
        within(10, "the one that ended meanwhile is out", lambda: plane.endpoints() == {"stays"})
        assert plane.error() == ""
        # A dockerd that was killed may leave the network of what ended meanwhile for a while, address and all: the next
        # container gets that address, and would not always be reached.
        daemon.client().containers.run(IMAGE, ["sleep", "60"], detach=True)
        run(daemon.client(), "comes")
        within(2, "events flow again", lambda: plane.endpoints() == {"stays", "comes"})
    finally:
        plane.stop()
