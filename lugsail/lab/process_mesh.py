"""The running mesh where it is made of processes: lab.json, log files, and addresses of the loopback network."""

from __future__ import annotations

import http.client
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lugsail.lab.addressing import ADMIN_PORT
from lugsail.lab.errors import LabError, NotRunning
from lugsail.lab.observers import OBSERVERS
from lugsail.lab.paths import Home
from lugsail.lab.proxy_logs import LogFiles, ProxyLogs
from lugsail.lab.running import PROCESSES, RunningMesh, sync_of, sync_states
from lugsail.lab.state import LabState, leftovers, read_state

ADMIN_TIMEOUT_S = 10.0
FOLLOW_POLL_S = 0.1
CHUNK_BYTES = 65536
OWN_LOGS = ("controlplane", "lab", *OBSERVERS)
NOT_FOUND = 127  # as a shell says it
USAGE = 64


class ProcessMesh(RunningMesh):
    """The mesh of one state folder."""

    runtime = PROCESSES

    def __init__(self, home: Home, state: LabState) -> None:
        self.home = home
        self.state = state

    @classmethod
    def of(cls, home: Home) -> ProcessMesh | None:
        """The mesh that lab.json tells of, running or killed; None when there is none."""
        state = read_state(home)
        return None if state is None else cls(home, state)

    @property
    def is_running(self) -> bool:
        return self.state.is_running

    def why_not_running(self) -> str:
        count = len(leftovers(self.state))
        return (
            f"The mesh was killed; {count} of its processes still run. "
            f"`lugsail down` cleans up, `lugsail up` starts anew."
        )

    @property
    def control_plane_url(self) -> str:
        return self.state.control_plane_url

    def pod(self, workload: str) -> dict[str, Any]:
        """The pod of that name; raises LabError that names the known ones."""
        pod = self.state.pod(workload)
        if pod is None:
            known = ", ".join(str(each["workload"]) for each in self.state.pods)
            raise LabError(f"There is no workload {workload}; known are {known}.", USAGE)
        return pod

    def status(self) -> dict[str, Any]:
        from lugsail.lab import processes

        lab = self.state
        sync = sync_states(lab.control_plane_url)
        control_plane = lab.data.get("controlplane") or {}
        supervisor = lab.supervisor.pid if lab.supervisor else None
        everything = {member for ref in lab.processes() for member in processes.family(ref.pid)}
        everything |= {supervisor} if supervisor else set()
        total = [processes.memory(pid) for pid in everything]
        return {
            "runtime": PROCESSES,
            "gateway": lab.data["gateway"],
            "control_plane": lab.control_plane_url,
            "supervisor": {"pid": supervisor, "memory": _memory(supervisor, alone=True)},
            "controlplane": {**control_plane, "memory": _memory(control_plane.get("pid"))},
            "mesh_config": lab.data.get("mesh_config"),
            "observers": [{**each, "memory": _memory(each.get("pid"))} for each in lab.data.get("observers", ())],
            "workloads": [_workload(pod, sync_of(sync, pod["workload"], pod["namespace"])) for pod in lab.pods],
            "memory_total": {
                "rss_bytes": sum(each.rss_bytes for each in total if each),
                "pss_bytes": sum(each.pss_bytes for each in total if each),
            },
        }

    def admin(self, workload: str, path: str) -> tuple[int, bytes]:
        pod = self.pod(workload)
        connection = http.client.HTTPConnection(str(pod["ip"]), ADMIN_PORT, timeout=ADMIN_TIMEOUT_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as problem:
            raise LabError(
                f"The proxy of {workload} does not answer at {pod['ip']}:{ADMIN_PORT}; "
                f"`lugsail status` tells its state."
            ) from problem
        finally:
            connection.close()

    def log(self, name: str, part: str, tail: int | None, follow: bool) -> Iterator[bytes]:
        return read_log(find_log(self.home, name, part), tail, follow)

    def proxy_logs(self, back: int, follow: bool) -> ProxyLogs:
        names = {str(pod["workload"]): f"{pod['workload']}.{pod['namespace']}" for pod in self.state.pods}
        return LogFiles(self.home.logs, names, back)

    def execute(self, workload: str, words: list[str]) -> int:
        pod = self.pod(workload)
        if pod["kind"] != "sidecar":
            raise LabError(is_a_gateway(workload), USAGE)
        environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        return become(words, environment | pod["environment"])


def is_a_gateway(workload: str) -> str:
    return f"{workload} is a gateway: it sends no traffic of its own. Choose a workload with a sidecar."


def _workload(pod: dict[str, Any], sync: str) -> dict[str, Any]:
    app, proxy = pod.get("app_state"), pod.get("proxy_state") or {}
    parts = [part for part in (app, proxy) if part]
    return {
        "workload": pod["workload"],
        "namespace": pod["namespace"],
        "ip": pod["ip"],
        "proxy": pod["proxy"],
        "app_pid": app["pid"] if app else None,
        "proxy_pid": proxy.get("pid"),
        "ready": bool(parts) and all(part["state"] == "ready" for part in parts),
        "state": next((str(part["state"]) for part in parts if part["state"] != "ready"), "ready")
        if parts
        else "stopped",
        "restarts": sum(part["restarts"] for part in parts),
        "last_exit": next((part["last_exit"] for part in parts if part["last_exit"]), ""),
        "sync": sync,
        "app_memory": _memory(app["pid"] if app else None),
        "proxy_memory": _memory(proxy.get("pid")),
    }


def _memory(pid: int | None, alone: bool = False) -> dict[str, int] | None:
    """Of the process and its children (the stock Envoy below its agent)."""
    from lugsail.lab import processes

    if pid is None:
        return None
    found = [processes.memory(member) for member in ([pid] if alone else processes.family(pid))]
    return {
        "rss_bytes": sum(each.rss_bytes for each in found if each),
        "pss_bytes": sum(each.pss_bytes for each in found if each),
    }


def find_log(home: Home, name: str, part: str) -> Path:
    """The file of that log; an app that the lab does not run has its proxy's. Raises LabError and NotRunning."""
    name = name.partition(".")[0]
    if part == "init":
        raise LabError("--init: in a mesh of processes nothing is intercepted, so there is no init.", USAGE)
    if name in OWN_LOGS:
        path = home.log(name)
    else:
        path = home.proxy_log(name) if part == "proxy" else home.app_log(name)
        if not path.exists() and part == "app":
            path = home.proxy_log(name)
    if path.exists():
        return path
    known = sorted({path.name.split(".")[0] for path in home.logs.glob("*.log")}) if home.logs.exists() else []
    if not known:
        raise NotRunning("There are no logs: no mesh has run from this state folder. Start one: lugsail up")
    raise LabError(f"There is no log of {name}; there are logs of {', '.join(known)}.", USAGE)


def read_log(path: Path, tail: int | None, follow: bool) -> Iterator[bytes]:
    """What the file holds, then, with `follow`, what is written to it, for ever."""
    with path.open("rb") as stream:
        data = stream.read()
        if tail is not None:
            data = b"".join(data.splitlines(keepends=True)[-tail:]) if tail else b""
        yield data
        while follow:
            position = stream.tell()
            if os.fstat(stream.fileno()).st_size < position:  # rotated: emptied in place
                stream.seek(0)
            chunk = stream.read(CHUNK_BYTES)
            if chunk:
                yield chunk
            else:
                time.sleep(FOLLOW_POLL_S)


def become(words: list[str], environment: dict[str, str]) -> int:
    """Become the command; returns only when that cannot be, by raising LabError."""
    path = shutil.which(words[0], path=environment.get("PATH"))
    if path is None:
        raise LabError(not_found(words[0]), NOT_FOUND)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(path, words, environment)
    except OSError as problem:
        raise LabError(f"Cannot run {path}: {problem.strerror}.", 126) from problem


def not_found(program: str) -> str:
    hint = ""
    if program == "curl":
        hint = (
            " Install it, or use Python: python3 -c 'import urllib.request as u; print(u.urlopen(URL).read().decode())'"
        )
    return f"There is no {program} on this machine's PATH.{hint}"
