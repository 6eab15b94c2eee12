"""Starts a mesh of containers: checks, images, compose, readiness; then, in the foreground, tells what happens."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

from lugsail.lab import checks
from lugsail.lab.containers import compose, discovery, engine, events, images, readiness
from lugsail.lab.containers.compose_file import ComposeFile, Options, compose_file, role_of
from lugsail.lab.containers.discovery import PROJECT_LABEL, View
from lugsail.lab.containers.down import remove_project
from lugsail.lab.containers.mesh import inspect, list_containers, list_meshes, observer_urls, read_view, url_of
from lugsail.lab.containers.readiness import Follower, Sink, Told
from lugsail.lab.errors import LabError, NotRunning

if TYPE_CHECKING:
    from docker import APIClient

POLL_S = 0.2
STORE_VOLUME = "lugsail-store"
FAILURES_TOLD = 2
FAILURES_TO_GIVE_UP = 3
LOG_TAIL_LINES = 8


class Stopped(Exception):
    """The user asked for the end."""


def run(options: Options, sink: Sink, detach: bool) -> int:
    """Start the mesh and, unless detached, stay until a signal and then remove it; the exit code. Raises LabError."""
    client = engine.connect()
    command = compose.find_compose()
    file = compose_file(options)
    _check_not_running(client, file.project)
    environment = ports(client, options, file.published())
    with _stop_signals(client, file.project) as stopping:
        try:
            failed = _start(client, command, file, options, environment, sink)
            if detach:
                return 1 if failed else 0
            events.follow(client, file.project, sink)
        except Stopped:
            pass
        except BaseException:
            stopping.set()
            remove_project(client, file.project, volumes=False, grace_s=1)
            raise
        stopping.set()
        sink({"event": "stopping"})
        removed = remove_project(client, file.project, volumes=False)
    for text in removed.failures:
        sink({"event": "note", "level": "warning", "text": text})
    sink({"event": "stopped"})
    return 0


def _check_not_running(client: APIClient, project: str) -> None:
    if not list_meshes(client).get(project):
        return
    gateway = read_view(client, project).gateway
    place = f", http://127.0.0.1:{gateway.head.published[8080][1]}" if gateway else ""
    raise LabError(
        f"A mesh of containers is running already (project {project}{place}). `lugsail status --project {project}` "
        f"shows it; `lugsail down --project {project}` stops it. Another beside it: lugsail up --runtime docker "
        f"--project NAME --port PORT"
    )


def ports(client: APIClient, options: Options, published: Mapping[str, int]) -> dict[str, str]:
    """What compose is told by environment: the proxy, and a free port for each that is published. Raises LabError.

    `published`: variable → the port that is taken where it is free and the environment does not say another.
    """
    _check_free(client, options.gateway_port, "--port")
    chosen = {"LUGSAIL_PROXY": options.proxy, "LUGSAIL_GATEWAY_PORT": str(options.gateway_port)}
    taken = {options.gateway_port}
    for variable, preferred in published.items():
        if variable == "LUGSAIL_GATEWAY_PORT":
            continue
        if told := os.environ.get(variable):
            if not told.isdigit():
                raise LabError(f"{variable}={told!r} is not a port.", 64)
            _check_free(client, int(told), variable)
            chosen[variable] = told
        else:
            chosen[variable] = str(checks.free_port(preferred, taken))
        taken.add(int(chosen[variable]))
    return chosen


def _check_free(client: APIClient, port: int, option: str) -> None:
    """The port of 127.0.0.1 must be free; raises LabError that names the container that has it, where one has."""
    if checks.bind_error("127.0.0.1", port) is None:
        return
    for each in list_containers(client):
        if each.is_running and any(place[1] == port for place in each.published.values()):
            stop = f"lugsail down --project {each.project}" if each.project else f"docker stop {each.name}"
            raise LabError(
                f"{option}: port {port} of 127.0.0.1 is taken by the container {each.name}. Stop that ({stop}), or "
                f"choose another: lugsail up --runtime docker --port {port + 1}"
            )
    if option == "--port":
        checks.check_gateway_port(port)
    raise LabError(f"{option}={port}: this port of 127.0.0.1 is taken. Choose another.")


def _start(
    client: APIClient,
    command: list[str],
    file: ComposeFile,
    options: Options,
    environment: Mapping[str, str],
    sink: Sink,
) -> list[str]:
    """From nothing to a mesh that serves; the names of components that are not ready. Raises LabError and Stopped."""
    for note in file.notes:
        sink({"event": "note", "level": "warning", "text": note})
    needed = file.images(environment)
    images.build(needed if options.build else images.missing(client, needed), sink)
    if list_containers(client, f"{PROJECT_LABEL}={file.project}"):  # stopped, or the rest of one that was killed
        remove_project(client, file.project, volumes=False, grace_s=1)
    if not options.keep:
        _drop_store(client, file.project, sink)
    roles = [role_of(service) for service in file.services().values()]
    sink(readiness.plan_event(_rows(file), [role for role in discovery.OBSERVERS if role in roles]))
    deadline = time.monotonic() + options.timeout_s
    started = compose.start(command, file, ["up", "--detach", "--no-build"], environment)
    follower = Follower(sink)
    view, told = _wait(client, file, started, follower, deadline)
    failed = follower.not_ready()
    if readiness.CONTROL_PLANE in failed:
        raise LabError(_why_not_ready(client, view, readiness.CONTROL_PLANE, options.timeout_s))
    for name in failed[:FAILURES_TOLD]:
        sink({"event": "note", "level": "warning", "text": _why_not_ready(client, view, name, options.timeout_s)})
    has_bookinfo = any(each.head.labels.get("app") == "productpage" for each in view.workloads)
    if has_bookinfo and not failed:
        _first_page(options.gateway_port, deadline, sink)
    for proxy, kind, reason in told.errors:
        sink({"event": "note", "level": "warning", "text": f"{proxy} rejected {kind}: {reason}"})
    names = {"gateway": f"http://127.0.0.1:{options.gateway_port}", "control_plane": url_of(view)}
    metrics = f"http://127.0.0.1:{environment.get('LUGSAIL_MONITORING_PORT', 15014)}/metrics"
    sink(
        {
            "event": "up",
            "failed": failed,
            "bookinfo": has_bookinfo,
            "metrics": metrics,
            "observers": observer_urls(view),
            **names,
        }
    )
    return failed


def _wait(
    client: APIClient, file: ComposeFile, started: compose.ComposeRun, follower: Follower, deadline: float
) -> tuple[View, Told]:
    """Until everything is ready or the time is up; raises LabError when compose fails."""
    expected = len([service for service in file.services().values() if role_of(service) != "init"])
    while True:
        view = read_view(client, file.project)
        try:
            told = readiness.ask(url_of(view))
        except NotRunning:
            told = Told()
        follower.update(readiness.states(view, told))
        code = started.code
        if code:
            raise LabError(f"`docker compose up` failed with exit code {code}:{started.tail()}")
        there = len([each for each in view.containers if each.role != discovery.INIT])
        if code == 0 and there >= expected and not follower.not_ready():
            return view, told
        if time.monotonic() > deadline or (not told.answers and _gave_up(client, view)):
            if code is None:
                started.process.terminate()
            if view.control_plane is None:
                raise LabError(f"The mesh did not come up in time; compose says:{started.tail()}")
            return view, told
        time.sleep(POLL_S)


def _gave_up(client: APIClient, view: View) -> bool:
    """Whether the control plane was started again too often to go on waiting for it."""
    if view.control_plane is None:
        return False
    return int(inspect(client, view.control_plane).get("RestartCount", 0)) >= FAILURES_TO_GIVE_UP


def _rows(file: ComposeFile) -> dict[str, list[str]]:
    """Workload → its parts, in the order of the file, gateways last."""
    rows: dict[str, list[str]] = {}
    gateways: dict[str, list[str]] = {}
    for name, service in file.services().items():
        role, labels = role_of(service), service.get("labels") or {}
        if role == discovery.GATEWAY:
            gateways[str(labels.get(discovery.WORKLOAD_LABEL, name))] = ["proxy"]
        elif role == discovery.APP and labels.get("lugsail.io/pod") == name:
            rows[name] = ["app", "proxy"]
    return rows | gateways


def _drop_store(client: APIClient, project: str, sink: Sink) -> None:
    """A new mesh begins with an empty store."""
    labels = [f"{PROJECT_LABEL}={project}", f"com.docker.compose.volume={STORE_VOLUME}"]
    for volume in client.volumes(filters={"label": labels}).get("Volumes") or ():
        client.remove_volume(volume["Name"], force=True)
        text = "the last mesh's resources were deleted (--keep keeps them)"
        sink({"event": "note", "level": "info", "text": text})


def _first_page(port: int, deadline: float, sink: Sink) -> None:
    """Where the topology is Bookinfo's, the mesh is up when its page is."""
    status: int | None = None
    while time.monotonic() < deadline:
        status = readiness.page_status(port, "/productpage")
        if status == 200:
            sink({"event": "first page"})
            return
        time.sleep(POLL_S / 2)
    answer = "does not answer" if status is None else f"answers {status}"
    text = f"http://127.0.0.1:{port}/productpage {answer}; `lugsail proxy-status` may tell why"
    sink({"event": "note", "level": "warning", "text": text})


