"""The running mesh where it is made of containers: everything is asked of Docker at the moment that it is needed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from lugsail.lab.containers import discovery, engine, readiness
from lugsail.lab.containers.discovery import Container, View, Workload
from lugsail.lab.errors import LabError, NotRunning
from lugsail.lab.process_mesh import is_a_gateway
from lugsail.lab.proxy_logs import ProxyLogs
from lugsail.lab.running import DOCKER, RunningMesh, sync_of

if TYPE_CHECKING:
    from docker import APIClient

ADMIN_PORT = 15000
API_PORT = 8080
USAGE = 64
PARALLEL = 8

# Runs in the proxy's container, where the admin page is on the loopback interface: python -c FETCH PORT PATH.
FETCH = """
import http.client, sys
c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=10)
c.request("GET", sys.argv[2])
r = c.getresponse()
body = r.read()
sys.stdout.buffer.write(b"%d\\n" % r.status + body)
"""


class ContainerMesh(RunningMesh):
    """The mesh of one compose project."""

    runtime = DOCKER

    def __init__(self, client: APIClient, project: str) -> None:
        self.client = client
        self.project = project

    def view(self) -> View:
        return read_view(self.client, self.project)

    @property
    def control_plane_url(self) -> str:
        return url_of(self.view())

    def workload(self, name: str, view: View | None = None) -> Workload:
        """The workload of that name; raises LabError that names the known ones."""
        view = view or self.view()
        found = view.workload(name)
        if found is None:
            known = ", ".join(each.name for each in view.workloads)
            raise LabError(f"There is no workload {name} in {self.project}; known are {known or 'none'}.", USAGE)
        return found

    def status(self) -> dict[str, Any]:
        view = self.view()
        try:
            url = url_of(view)
        except NotRunning:
            url = ""
        told = readiness.ask(url) if url else readiness.Told()
        parts = [part for each in view.workloads for part in each.parts]
        parts += [view.control_plane] if view.control_plane else []
        parts += view.observers
        with ThreadPoolExecutor(PARALLEL) as pool:
            ids = [part.id for part in parts]
            inspected = dict(zip(ids, pool.map(partial(inspect, self.client), parts), strict=True))
            memory = dict(zip(ids, pool.map(self._memory, parts), strict=True))
        gateway = view.gateway
        return {
            "runtime": DOCKER,
            "project": self.project,
            "gateway": _url(gateway.head.published[8080]) if gateway else "",
            "control_plane": url,
            "controlplane": _part(view.control_plane, told.answers, inspected, memory),
            "observers": [_observer(each, inspected, memory) for each in view.observers],
            "workloads": [_row(each, told, inspected, memory) for each in view.workloads],
            "memory_total": {"usage_bytes": sum(each["usage_bytes"] for each in memory.values() if each)},
        }

    def admin(self, workload: str, path: str) -> tuple[int, bytes]:
        proxy = self.workload(workload).proxy
        if proxy is None:
            raise LabError(f"{workload} has no sidecar: it takes no configuration.", USAGE)
        _check_runs(proxy, f"The proxy of {workload}")
        code, out, err = run_in(self.client, proxy, ["python3", "-c", FETCH, str(ADMIN_PORT), path])
        status, newline, body = out.partition(b"\n")
        if code != 0 or not newline or not status.isdigit():
            last = (err or out).decode(errors="replace").strip().splitlines()[-1:] or ["no answer"]
            raise LabError(
                f"The proxy of {workload} does not answer at 127.0.0.1:{ADMIN_PORT} in {proxy.name} ({last[0]}); "
                f"`lugsail status` tells its state."
            )
        return int(status), body

    def log(self, name: str, part: str, tail: int | None, follow: bool) -> Iterator[bytes]:
        container = self._log_of(name, part)
        from docker.errors import DockerException

        try:
            pieces = self.client.logs(
                container.id, stream=True, follow=follow, tail="all" if tail is None else tail, stdout=True, stderr=True
            )
            yield from pieces
        except DockerException as problem:
            raise engine.failure(problem) from problem

    def proxy_logs(self, back: int, follow: bool) -> ProxyLogs:
        from lugsail.lab.containers.proxy_logs import ContainerLogs

        return ContainerLogs(self.client, self.view, back, follow)

    def _log_of(self, name: str, part: str) -> Container:
        view = self.view()
        if name == "controlplane":
            if view.control_plane is None:
                raise LabError(f"{self.project} has no control plane.")
            return view.control_plane
        observer = next((each for each in view.observers if each.role == name), None)
        if observer is not None:
            return observer
        if name == "lab":
            raise LabError("A mesh of containers has no log of the lab: `docker compose events` shows events.", USAGE)
        workload = self.workload(name, view)
        found = {"app": workload.app, "proxy": workload.proxy, "init": workload.init}[part]
        if part == "app" and found is None:
            found = workload.proxy
        if found is None:
            raise LabError(f"{name} has no {part} container.", USAGE)
        return found

    def execute(self, workload: str, words: list[str]) -> int:
        found = self.workload(workload)
        if found.is_gateway:
            raise LabError(is_a_gateway(workload), USAGE)
        if found.app is None:
            raise LabError(f"{workload} has no app container to run in.")
        _check_runs(found.app, f"The app of {workload}")
        program = shutil.which("docker")
        if program is None:
            raise LabError("There is no `docker` command on this machine's PATH; `lugsail exec` needs it.", 127)
        terminal = ["-t"] if sys.stdin.isatty() and sys.stdout.isatty() else []
        sys.stdout.flush()
        try:
            return subprocess.run([program, "exec", "-i", *terminal, found.app.id, *words], check=False).returncode
        except KeyboardInterrupt:
            return 130

    def _memory(self, container: Container) -> dict[str, int] | None:
        """As `docker stats` counts it: without the page cache that can be dropped."""
        from docker.errors import DockerException

        if not container.is_running:
            return None
        try:
            stats = self.client.stats(container.id, stream=False, one_shot=True)["memory_stats"]
        except (DockerException, KeyError):
            return None
        if "usage" not in stats:
            return None
        detail = stats.get("stats") or {}
        cache = detail.get("total_inactive_file", detail.get("inactive_file", 0))
        return {"usage_bytes": max(int(stats["usage"]) - int(cache), 0)}


def find_mesh(project: str | None) -> ContainerMesh | None:
    """The mesh of that project, or the only one that runs; None where none does.

    Raises NotRunning where Docker does not answer or the project does not run, LabError when several could be meant.
    """
    client = engine.connect()
    known = list_meshes(client)
    if project is not None:
        if project not in known:
            names = ", ".join(sorted(known)) or "none"
            raise NotRunning(f"There is no mesh of containers named {project}; there are: {names}.")
        return ContainerMesh(client, project)
    running = sorted(name for name, runs in known.items() if runs)
    if len(running) > 1:
        raise LabError(several(running), USAGE)
    chosen = running or sorted(known)
    return ContainerMesh(client, chosen[0]) if len(chosen) == 1 else None


def several(names: list[str]) -> str:
    return f"Several meshes run: {', '.join(names)}. Say which: --project {names[0]}, or LUGSAIL_PROJECT={names[0]}."


def list_meshes(client: APIClient) -> dict[str, bool]:
    """Project → whether its control plane runs."""
    return discovery.meshes(list_containers(client, f"{discovery.ROLE_LABEL}={discovery.CONTROL_PLANE}"))


def list_containers(client: APIClient, *labels: str) -> list[Container]:
    """The containers, running or not, with these labels; raises LabError."""
    from docker.errors import DockerException

    try:
        return [Container.read(item) for item in client.containers(all=True, filters={"label": list(labels)})]
    except DockerException as problem:
        raise engine.failure(problem) from problem


def inspect(client: APIClient, container: Container) -> dict[str, Any]:
    """What the engine knows of it; nothing where it is gone, or still being made: the engine lists it before that."""
    from docker.errors import DockerException

    try:
        found: dict[str, Any] = client.inspect_container(container.id)
    except DockerException:
        return {}
    return found


def read_view(client: APIClient, project: str) -> View:
    """The mesh now: the project's containers, and those that joined its pods without being told of the project."""
    own = list_containers(client, f"{discovery.PROJECT_LABEL}={project}")
    return discovery.view(project, [*own, *injected(client, own)])


