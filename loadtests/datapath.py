"""Measures the data path: rounds of the same load through the Python proxy and Envoy, one after the other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests import wrk
from loadtests.datapath_mesh import HOST, PATH, PROXIES, VARIANT, DataPathMesh
from loadtests.load_client import USUAL_HEADERS
from loadtests.procfs import busy_s, cpu_s, pin
from loadtests.summary import median_round, ratios
from lugsail.lab.addressing import Subnet
from lugsail.lab.paths import source_root
from lugsail.lab.processes import memory

WARM_UP_S = 1.0
MEASURED = ("cpu_us", "requests_per_s", "p50_ms", "p99_ms", "rss_mb", "cpu_share", "access_log_bytes", "foreign_cpus")
RATIO_KEYS = ("cpu_us", "p50_ms", "p99_ms", "rss_mb")


@dataclass(frozen=True, slots=True)
class Settings:
    """How long and how hard. A round is `seconds` of load on each proxy in turn."""

    rounds: int = 10
    seconds: float = 2.5
    connections: int = 16


class BadRun(RuntimeError):
    """A round in which not every answer was a 200: what it measured is not the data path."""


def measure(settings: Settings, subnet: Subnet, note: Callable[[str], None]) -> dict[str, Any]:
    """The data-path part of the report. Raises BadRun, NotReady."""
    cpus = separate_cpus()
    load_tool = shutil.which("wrk")
    with (
        tempfile.TemporaryDirectory(prefix="lugsail-bench-") as folder,
        DataPathMesh(Path(folder), subnet) as mesh,
    ):
        if cpus is not None:
            for proxy in PROXIES:
                pin(mesh.pid(proxy), {cpus[0]})
            pin(mesh.backend_pid, {cpus[1]})
        for proxy in PROXIES:
            run_load(mesh.address(proxy), settings.connections, WARM_UP_S, cpus and cpus[1], load_tool)
        rounds: list[tuple[dict[str, float], dict[str, float]]] = []
        for number in range(settings.rounds):
            # Every other round the other way round, so that neither proxy always comes second.
            order = PROXIES if number % 2 == 0 else PROXIES[::-1]
            pair = {proxy: one_round(mesh, proxy, settings, cpus and cpus[1], load_tool) for proxy in order}
            rounds.append((pair[PROXIES[0]], pair[PROXIES[1]]))
            shown = ", ".join(f"{proxy} {pair[proxy]['cpu_us']} µs a request" for proxy in PROXIES)
            note(f"round {number + 1}/{settings.rounds}: {shown}")
    return {
        "load": {
            "tool": "wrk" if load_tool else "loadtests.load_client",
            "connections": settings.connections,
            "seconds": settings.seconds,
            "rounds": settings.rounds,
            "cpus": {"proxy": cpus[0], "load_and_backend": cpus[1]} if cpus else "not separated",
        },
        "scenario": "HTTP/1.1 outbound: header route, 80/20 split, retries, access log, x-request-id",
        **{proxy: summary_of([pair[index] for pair in rounds]) for index, proxy in enumerate(PROXIES)},
        "ratio_python_to_envoy": {key: ratios(rounds, key) for key in RATIO_KEYS},
        "rounds": [dict(zip(PROXIES, pair, strict=True)) for pair in rounds],
    }


def summary_of(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    """Each number's median, and the round of the least CPU: what disturbs a round only ever adds to it."""
    return {**median_round(rounds), "cpu_us_least": min(one["cpu_us"] for one in rounds)}


def one_round(
    mesh: DataPathMesh, proxy: str, settings: Settings, cpu: int | None, load_tool: str | None
) -> dict[str, float]:
    """The load on one proxy, and what the proxy spent on it (keys: MEASURED). Raises BadRun."""
    pid, log = mesh.pid(proxy), mesh.access_log(proxy)
    log_before, cpu_before = log.stat().st_size, cpu_s(pid)
    foreign_before, started = foreign_cpu_s(mesh), time.monotonic()
    result = run_load(mesh.address(proxy), settings.connections, settings.seconds, cpu, load_tool)
    used_s = cpu_s(pid) - cpu_before
    foreign_cpus = (foreign_cpu_s(mesh) - foreign_before) / (time.monotonic() - started)
    resident = memory(pid)
    wrong = {code: n for code, n in result["statuses"].items() if code not in ("200", "2xx")}
    if wrong or result["errors"]:
        raise BadRun(f"{proxy}: answers other than 200: {wrong}, errors: {result['errors']}")
    # A log that is written in the background may be late by a batch; over a whole round that is a few bytes a request.
    log_bytes = log.stat().st_size - log_before
    if log_bytes < result["requests"]:
        raise BadRun(f"{proxy}: its access log {log} grew by {log_bytes} bytes in {result['requests']} requests")
    return {
        "cpu_us": round(used_s / result["requests"] * 1e6, 2),
        "requests_per_s": result["requests_per_s"],
        "p50_ms": result["p50_ms"],
        "p99_ms": result["p99_ms"],
        "rss_mb": round(resident.rss_bytes / 2**20, 1) if resident else 0.0,
        "cpu_share": round(used_s / result["seconds"], 3),
        "access_log_bytes": round(log_bytes / result["requests"], 1),
        "foreign_cpus": round(max(0.0, foreign_cpus), 2),
    }


def foreign_cpu_s(mesh: DataPathMesh) -> float:
    """CPU seconds since boot of everything on the machine but this benchmark: what may have disturbed it."""
    own = os.times()
    mine = own.user + own.system + own.children_user + own.children_system
    return busy_s() - mine - sum(cpu_s(pid) for pid in mesh.all_pids)


def run_load(
    connect: str,
    connections: int,
    seconds: float,
    cpu: int | None,
    load_tool: str | None = None,
    usual: Sequence[str] = USUAL_HEADERS,
) -> dict[str, Any]:
    """The load in a process of its own, on one CPU if told; its result. Raises BadRun when it gives none."""
    environment = {**os.environ, "PYTHONPATH": str(source_root())}

    def settle() -> None:
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})

    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        if load_tool:
            script.write(wrk.script(PATH, VARIANT))
            script.flush()
            headers = [f"Host: {HOST}", *usual]  # so written: wrk adds its own beside any other spelling
            argv = wrk.command(load_tool, connect, headers, connections, seconds, script.name)
        else:
            argv = [sys.executable, "-m", "loadtests.load_client", "--connect", connect, "--host", HOST]
            argv += ["--path", PATH, "--variant", VARIANT]
            argv += [f"--header={header}" for header in usual]
            argv += ["--connections", str(connections), "--seconds", str(seconds)]
        done = subprocess.run(
            argv, env=environment, capture_output=True, text=True, timeout=seconds + 30, preexec_fn=settle, check=False
        )
    if done.returncode != 0:
        raise BadRun(f"the load on {connect} failed: {done.stdout.strip()} {done.stderr.strip()}"[:500])
    result: dict[str, Any] = wrk.parse(done.stdout) if load_tool else json.loads(done.stdout)
    return result


def separate_cpus() -> tuple[int, int] | None:
    """(a CPU for the proxies, one for load and backend), where there are two."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[0], allowed[1]) if len(allowed) > 1 else None
