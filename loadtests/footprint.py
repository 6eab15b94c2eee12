"""Measures what a running lab takes: memory by component, and how long it took to start."""

from __future__ import annotations

from typing import Any

from lugsail.lab.processes import ProcessRef, family, is_alive, memory
from lugsail.lab.state import LabState

MIB = 2**20


def components(state: LabState) -> dict[str, int]:
    """The lab's processes by name → pid: the lab itself, the control plane, each app and proxy; the rest by number."""
    named: dict[str, int] = {}
    if state.supervisor is not None:
        named["lab"] = state.supervisor.pid
    control_plane = (state.data.get("controlplane") or {}).get("pid")
    if control_plane:
        named["control plane"] = control_plane
    for pod in state.pods:
        for kind in ("app", "proxy"):
            pid = (pod.get(f"{kind}_state") or {}).get("pid")
            if pid:
                named[f"{pod['workload']} {kind}"] = pid
    known = set(named.values())
    others = [ref.pid for ref in state.processes() if ref.pid not in known and is_alive(ref)]
    return named | {f"nursery {number}": pid for number, pid in enumerate(others, start=1)}


def memory_of(state: LabState) -> dict[str, Any]:
    """RSS and PSS in MiB, of each component with the processes below it that are no component, and in all.

    The sum of PSS is what the lab takes of the machine: a page that forked processes share counts once.
    """
    named = components(state)
    claimed = set(named.values())
    rows: dict[str, dict[str, float]] = {}
    for name, pid in named.items():
        own = [pid, *(below for below in family(pid)[1:] if below not in claimed)]
        # What two components both stand above (a nursery below the lab) is counted at the nearer one.
        claimed.update(own)
        found = [measured for one in own if (measured := memory(one)) is not None]
        rows[name] = {
            "rss_mb": round(sum(one.rss_bytes for one in found) / MIB, 1),
            "pss_mb": round(sum(one.pss_bytes for one in found) / MIB, 1),
        }
    total = {key: round(sum(row[key] for row in rows.values()), 1) for key in ("rss_mb", "pss_mb")}
    return {"components": rows, "total": total}


def all_alive(refs: list[ProcessRef]) -> bool:
    """Whether none of the processes has gone."""
    return all(is_alive(ref) for ref in refs)
