"""Measures what a running lab takes: memory by component, and how long it took to start."""

from __future__ import annotations

from typing import Any

from lugsail.lab.processes import family, is_alive, memory
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
    # What no component is (an Envoy below its agent) belongs to the nearest component above it, and every process is
    # below the lab or a nursery: those come last.
    nearest_first = sorted(named, key=lambda name: (name == "lab", name.startswith("nursery")))
    for name in nearest_first:
        own = [named[name], *(below for below in family(named[name])[1:] if below not in claimed)]
        claimed.update(own)
        found = [measured for one in own if (measured := memory(one)) is not None]
        rows[name] = {
            "rss_mb": round(sum(one.rss_bytes for one in found) / MIB, 1),
            "pss_mb": round(sum(one.pss_bytes for one in found) / MIB, 1),
        }
    total = {key: round(sum(row[key] for row in rows.values()), 1) for key in ("rss_mb", "pss_mb")}
    return {"components": {name: rows[name] for name in named}, "total": total}
