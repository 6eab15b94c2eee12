"""Measures what telemetry costs: each case and its base under the same load at the same time, on the same CPU.

Two proxies that take turns on one CPU have the same neighbours, the same clock and the same caches, so that their
ratio holds within a few percent where the time per request itself doubles from one second to the next.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from loadtests.datapath import WARM_UP_S, BadRun, Settings, foreign_cpu_s, run_load, separate_cpus
from loadtests.procfs import cpu_s, pin
from loadtests.summary import median_round, ratios
from loadtests.telemetry_cost.mesh import TelemetryMesh
from loadtests.telemetry_cost.states import BY_NAME, CASES, JUDGED, PROXIES, Case
from lugsail.lab.addressing import Subnet

SPANS_SENT = "tracing.zipkin.spans_sent"
RECORDS = ("access_logs.grpc_access_log.logs_written", "access_logs.grpc_access_log.logs_dropped")
# Log lines, spans and records wait for about a second to go out together: their CPU belongs to the load before them.
SETTLE_S = 1.2
# Less than this share of the spans and records that a round should send, and it measured something else.
LEAST_SHARE = 0.2

#: Key of a case → `base` and `case` → what was measured.
Round = dict[str, dict[str, dict[str, float]]]


def measure(settings: Settings, subnet: Subnet, note: Callable[[str], None]) -> dict[str, Any]:
    """The telemetry part of the report. Raises BadRun, NotReady."""
    cpus = separate_cpus()
    load_tool = shutil.which("wrk")
    with tempfile.TemporaryDirectory(prefix="lugsail-bench-") as folder, TelemetryMesh(Path(folder), subnet) as mesh:
        if cpus is not None:
            for proxy in PROXIES:
                pin(mesh.pid(proxy), {cpus[0]})
            for pid in (mesh.backend_pid, *mesh.observer_pids):
                pin(pid, {cpus[1]})
        load = Load(mesh, settings, cpus and cpus[1], load_tool)
        for case in CASES:
            load.send((case.base, case), WARM_UP_S)
        time.sleep(SETTLE_S)
        rounds: list[Round] = []
        for number in range(settings.rounds):
            rounds.append({case.key: load.run(case, settings.seconds) for case in CASES})
            pair = rounds[-1][Case("python", JUDGED).key]
            before, after = (pair[one]["cpu_us"] for one in ("base", "case"))
            note(f"telemetry, round {number + 1}/{settings.rounds}: python {before} µs a request, {after} µs at 1 %")
    return {
        "load": {
            "tool": "wrk" if load_tool else "loadtests.load_client",
            "connections": settings.connections,
            "seconds": settings.seconds,
            "rounds": settings.rounds,
        },
        "cases": [summary_of(case, rounds) for case in CASES],
        "rounds": rounds,
    }


def summary_of(case: Case, rounds: list[Round]) -> dict[str, Any]:
    """A row: medians, and the ratio to the base that ran beside it."""
    pairs = [one[case.key] for one in rounds]
    return {
        "kind": case.kind,
        "state": case.state,
        "passed_on": case.passed_on,
        "what": BY_NAME[case.state].what,
        "base_cpu_us": median_round([pair["base"] for pair in pairs])["cpu_us"],
        **median_round([pair["case"] for pair in pairs]),
        "cpu_ratio": ratios([(pair["case"], pair["base"]) for pair in pairs], "cpu_us"),
    }


class Load:
    """The load on a case and its base at the same time."""

    def __init__(self, mesh: TelemetryMesh, settings: Settings, cpu: int | None, load_tool: str | None) -> None:
        self._mesh = mesh
        self._connections = settings.connections
        self._cpu = cpu
        self._load_tool = load_tool

    def run(self, case: Case, seconds: float) -> dict[str, dict[str, float]]:
        """`base` and `case`: CPU per request in µs, and what was told of each request.

        Raises BadRun where telemetry was not as said.
        """
        mesh, pair = self._mesh, (case.base, case)
        before = [(self._told(one), cpu_s(mesh.pid(one.proxy))) for one in pair]
        foreign_before, started = foreign_cpu_s(mesh), time.monotonic()
        results = self.send(pair, seconds)
        time.sleep(SETTLE_S)
        used_s = [cpu_s(mesh.pid(one.proxy)) - cpu_before for one, (_, cpu_before) in zip(pair, before, strict=True)]
        foreign_cpus = (foreign_cpu_s(mesh) - foreign_before) / (time.monotonic() - started)
        measured = [
            self._measured(one, result, told_before, used)
            for one, result, (told_before, _), used in zip(pair, results, before, used_s, strict=True)
        ]
        measured[1]["foreign_cpus"] = round(max(0.0, foreign_cpus), 2)
        return {"base": measured[0], "case": measured[1]}

    def _measured(
        self, case: Case, result: dict[str, Any], told_before: dict[str, float], used_s: float
    ) -> dict[str, float]:
        requests = result["requests"]
        if result["errors"] or any(code not in ("200", "2xx") for code in result["statuses"]):
            raise BadRun(f"{case.key}: answers {result['statuses']}, errors {result['errors']}")
        told = {key: (value - told_before[key]) / requests for key, value in self._told(case).items()}
        check(case, told)
        return {
            "cpu_us": round(used_s / requests * 1e6, 2),
            "requests_per_s": result["requests_per_s"],
            **{f"{key}_per_request": round(value, 4) for key, value in told.items()},
        }

    def send(self, cases: Sequence[Case], seconds: float) -> list[dict[str, Any]]:
        """The loads alone, all at the same time; see run_load."""

        def one(case: Case) -> dict[str, Any]:
            address = self._mesh.address(case.proxy)
            return run_load(address, self._connections, seconds, self._cpu, self._load_tool, case.headers)

        with ThreadPoolExecutor(len(cases)) as pool:
            return list(pool.map(one, cases))

    def _told(self, case: Case) -> dict[str, float]:
        """What the proxy has told so far: bytes of its log, spans, records of an Envoy's access log service."""
        stats = {**self._mesh.stats(case.proxy, "tracing."), **self._mesh.stats(case.proxy, "access_logs.")}
        return {
            "log_bytes": self._mesh.access_log(case.proxy).stat().st_size,
            "spans": stats.get(SPANS_SENT, 0),
            "records": sum(stats.get(name, 0) for name in RECORDS),
        }


def check(case: Case, told: dict[str, float]) -> None:
    """Whether a round measured what it is called. Raises BadRun."""
    state = BY_NAME[case.state]
    spans = 0.0 if case.passed_on else (state.sampling or 0.0) / 100
    records = 1.0 if state.metrics and case.kind == "envoy" else 0.0
    for name, wanted in (("log_bytes", 100.0 if state.log else 0.0), ("spans", spans), ("records", records)):
        if told[name] < wanted * LEAST_SHARE or (not wanted and told[name] > 0):
            raise BadRun(f"{case.key}: {told[name]:g} {name} a request, and not about {wanted:g}")
