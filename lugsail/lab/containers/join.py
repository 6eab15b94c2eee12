"""`lugsail run` in a mesh of containers: a program in a container of its own joins the mesh for as long as it runs.

The container is labelled so that the control plane's injector gives it a sidecar; nothing of that is done here.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from lugsail.client import ApiError, Client, Unreachable
from lugsail.lab.containers import discovery, engine
from lugsail.lab.containers.discovery import View, Workload
from lugsail.lab.containers.mesh import ContainerMesh, injected, list_containers, url_of
from lugsail.lab.errors import LabError

if TYPE_CHECKING:
    from docker import APIClient

DEFAULT_IMAGE = "lugsail/apps"
FOLDER = "/work"
STOP_GRACE_S = 5
SIDECAR_WAIT_S = 20.0
WITHOUT_SIDECAR = "does the control plane run with --inject? `lugsail logs controlplane` tells"
SIDECAR_UID = 1337
POLL_S = 0.1
USAGE = 64


@dataclass(frozen=True)
class Program:
    """What is to run: who it is in the mesh, and its command. `app_port` is where it listens, if not on `port`."""

    name: str
    namespace: str
    app: str
    version: str
    port: int
    app_port: int | None
    proxy: str
    image: str
    words: tuple[str, ...]


def run(mesh: ContainerMesh, program: Program) -> int:
    """Run it in the foreground; its exit code (128 + the signal that ended it). Raises LabError."""
    client, view = mesh.client, mesh.view()
    url = url_of(view)
    service_account = agree_with_service(program, view)
    container = _create(client, view, program, service_account)
    joined = threading.Event()
    try:
        with _signals_to(client, container):
            client.start(container)
            watching = threading.Thread(
                target=_tell_joined, args=(url, program, joined, client, container), daemon=True
            )
            watching.start()
            _copy_output(client, container)
            code = int(client.wait(container)["StatusCode"])
    except Exception as problem:
        raise _explained(problem, program) from problem
    finally:
        _remove(client, container)
    if not joined.is_set():
        print(
            f"{program.name} ended before port {_listens_on(program)} of its container was seen open, so it got no "
            f"traffic; it listens on $PORT, on all addresses?",
            file=sys.stderr,
        )
    return code


def agree_with_service(program: Program, view: View) -> str:
    """The service account: that of the service, where there is one. Raises LabError when its port is another."""
    if view.workload(program.name) is not None:
        raise LabError(f"There is a workload {program.name} already; choose another name with --name.", USAGE)
    for other in view.workloads:
        if other.namespace != program.namespace or service_of(other) != program.app:
            continue
        ports = ports_of(other)
        if not ports:
            continue
        if ports != [program.port]:
            shown = ", ".join(str(port) for port in ports)
            raise LabError(f"The service {program.app} has the port {shown}: say --port {shown}.", USAGE)
        return other.head.labels.get("lugsail.io/service-account", program.app)
    return program.app


def service_of(workload: Workload) -> str:
    labels = workload.head.labels
    return labels.get("lugsail.io/service") or labels.get("app", "")


def ports_of(workload: Workload) -> list[int]:
    """The service's ports, of `name:port[:target],…`."""
    parts = (part.split(":") for part in workload.head.labels.get("lugsail.io/ports", "").split(",") if part.strip())
    return [int(part[1]) for part in parts if len(part) > 1 and part[1].isdigit()]


def labels_of(program: Program, project: str, service_account: str) -> dict[str, str]:
    """What the control plane reads; compose's own labels make `lugsail down` take it along.

    No role: that is for what is injected already.
    """
    target = f":{program.app_port}" if program.app_port else ""
    return {
        "app": program.app,
        "version": program.version,
        "lugsail.io/inject": "true",
        "lugsail.io/workload": program.name,
        "lugsail.io/namespace": program.namespace,
        "lugsail.io/service": program.app,
        "lugsail.io/ports": f"http:{program.port}{target}",
        "lugsail.io/service-account": service_account,
        "lugsail.io/proxy": program.proxy,
        discovery.PROJECT_LABEL: project,
        discovery.SERVICE_LABEL: program.name,
        discovery.NUMBER_LABEL: "1",
        "com.docker.compose.oneoff": "False",  # of a one-off container nothing is an endpoint
    }


def _listens_on(program: Program) -> int:
    return program.app_port or program.port


