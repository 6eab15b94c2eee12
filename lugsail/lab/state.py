"""lab.json: what runs where, for every other command; and the lock that says whether the lab itself is alive.

The file survives a kill -9 of the lab. Then its pids, with their start times, and the lab's id in the processes'
environment say what is left to clean up.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lugsail.lab.paths import Home
from lugsail.lab.processes import ProcessRef, is_alive, marked, reference, stop_all

STATE_VERSION = 1


def write_atomically(path: Path, text: str) -> None:
    """Readers see the old content or the new, never a part; raises OSError and then leaves the old."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


class HomeLock:
    """Held by a lab for its life; the kernel drops it with the process, however that ends."""

    def __init__(self, home: Home) -> None:
        self._descriptor = os.open(home.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take(self) -> bool:
        """Whether it is ours now."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        os.close(self._descriptor)


@dataclass(frozen=True, slots=True)
class LabState:
    """lab.json as read. `data` has the shape that `mesh.Mesh.state` writes."""

    data: dict[str, Any]

    @property
    def lab_id(self) -> str:
        return str(self.data.get("lab_id", ""))

    @property
    def supervisor(self) -> ProcessRef | None:
        return _ref(self.data.get("supervisor"))

    @property
    def is_running(self) -> bool:
        """Whether the lab's own process lives (its components may outlive it)."""
        return is_alive(self.supervisor)

    @property
    def control_plane_url(self) -> str:
        return str(self.data["control_plane"])

    @property
    def pods(self) -> list[dict[str, Any]]:
        return list(self.data.get("pods", ()))

    def pod(self, workload: str) -> dict[str, Any] | None:
        """The pod by workload name, or by `name.namespace`."""
        for pod in self.pods:
            if workload in (pod["workload"], f"{pod['workload']}.{pod['namespace']}"):
                return pod
        return None

    def processes(self) -> list[ProcessRef]:
        refs = (_ref(entry) for entry in self.data.get("processes", ()))
        return [ref for ref in refs if ref is not None]


def _ref(value: Any) -> ProcessRef | None:
    if isinstance(value, dict) and isinstance(value.get("pid"), int) and isinstance(value.get("start_time"), str):
        return ProcessRef(value["pid"], value["start_time"])
    return None


def read_state(home: Home) -> LabState | None:
    """The state file, or None when there is none (or it cannot be read as one)."""
    try:
        data = json.loads(home.state_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return LabState(data) if isinstance(data, dict) and data.get("version") == STATE_VERSION else None


def write_state(home: Home, data: dict[str, Any]) -> None:
    write_atomically(home.state_file, json.dumps({"version": STATE_VERSION, **data}, indent=1))


def leftovers(state: LabState) -> list[ProcessRef]:
    """The processes of this lab that still run, its own process excepted."""
    found = {ref.pid: ref for ref in state.processes() if is_alive(ref)}
    for pid in marked(state.lab_id) if state.lab_id else ():
        ref = reference(pid)
        if ref is not None:
            found.setdefault(pid, ref)
    if state.supervisor is not None:
        found.pop(state.supervisor.pid, None)
    return list(found.values())


def clean_up(home: Home, state: LabState, grace_s: float = 6.0) -> int:
    """Stop what a dead lab left behind and forget it; how many processes that were."""
    remains = leftovers(state)
    stop_all(remains, grace_s)
    late = leftovers(state)  # what was started while its parent was being stopped
    stop_all(late, 0.5)
    for path in (home.state_file, home.control_socket):
        with contextlib.suppress(OSError):
            path.unlink()
    return len({ref.pid for ref in (*remains, *late)})
