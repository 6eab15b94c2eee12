"""Naming the lab's processes, and adding up their memory without counting any twice."""

import os

from loadtests import footprint
from lugsail.lab.processes import Memory, reference
from lugsail.lab.state import LabState


def state(**more):
    own = reference(os.getpid())
    return LabState(
        {
            "supervisor": {"pid": own.pid, "start_time": own.start_time},
            "controlplane": {"pid": 100},
            "pods": [{"workload": "curl", "app_state": None, "proxy_state": {"pid": 101}}],
            "processes": [{"pid": own.pid, "start_time": own.start_time}],
            **more,
        }
    )


def test_components():
    assert footprint.components(state()) == {"lab": os.getpid(), "control plane": 100, "curl proxy": 101}


def test_a_process_below_a_component_counts_there_and_once(monkeypatch):
    below = {os.getpid(): [100, 101, 102], 101: [102]}
    monkeypatch.setattr(footprint, "family", lambda pid: [pid, *below.get(pid, [])])
    monkeypatch.setattr(footprint, "memory", lambda pid: Memory(10 * footprint.MIB, 4 * footprint.MIB))
    measured = footprint.memory_of(state())
    assert measured["components"]["curl proxy"] == {"rss_mb": 20.0, "pss_mb": 8.0}
    assert measured["components"]["lab"] == {"rss_mb": 10.0, "pss_mb": 4.0}
    assert measured["total"] == {"rss_mb": 40.0, "pss_mb": 16.0}
    assert list(measured["components"]) == ["lab", "control plane", "curl proxy"]