def injected(client: APIClient, own: list[Container]) -> list[Container]:
    """Containers that were injected into the namespaces of these, unless they are among them."""
    ids = {each.id for each in own}
    inside = {f"container:{name}" for each in own for name in (each.id, each.name)}
    every = list_containers(client, discovery.INJECTED_LABEL)
    return [each for each in every if each.id not in ids and each.network_mode in inside]


def url_of(view: View) -> str:
    """Where the control plane's REST API is published on this machine; raises NotRunning."""
    control = view.control_plane
    place = control.published.get(API_PORT) if control is not None else None
    if control is None or not control.is_running or place is None:
        state = control.shown_state if control is not None else "not there"
        why = f"is {state}" if state != "ready" else f"does not publish its port {API_PORT} on this machine"
        raise NotRunning(
            f"The control plane of {view.project} {why}. `lugsail logs controlplane` may tell why; start it again: "
            f"docker compose -p {view.project} start"
        )
    return _url(place)


def run_in(client: APIClient, container: Container, words: list[str]) -> tuple[int, bytes, bytes]:
    """(exit code, stdout, stderr) of a command in the container; raises LabError."""
    from docker.errors import DockerException

    try:
        started = client.exec_create(container.id, words)
        out, err = client.exec_start(started["Id"], demux=True)
        code = client.exec_inspect(started["Id"])["ExitCode"]
    except DockerException as problem:
        raise engine.failure(problem) from problem
    return int(code or 0), out or b"", err or b""