def _create(client: APIClient, view: View, program: Program, service_account: str) -> str:
    """The container's id; it is not started yet."""
    from docker.errors import DockerException, ImageNotFound

    assert view.control_plane is not None  # url_of has looked
    network = (view.control_plane.networks or ("bridge",))[0]
    host = client.create_host_config(
        binds={str(Path.cwd()): {"bind": FOLDER, "mode": "ro"}}, network_mode=network, init=True
    )
    endpoint = client.create_endpoint_config(aliases=[program.app])
    try:
        created = client.create_container(
            program.image,
            command=list(program.words),
            name=f"{view.project}-run-{program.name}-{os.getpid()}",
            hostname=program.name,
            working_dir=FOLDER,
            user=_user(),
            environment={
                "BIND_ADDRESS": "0.0.0.0",  # noqa: S104 - of its own network namespace, not of this machine
                "PORT": str(_listens_on(program)),
                "LUGSAIL_WORKLOAD": program.name,
                "PYTHONUNBUFFERED": "1",
            },
            labels=labels_of(program, view.project, service_account),
            host_config=host,
            networking_config={"EndpointsConfig": {network: endpoint}},
        )
    except ImageNotFound as problem:
        raise LabError(
            f"There is no image {program.image} here. Build Lugsail's with `make images`, or pull it: "
            f"docker pull {program.image}"
        ) from problem
    except DockerException as problem:
        raise engine.failure(problem) from problem
    return str(created["Id"])


def _user() -> str | None:
    """The caller's own, who can read the folder; the image's where that is root, or the sidecar's, whom nothing
    captures."""
    uid = os.getuid()
    return None if uid in (0, SIDECAR_UID) else f"{uid}:{os.getgid()}"


def _explained(problem: Exception, program: Program) -> LabError:
    text = str(engine.failure(problem))
    if "executable file not found" in text or "no such file or directory" in text:
        return LabError(f"There is no {program.words[0]} in the image {program.image}.", 127)
    return LabError(text)


@contextlib.contextmanager
def _signals_to(client: APIClient, container: str) -> Iterator[None]:
    """The first signal asks the program to end; a second one kills it."""
    asked = threading.Event()

    def stop(number: int, _: FrameType | None) -> None:
        how = "SIGKILL" if asked.is_set() else "SIGINT" if number == signal.SIGINT else "SIGTERM"
        asked.set()
        threading.Thread(target=_end, args=(client, container, how), daemon=True).start()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(client: APIClient, container: str, how: str) -> None:
    """The signal, and after the grace time the end of it."""
    from docker.errors import DockerException

    with contextlib.suppress(DockerException):
        client.kill(container, how)
        time.sleep(STOP_GRACE_S)
        client.kill(container, "SIGKILL")


def _copy_output(client: APIClient, container: str) -> None:
    """What it prints, until it ends."""
    for out, err in client.attach(container, stdout=True, stderr=True, stream=True, logs=True, demux=True):
        for piece, stream in ((out, sys.stdout), (err, sys.stderr)):
            if piece:
                stream.buffer.write(piece)
                stream.flush()


def _tell_joined(url: str, program: Program, joined: threading.Event, client: APIClient, container: str) -> None:
    """Say once that the control plane gives its address to others and its sidecar is connected.

    Where nothing injects one (a control plane without --inject), that is said instead.
    """
    control_plane = Client(url, timeout_s=5.0)
    place = f"http://{program.app}:{program.port}"
    name = f"{program.name}.{program.namespace}"
    started = time.monotonic()
    while True:
        try:
            connected = name in {proxy["proxy"] for proxy in control_plane.debug("syncz")}
            waited = time.monotonic() - started > SIDECAR_WAIT_S
            if has_endpoint(control_plane.debug("endpointz"), name) and (connected or waited):
                joined.set()
                if not connected:
                    print(f"{program.name} got no sidecar: {WITHOUT_SIDECAR}", file=sys.stderr, flush=True)
                listens = f"(its container's port {_listens_on(program)})"
                print(f"{program.name} is in the mesh: {place} {listens}", file=sys.stderr, flush=True)
                return
        except (ApiError, Unreachable):
            pass  # it restarts; the program need not
        time.sleep(POLL_S)


def has_endpoint(services: list[dict[str, Any]], workload: str) -> bool:
    """Whether /debug/endpointz lists an endpoint of `NAME.NAMESPACE`."""
    return any(each.get("workload") == workload for service in services for each in service.get("endpoints", ()))


def _remove(client: APIClient, container: str) -> None:
    """The container with the sidecar that it was given."""
    from docker.errors import DockerException

    with contextlib.suppress(DockerException, LabError):
        own = [each for each in list_containers(client, "lugsail.io/inject=true") if each.id == container]
        members = injected(client, own)
        client.remove_container(container, force=True, v=True)
        for each in members:
            with contextlib.suppress(DockerException):  # the control plane removes them too
                client.remove_container(each.id, force=True, v=True)
