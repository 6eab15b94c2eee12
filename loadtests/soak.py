"""A soak: load at half of what the mesh can carry, while resources are applied and the control plane is killed.

    python -m loadtests.soak [--time 30m] [--applies 100] [--control-plane-restarts 5] [--rate R] [--out DIR] [-o json]

Needs a running mesh of processes (`lugsail up`). Without --rate the capacity is measured first. Exit code: 0 no failed
request, everything applied, each killed control plane back, flat memory; 1 not so; 64 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from loadtests.canary import USAGE, mesh_gateway, write
from loadtests.load import reviews
from loadtests.load.background import BackgroundLoad
from loadtests.load.launch import LoadFailed, LoadRun, require_libraries
from loadtests.load.settings import BadSetting, Settings, check, duration_s, new_run_id, users_for
from loadtests.load.table import milliseconds, step_table
from loadtests.load.trend import growth, is_flat
from lugsail.lab import processes
from lugsail.lab.paths import Home
from lugsail.lab.state import LabState, read_state

CAPACITY_TIME_S, CAPACITY_USERS = 10.0, 16
SAMPLE_EVERY_S = 5.0
BACK_LIMIT_S = 30.0
POLL_S = 0.1
LAB = "lab"
MIB = 1024 * 1024


class Soak:
    """What is done beside the load, and what came of it. `lab` reads lab.json as it is now."""

    def __init__(self, lab: Callable[[], LabState], seed: int) -> None:
        self._lab = lab
        self._random = random.Random(seed)
        self.applied = 0
        self.problems: list[str] = []
        self.restarts_s: list[float] = []
        self.memory: dict[str, list[tuple[float, float]]] = {}

    def apply(self) -> None:
        """Another split of reviews; a control plane that is just away is waited for."""
        first = self._random.randint(0, 100)
        text = reviews.virtual_service({"v1": first, "v3": 100 - first})
        deadline = time.monotonic() + BACK_LIMIT_S
        while True:
            try:
                reviews.apply(text)
            except reviews.ApplyFailed as problem:
                if time.monotonic() < deadline:
                    time.sleep(POLL_S)
                    continue
                self.problems.append(str(problem))
            else:
                self.applied += 1
            return

    def kill_control_plane(self) -> None:
        """kill -9, then wait until the lab has another one ready."""
        before = (self._lab().data.get("controlplane") or {}).get("pid")
        if not before:
            self.problems.append("there was no control plane to kill")
            return
        started = time.monotonic()
        os.kill(before, signal.SIGKILL)
        while time.monotonic() - started < BACK_LIMIT_S:
            now = self._lab().data.get("controlplane") or {}
            if now.get("pid") not in (None, before) and now.get("state") == "ready":
                self.restarts_s.append(round(time.monotonic() - started, 3))
                return
            time.sleep(POLL_S)
        self.problems.append(f"the control plane was not back {BACK_LIMIT_S:g} s after its kill -9")

    def sample(self, elapsed_s: float) -> None:
        """The memory of every process of the mesh; one that was started anew has a line of its own."""
        for name, pid in named_processes(self._lab()).items():
            members = [pid] if name == LAB else processes.family(pid)  # everything runs below the lab
            each = [processes.memory(member) for member in members]
            total = sum(one.pss_bytes for one in each if one)
            if total:
                self.memory.setdefault(f"{name} ({pid})", []).append((elapsed_s, float(total)))


def named_processes(lab: LabState) -> dict[str, int]:
    """What runs → its pid, of the mesh's own processes."""
    found: dict[str, int] = {}
    if lab.supervisor:
        found[LAB] = lab.supervisor.pid
    parts = [("control plane", lab.data.get("controlplane"))]
    for pod in lab.pods:
        parts += [
            (f"{pod['workload']} app", pod.get("app_state")),
            (f"{pod['workload']} proxy", pod.get("proxy_state")),
        ]
    for name, state in parts:
        if state and state.get("pid"):
            found[name] = int(state["pid"])
    return found


def agenda(duration: float, applies: int, restarts: int) -> list[tuple[float, str]]:
    """(seconds, what) in order: both kinds spread evenly, and no kill at an apply's moment."""
    first = [(duration * (number + 0.5) / applies, "apply") for number in range(applies)]
    second = [(duration * (number + 0.75) / (restarts + 0.5), "kill") for number in range(restarts)]
    return sorted([*first, *second])


def measure_capacity(settings: Settings) -> float:
    """Requests per second of users that do not think; raises LoadFailed."""
    with LoadRun(settings) as run:
        result = run.follow()
    if result["interrupted"]:
        raise LoadFailed("stopped while the capacity was measured")
    if result["totals"]["failures"]:
        raise LoadFailed(f"requests failed while the capacity was measured: {result['totals']['failure_kinds']}")
    return float(result["totals"]["rps"])


def run(settings: Settings, soak: Soak, applies: int, restarts: int) -> dict[str, Any]:
    """The load's results, with everything else done meanwhile; raises LoadFailed and ApplyFailed."""
    reviews.apply(reviews.subsets() + "\n---\n" + reviews.virtual_service({"v1": 50, "v3": 50}))
    waiting = agenda(settings.duration_s, applies, restarts)
    next_sample_s = 0.0
    with BackgroundLoad(settings) as load:
        while not load.is_over:
            if load.seconds >= next_sample_s:
                soak.sample(load.seconds)
                next_sample_s = load.seconds + SAMPLE_EVERY_S
            if waiting and load.seconds >= waiting[0][0]:
                _, what = waiting.pop(0)
                (soak.apply if what == "apply" else soak.kill_control_plane)()
            else:
                time.sleep(POLL_S)
        result = load.finish()
    if waiting:
        soak.problems.append(f"the load was over before {len(waiting)} of the applies and kills")
    return result