def _check_runs(container: Container, what: str) -> None:
    if not container.is_running:
        raise LabError(f"{what} does not run: {container.name} is {container.detail or container.state}.")


def _url(place: tuple[str, int]) -> str:
    host = place[0] if place[0] not in ("0.0.0.0", "::", "") else "127.0.0.1"  # noqa: S104 - what Docker says
    return f"http://{host}:{place[1]}"


def _row(
    workload: Workload,
    told: readiness.Told,
    inspected: dict[str, dict[str, Any]],
    memory: dict[str, dict[str, int] | None],
) -> dict[str, Any]:
    app, proxy = workload.app, workload.proxy
    name = f"{workload.name}.{workload.namespace}"
    sync = sync_of(told.sync if told.answers else None, workload.name, workload.namespace)
    answers = {"proxy": sync == "SYNCED", "app": name in told.endpoints}
    states = {part.id: _state(part, answers["proxy" if part is proxy else "app"]) for part in workload.parts}
    state = next((each for each in states.values() if each != "ready"), "ready")
    infos = [inspected[part.id] for part in workload.parts]
    return {
        "workload": workload.name,
        "namespace": workload.namespace,
        "ip": workload.ip,
        "proxy": workload.proxy_kind,
        "ready": state == "ready",
        "state": state,
        "pod_state": states[workload.head.id],
        "app_state": states[app.id] if app else "",
        "proxy_state": states[proxy.id] if proxy else "",
        "pod_container": workload.head.name,
        "app_container": app.name if app else None,
        "proxy_container": proxy.name if proxy else None,
        "app_pid": _pid(app, inspected),
        "proxy_pid": _pid(proxy, inspected),
        "restarts": sum(int(info.get("RestartCount", 0)) for info in infos),
        "last_exit": next((part.detail for part in workload.parts if not part.is_running), ""),
        "sync": sync if proxy else "",
        "app_memory": memory[app.id] if app else None,
        "proxy_memory": memory[proxy.id] if proxy else None,
    }


def _state(container: Container, answers: bool) -> str:
    """Docker asks every few seconds; who answers already is not `starting` until then."""
    return "ready" if answers and container.shown_state == "starting" else container.shown_state


def _part(
    container: Container | None,
    answers: bool,
    inspected: dict[str, dict[str, Any]],
    memory: dict[str, dict[str, int] | None],
) -> dict[str, Any]:
    if container is None:
        return {"state": "stopped", "container": "", "ip": "", "pid": None, "restarts": 0, "memory": None}
    return {
        "state": _state(container, answers),
        "container": container.name,
        "ip": container.addresses[0] if container.addresses else "",
        "pid": _pid(container, inspected),
        "restarts": int(inspected[container.id].get("RestartCount", 0)),
        "memory": memory[container.id],
    }


def _observer(
    container: Container, inspected: dict[str, dict[str, Any]], memory: dict[str, dict[str, int] | None]
) -> dict[str, Any]:
    part = _part(container, answers=False, inspected=inspected, memory=memory)
    return {"name": container.role, "url": _page(container), **part}


def observer_urls(view: View) -> dict[str, str]:
    """What watches the mesh and publishes a page on this machine: role → URL."""
    return {each.role: url for each in view.observers if (url := _page(each))}


def _page(container: Container) -> str:
    port, path = discovery.OBSERVERS[container.role]
    place = container.published.get(port)
    return _url(place) + path if place else ""


def _pid(container: Container | None, inspected: dict[str, dict[str, Any]]) -> int | None:
    """Its first process as this machine's kernel numbers it, where the engine runs on this machine's kernel."""
    if container is None:
        return None
    return int((inspected[container.id].get("State") or {}).get("Pid") or 0) or None
