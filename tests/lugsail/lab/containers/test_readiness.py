from __future__ import annotations

from typing import Any

from lugsail.lab.containers import discovery
from lugsail.lab.containers.readiness import Follower, Told, page_status, states
from tests.lugsail.lab.containers.engine_answers import containers, control_plane, gateway, listed, pod


def test_states_come_from_docker_and_from_the_control_plane() -> None:
    everything = containers(control_plane(), gateway(), *pod("reviews-v1"), listed("plain", labels={"app": "plain"}))
    view = discovery.view("bookinfo", everything)
    assert states(view, Told()) == {
        "control plane": "starting",
        "app:plain": "ready",
        "app:reviews-v1": "starting",
        "proxy:reviews-v1": "starting",
        "proxy:istio-ingressgateway": "starting",
    }
    sync = {"reviews-v1.default": "SYNCED", "istio-ingressgateway.istio-system": "NACKED"}
    found = states(view, Told(True, sync, frozenset({"reviews-v1.default"})))
    assert found["control plane"] == found["app:reviews-v1"] == found["proxy:reviews-v1"] == "ready"
    assert found["proxy:istio-ingressgateway"] == "starting"


def test_what_does_not_run_says_so() -> None:
    dead = pod("reviews-v1", app={"state": "exited"})
    found = states(discovery.view("bookinfo", containers(*dead)), Told(True, {}, frozenset({"reviews-v1.default"})))
    assert (found["control plane"], found["app:reviews-v1"]) == ("waiting", "exited")


def test_only_changes_are_told() -> None:
    told: list[dict[str, Any]] = []
    clock = iter([10.0, 10.5, 12.0])
    follower = Follower(told.append, lambda: next(clock))
    follower.update({"app:a": "starting"})
    follower.update({"app:a": "starting"})
    assert follower.not_ready() == ["app:a"]
    follower.update({"app:a": "ready"})
    assert [(each["state"], each["ms"]) for each in told] == [("starting", 500.0), ("ready", 2000.0)]
    assert follower.not_ready() == []


def test_no_page_is_no_status() -> None:
    assert page_status(1, "/productpage", 0.5) is None