def _why_not_ready(client: APIClient, view: View, name: str, timeout_s: float) -> str:
    """The end of the log of the container behind `app:reviews-v1`."""
    part, _, workload = name.partition(":")
    found = view.workload(workload) if workload else None
    container = next((each for each in view.observers if each.role == name), view.control_plane)
    if found is not None:
        container = found.proxy if part == "proxy" else found.app
        if container is not None and found.init is not None and not found.init.detail.startswith("Exited (0)"):
            container = found.init
    if container is None:
        return f"{name} does not come up within {timeout_s:g} s: there is no container of it"
    lines = "".join(f"\n    {line}" for line in _last_lines(client, container))
    return f"{name} does not come up: {container.name} is {container.detail or container.state}" + (
        f", and its log ends with:{lines}" if lines else "."
    )


def _last_lines(client: APIClient, container: discovery.Container) -> list[str]:
    from docker.errors import DockerException

    try:
        log: bytes = client.logs(container.id, tail=LOG_TAIL_LINES)
    except DockerException:  # gone meanwhile
        return []
    return log.decode(errors="replace").splitlines()


@contextlib.contextmanager
def _stop_signals(client: APIClient, project: str) -> Iterator[threading.Event]:
    """The first signal raises Stopped where we are; one that comes while stopping kills every container."""
    stopping = threading.Event()

    def stop(*_: int | FrameType | None) -> None:
        if not stopping.is_set():
            stopping.set()
            raise Stopped
        threading.Thread(target=_kill_all, args=(client, project), daemon=True).start()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before: dict[int, Any] = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _kill_all(client: APIClient, project: str) -> None:
    kill: Callable[[str], object] = client.kill
    for each in read_view(client, project).containers:
        if each.is_running:
            with contextlib.suppress(Exception):  # gone meanwhile: that is what is wanted
                kill(each.id)
