"""The soak's agenda and its verdict."""

from __future__ import annotations

from typing import Any

import pytest

from loadtests.soak import Soak, agenda, named_processes, text_of, verdict
from lugsail.lab.state import LabState

MIB = 1024 * 1024
LATENCY = {"p50": 1.0, "p99": 2.0, "max": 3.0}


def result(failures: int = 0, unsent: int = 0) -> dict[str, Any]:
    totals = {"sent": 100, "failures": failures, "failure_kinds": {}, "unsent": unsent, "rps": 10.0}
    return {"seconds": 10.0, "totals": {**totals, "latency_ms": LATENCY}}


def soak(growing: bool = False) -> Soak:
    made = Soak(lambda: LabState({}), 0)
    made.memory["x (1)"] = [(second, 50.0 * MIB + (MIB * second if growing else 0)) for second in range(100)]
    made.applied, made.restarts_s = 3, [0.4]
    return made


def test_the_agenda_is_spread_and_complete() -> None:
    moments = agenda(1800, 100, 5)
    assert sum(what == "apply" for _, what in moments) == 100
    assert sum(what == "kill" for _, what in moments) == 5
    assert moments == sorted(moments)
    assert moments[0][0] > 0
    assert moments[-1][0] < 1800
    assert agenda(60, 0, 0) == []


@pytest.mark.parametrize(
    ("load", "growing", "problem", "says"),
    [
        (result(), False, "", ""),
        (result(failures=1), False, "", "1 of 100 requests failed"),
        (result(unsent=5), False, "", "did not keep up"),
        (result(), True, "", "memory of x (1) grows"),
        (result(), False, "not back", "not back"),
    ],
)
def test_the_verdict(load: dict[str, Any], growing: bool, problem: str, says: str) -> None:
    done = soak(growing)
    if problem:
        done.problems.append(problem)
    judged = verdict(load, done)
    assert judged["ok"] is (not says)
    assert says in " ".join(judged["problems"])
    text = text_of({**load, "soak": {**judged, "capacity_rps": 20.0}})
    assert ("PASSED" in text) is judged["ok"]
    assert "10/s of 20 measured" in text


def test_processes_have_names() -> None:
    pod = {"workload": "reviews-v1", "app_state": {"pid": 7}, "proxy_state": {"pid": None}}
    lab = LabState({"controlplane": {"pid": 5}, "pods": [pod], "supervisor": {"pid": 3, "start_time": "1"}})
    assert named_processes(lab) == {"lab": 3, "control plane": 5, "reviews-v1 app": 7}
