"""The sidecar without recorders."""

import sidecar.main
from loadtests.telemetry_cost import uncounted
from sidecar.listener.manager import ListenerManager


def test_the_sidecar_runs_with_listeners_that_count_nothing(monkeypatch):
    monkeypatch.setattr(sidecar.main, "ListenerManager", ListenerManager)
    ran = []
    monkeypatch.setattr(sidecar.main, "main", lambda argv: ran.append((argv, sidecar.main.ListenerManager)) or 0)
    assert uncounted.main(["--x"]) == 0
    assert ran == [(["--x"], uncounted.Uncounted)]