def verdict(result: dict[str, Any], soak: Soak) -> dict[str, Any]:
    """What goes beside the load's results: memory by process, what was done, and what was wrong."""
    memory = {
        name: {
            "samples": len(samples),
            "first_bytes": round(samples[0][1]),
            "last_bytes": round(samples[-1][1]),
            "growth_bytes": round(growth(samples)),
            "flat": is_flat(samples),
        }
        for name, samples in sorted(soak.memory.items())
    }
    problems = list(soak.problems)
    totals = result["totals"]
    if totals["failures"]:
        problems.append(f"{totals['failures']} of {totals['sent']} requests failed: {totals['failure_kinds']}")
    if totals["unsent"]:
        problems.append(f"{totals['unsent']} requests of the schedule were not sent: the mesh did not keep up")
    problems += [f"memory of {name} grows" for name, one in memory.items() if not one["flat"]]
    return {
        "ok": not problems,
        "problems": problems,
        "applies": soak.applied,
        "control_plane_back_after_s": soak.restarts_s,
        "memory": memory,
    }


def text_of(report: dict[str, Any]) -> str:
    """Load, memory and verdict."""
    soak, totals = report["soak"], report["totals"]
    rows = [
        (
            name,
            one["samples"],
            f"{one['first_bytes'] / MIB:.1f}",
            f"{one['last_bytes'] / MIB:.1f}",
            f"{one['growth_bytes'] / MIB:+.2f}",
            "flat" if one["flat"] else "GROWS",
        )
        for name, one in soak["memory"].items()
    ]
    latency = totals["latency_ms"]
    load = f"{totals['rps']:g}/s" + (f" of {soak['capacity_rps']:g} measured" if soak["capacity_rps"] else "")
    lines = [
        step_table(("PROCESS", "SAMPLES", "FIRST MiB", "LAST MiB", "GROWTH MiB", ""), rows),
        f"\n{totals['sent']} requests in {report['seconds']:g} s, {load}, {totals['failures']} failed;"
        f" p50 {milliseconds(latency['p50'])}, p99 {milliseconds(latency['p99'])}, max {milliseconds(latency['max'])}",
        f"{soak['applies']} applies; control plane killed {len(soak['control_plane_back_after_s'])} times, "
        f"back after {', '.join(f'{each:g} s' for each in soak['control_plane_back_after_s']) or '-'}",
        "PASSED" if soak["ok"] else "FAILED: " + "; ".join(soak["problems"]),
    ]
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.soak", description="Half of the capacity, for long.")
    parser.add_argument("--time", default="30m", help="how long (default 30m)")
    parser.add_argument("--applies", type=int, default=100, help="resources applied meanwhile (default 100)")
    parser.add_argument("--control-plane-restarts", type=int, default=5, help="kill -9 of it meanwhile (default 5)")
    parser.add_argument("--rate", type=float, help="requests per second; default: half of the measured capacity")
    parser.add_argument("--scenario", default="mixed", help="browse, api, split or mixed (default)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("load-results"), help="folder for JSON and picture")
    parser.add_argument("-o", "--output", choices=["json"], help="json: print the report as JSON")
    args = parser.parse_args(argv)
    try:
        time_s = duration_s(args.time)
        if min(args.applies, args.control_plane_restarts) < 0:
            raise BadSetting("--applies and --control-plane-restarts: 0 or more")
        settings = check(
            Settings(url=mesh_gateway(), duration_s=time_s, scenario=args.scenario, seed=args.seed, run_id=new_run_id())
        )
        lab = lab_reader()
    except BadSetting as problem:
        print(f"soak: {problem}", file=sys.stderr)
        return USAGE
    soak = Soak(lab, args.seed)
    try:
        require_libraries("locust", "matplotlib")
        capacity = 0.0 if args.rate else measure_capacity(capacity_settings(settings))
        rate = args.rate or round(capacity / 2, 1)
        print(f"soak: {rate:g} requests per second for {time_s:g} s", file=sys.stderr, flush=True)
        loaded = check(settings_at(settings, rate))
        result = run(loaded, soak, args.applies, args.control_plane_restarts)
        report = {**result, "soak": {**verdict(result, soak), "capacity_rps": capacity}}
        written = write(report, args.out, "soak", [])
    except (LoadFailed, reviews.ApplyFailed, BadSetting, OSError) as problem:
        print(f"soak: {problem}", file=sys.stderr)
        return 1
    print(
        json.dumps(report, indent=2) if args.output else f"{text_of(report)}\nwritten: {', '.join(map(str, written))}"
    )
    return 0 if report["soak"]["ok"] else 1


def capacity_settings(settings: Settings) -> Settings:
    """The same users, who do not think."""
    return replace(
        settings, users=CAPACITY_USERS, duration_s=CAPACITY_TIME_S, think_low_s=0.0, think_high_s=0.0, rate_per_s=0.0
    )


def settings_at(settings: Settings, rate: float) -> Settings:
    """The same at a rate, with the users that it needs."""
    return replace(settings, rate_per_s=rate, users=users_for(rate))


def lab_reader() -> Callable[[], LabState]:
    """Reads the running lab's state; raises BadSetting where there is no mesh of processes."""
    home = Home.from_environment()
    last = read_state(home)
    if last is None or not last.is_running:
        raise BadSetting("the soak needs a mesh of processes on this machine. Start one: lugsail up")

    def read() -> LabState:
        return read_state(home) or last

    return read


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
