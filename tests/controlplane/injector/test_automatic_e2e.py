"""Automatic injection on a real Engine: a project of apps that know nothing of the mesh, and a control plane beside."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.timeout(600)]

PLANES, APPS = "lugsail/planes", "lugsail/apps"
# Starting Python in a container takes seconds while eight others do.
PATIENCE_S = 90.0
COMPOSE = """
services:
  web:
    image: lugsail/apps
    command: [python, -m, bookinfo.httpbin]
    environment: {PORT: "8000"}
    stop_grace_period: 1s
    labels: {app: web, version: v1, lugsail.io/ports: "http:8000"}
    networks: {default: {aliases: [web]}}
  client:
    image: lugsail/apps
    command: [pause]
    stop_grace_period: 1s
    labels: {app: client}
  plain:
    image: lugsail/apps
    command: [pause]
    stop_grace_period: 1s
    labels: {app: plain, sidecar.istio.io/inject: "false"}
networks:
  default:
    labels: {istio-injection: enabled}
"""


@pytest.fixture(scope="module")
def engine() -> Any:
    docker = pytest.importorskip("docker")
    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException as error:
        pytest.skip(f"no Docker Engine answers: {error}")
    for image in (PLANES, APPS):
        try:
            client.images.get(image)
        except docker.errors.ImageNotFound:
            pytest.skip(f"the image {image} is not built: make images")
    if shutil.which("docker") is None:
        pytest.skip("there is no docker command")
    return client


class Mesh:
    """The project, and the control plane as a process that listens on the network's gateway."""

    def __init__(self, engine: Any, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        self.project = f"lsinject-{os.getpid()}"
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "compose.yaml").write_text(COMPOSE, encoding="utf-8")

    def compose(self, *words: str) -> str:
        command = ["docker", "compose", "-p", self.project, "-f", str(self.folder / "compose.yaml"), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start_control_plane(self) -> None:
        network = self.engine.networks.get(f"{self.project}_default")
        gateway = network.attrs["IPAM"]["Config"][0]["Gateway"]
        command = [sys.executable, "-m", "controlplane", "--docker", "--docker-project", self.project, "--inject"]
        command += ["--address", gateway, "--store", str(self.folder / "store.db")]
        with (self.folder / "control-plane.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def kill_control_plane(self, number: int = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(30)
            self.process = None

    def log(self) -> str:
        return (self.folder / "control-plane.log").read_text(encoding="utf-8")

    def containers(self, *labels: str) -> dict[str, Any]:
        wanted = [f"com.docker.compose.project={self.project}", *labels]
        return {
            each.name: each
            for each in self.engine.containers.list(all=True, ignore_removed=True, filters={"label": wanted})
        }

    def injected(self) -> dict[str, str]:
        """Name → id of what was injected."""
        return {name: each.id for name, each in self.containers("lugsail.io/injected-by").items()}

    def name(self, service: str, number: int = 1) -> str:
        return f"{self.project}-{service}-{number}"

    def curl(self, service: str) -> dict[str, str]:
        """The request headers that the app behind http://web:8000 saw; nothing where there was no good answer."""
        client = self.engine.containers.get(self.name(service))
        code, output = client.exec_run(["curl", "-s", "-f", "-m", "5", "http://web:8000/headers"])
        return {name.lower(): value for name, value in json.loads(output)["headers"].items()} if code == 0 else {}

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}\n{self.log()[-3000:]}"
            time.sleep(0.1)

    def clean_up(self) -> None:
        self.kill_control_plane(signal.SIGTERM)
        for each in self.containers("lugsail.io/injected-by").values():
            each.remove(force=True)
        self.compose("down", "-t", "1", "--remove-orphans")


@pytest.fixture
def mesh(engine: Any, tmp_path: Path) -> Iterator[Mesh]:
    mesh = Mesh(engine, tmp_path)
    try:
        mesh.compose("up", "-d")
        mesh.start_control_plane()
        yield mesh
    finally:
        mesh.clean_up()


def test_the_life_of_injected_sidecars(mesh: Mesh) -> None:
    web, client = f"{mesh.name('web')}-proxy", f"{mesh.name('client')}-proxy"
    mesh.until(lambda: set(mesh.injected()) == {web, client}, "both apps have a sidecar, and no init is left")
    mesh.until(lambda: bool(mesh.curl("plain")), "a client without a sidecar gets an answer")

    # Both ends are captured: these two headers are written by the client's sidecar, which curl knows nothing of.
    mesh.until(lambda: "x-envoy-attempt-count" in mesh.curl("client"), "the client's traffic is captured")
    assert "x-request-id" in mesh.curl("client")
    mesh.until(lambda: "x-request-id" in mesh.curl("plain"), "the server's sidecar takes what comes from outside")
    assert "x-envoy-attempt-count" not in mesh.curl("plain")

    # Scaled: each container has its own sidecar and its own name.
    mesh.compose("up", "-d", "--scale", "web=3", "--no-recreate")
    expected = {client, *(f"{mesh.name('web', number)}-proxy" for number in (1, 2, 3))}
    mesh.until(lambda: set(mesh.injected()) == expected, "three of web have sidecars")
    pods = {each.labels["lugsail.io/pod"] for each in mesh.containers("lugsail.io/role=proxy").values()}
    assert pods == {"client", "web", "web-2", "web-3"}
    assert "web-proxy" in mesh.compose("ps", "--format", "json")

    # Restarted: the app has a new network namespace.
    before = mesh.injected()
    mesh.engine.containers.get(mesh.name("web")).restart(timeout=1)
    mesh.until(lambda: mesh.injected().get(web, before[web]) != before[web], "a new sidecar after the restart")
    assert {name for name, each in mesh.injected().items() if before.get(name) == each} == expected - {web}

    # Killed: what is there goes on and is adopted; an app that stopped meanwhile loses its sidecar.
    mesh.kill_control_plane()
    mesh.until(lambda: "x-envoy-attempt-count" in mesh.curl("client"), "the mesh works without its control plane")
    before = mesh.injected()
    mesh.engine.containers.get(mesh.name("web", 3)).remove(force=True)
    mesh.start_control_plane()
    gone = f"{mesh.name('web', 3)}-proxy"
    mesh.until(lambda: gone not in mesh.injected(), "the sidecar of an app that is gone")
    assert mesh.injected() == {name: each for name, each in before.items() if name != gone}

    # Gone: `docker compose down` knows nothing of sidecars and does not stumble over them.
    mesh.compose("down", "-t", "1")
    mesh.until(lambda: not mesh.containers(), "nothing is left")
