"""The running mesh, whatever it is made of: what every command but `up` works on.

A mesh of processes is told by lab.json in the state folder; a mesh of containers is found live by its Docker labels,
with nothing stored, so one that plain `docker compose up` started is found as well.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

from lugsail.lab.errors import LabError, NotRunning
from lugsail.lab.paths import Home
from lugsail.lab.proxy_logs import ProxyLogs

PROJECT_VARIABLE = "LUGSAIL_PROJECT"
PROCESSES, DOCKER = "processes", "docker"
SYNC_KEYS = ("cluster_status", "endpoint_status", "listener_status", "route_status")
UNKNOWN_SYNC, NOT_CONNECTED = "UNKNOWN", "NOT CONNECTED"


class RunningMesh(ABC):
    """One mesh that runs. Every method raises LabError where it cannot do as asked."""

    runtime: str

    @property
    @abstractmethod
    def control_plane_url(self) -> str:
        """Where its REST API answers."""

    @abstractmethod
    def status(self) -> dict[str, Any]:
        """What `lugsail status -o json` prints; memory in bytes."""

    @abstractmethod
    def admin(self, workload: str, path: str) -> tuple[int, bytes]:
        """(status, body) of a GET of the workload's proxy's admin page."""

    @abstractmethod
    def log(self, name: str, part: str, tail: int | None, follow: bool) -> Iterator[bytes]:
        """Pieces of the log of a workload's part (app, proxy, init), of `controlplane`, or of `lab`."""

    @abstractmethod
    def proxy_logs(self, back: int, follow: bool) -> ProxyLogs:
        """The logs of all proxies; `back`: with so many old lines of each, `follow`: with what will be written."""

    @abstractmethod
    def execute(self, workload: str, words: list[str]) -> int:
        """Run a command as the workload, on this terminal; its exit code. May become the command."""


def find(project: str | None, home: Home | None = None) -> RunningMesh:
    """The mesh that a command means.

    With a project (the option's, or $LUGSAIL_PROJECT) the mesh of containers of that name; else the mesh of processes
    of this state folder where it runs; else the only mesh of containers. Raises NotRunning, or LabError that names
    the meshes there are.
    """
    from lugsail.lab.process_mesh import ProcessMesh

    home = home or Home.from_environment()
    project = project or os.environ.get(PROJECT_VARIABLE) or None
    processes = ProcessMesh.of(home)
    if project is None and processes is not None and processes.is_running:
        return processes
    trouble = ""
    try:
        containers = find_containers(project)
    except LabError as problem:
        if project is not None or not isinstance(problem, NotRunning):
            raise
        containers, trouble = None, str(problem)
    if containers is not None:
        return containers
    if processes is not None:
        raise NotRunning(processes.why_not_running())
    raise NotRunning(" ".join(filter(None, (not_running(), trouble))))


def find_containers(project: str | None) -> RunningMesh | None:
    """The mesh of containers of that project, or the only one; None where there is none, or no Docker.

    Raises NotRunning when Docker does not answer or the project does not run; LabError when several could be meant.
    """
    from lugsail.lab.containers import engine

    if not engine.is_present():
        if project is not None:
            raise NotRunning(engine.absent())
        return None
    from lugsail.lab.containers.mesh import find_mesh

    return find_mesh(project)


def not_running() -> str:
    """That there is no mesh; with the folder where the environment names one, for a mesh may run from another."""
    chosen = os.environ.get("LUGSAIL_HOME")
    where = f" from LUGSAIL_HOME={chosen}" if chosen else ""
    return f"No mesh is running{where}. Start one: lugsail up"


def sync_states(url: str) -> Mapping[str, str] | None:
    """`workload.namespace` → SYNCED, or the worst of its types; None when the control plane does not answer."""
    from lugsail.client import ApiError, Client, Unreachable

    client = Client(url, timeout_s=3.0)
    try:
        proxies = client.debug("syncz")
    except (ApiError, Unreachable):
        return None
    finally:
        client.close()
    return {proxy["proxy"]: worst([str(proxy.get(key, "NOT SENT")) for key in SYNC_KEYS]) for proxy in proxies}


def sync_of(states: Mapping[str, str] | None, workload: str, namespace: str) -> str:
    """One workload's word; UNKNOWN while the control plane does not answer."""
    return UNKNOWN_SYNC if states is None else states.get(f"{workload}.{namespace}", NOT_CONNECTED)


def worst(states: list[str]) -> str:
    """One word for a proxy: a rejection over staleness over sync; types that it never asked for do not count."""
    for state in ("NACKED", "STALE", "SYNCED"):
        if state in states:
            return state
    return states[0] if states else "NOT SENT"
