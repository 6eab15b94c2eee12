"""The fault walk: what breaks recovers or explains itself, and no configuration is lost. On both proxies."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from typing import Any

import pytest

from tests.e2e.conftest import PROCESSES
from tests.e2e.lab import SAMPLES, Client, Lab, eventually

# Of the mesh of processes: it signals the processes that lab.json names.
pytestmark = [pytest.mark.e2e, pytest.mark.parametrize("shared_lab", PROCESSES, indirect=True)]

BOOKINFO = SAMPLES / "bookinfo"
REVIEWS = "http://reviews:9080/reviews/0"


def workload(lab: Lab, name: str) -> dict[str, Any]:
    return next(w for w in lab.status()["workloads"] if w["workload"] == name)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


class Load:
    """A steady trickle of requests from a thread; counts of statuses when stopped."""

    def __init__(self, lab: Lab, url: str = REVIEWS, workload: str = "curl") -> None:
        self.client = Client(lab.pod_addresses(workload)[1])
        self.url = url
        self.counts: Counter[str] = Counter()
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self.stopping.is_set():
            try:
                self.counts[str(self.client.get(self.url).status)] += 1
            except OSError as e:
                self.counts[type(e).__name__] += 1
            time.sleep(0.002)

    def requests(self) -> int:
        """How many have been answered, or failed, so far."""
        return sum(self.counts.values())

    def __enter__(self) -> Load:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.thread.join(30)
        self.client.close()


def test_traffic_outlives_the_control_plane(lab: Lab) -> None:
    lab.apply(BOOKINFO / "destination-rule-all.yaml", BOOKINFO / "virtual-service-reviews-v3.yaml")
    pid = lab.status()["controlplane"]["pid"]
    with Load(lab) as load:
        eventually(lambda: load.requests() > 50, what="load under way")
        kill(pid)
        eventually(lambda: lab.status()["controlplane"]["pid"] not in (pid, None), 15, "a new control plane")
        eventually(
            lambda: all(w["sync"] == "SYNCED" for w in lab.status()["workloads"]), 20, "every proxy back in sync"
        )
    assert set(load.counts) == {"200"}, load.counts
    # What was applied before is still there, and a new change arrives.
    with lab.client() as client:
        assert '"red"' in client.get(REVIEWS).body
        lab.apply(BOOKINFO / "virtual-service-all-v1.yaml")
        assert '"red"' not in client.get(REVIEWS).body


def test_200_applies_under_load_without_one_failed_request(lab: Lab) -> None:
    lab.apply(BOOKINFO / "destination-rule-all.yaml", BOOKINFO / "virtual-service-all-v1.yaml")
    path = "/namespaces/default/virtualservices/reviews"
    resource = json.loads(lab.api("GET", path).body)
    with Load(lab) as load:
        for i in range(200):
            subsets = ("v1", "v2", "v3")
            resource["spec"]["http"] = [
                {
                    "route": [
                        {"destination": {"host": "reviews", "subset": subsets[i % 3]}, "weight": 100 - i % 50},
                        {"destination": {"host": "reviews", "subset": subsets[(i + 1) % 3]}, "weight": i % 50},
                    ]
                }
            ]
            resource["metadata"].pop("resourceVersion", None)
            before = load.requests()
            answer = lab.api("PUT", path, resource)
            assert answer.status == 200, answer.body
            eventually(lambda seen=before: load.requests() > seen, what="a request between two applies")
    assert set(load.counts) == {"200"}, load.counts
    assert load.counts["200"] >= 200


@pytest.mark.parametrize("part", ["proxy_pid", "app_pid"])
def test_a_killed_part_of_a_pod_comes_back(lab: Lab, part: str) -> None:
    pid = workload(lab, "ratings-v1")[part]
    kill(pid)
    eventually(lambda: workload(lab, "ratings-v1")[part] not in (pid, None), 15, f"a new {part}")
    with lab.client("reviews-v2") as client:
        eventually(lambda: client.get("http://ratings:9080/ratings/0").status == 200, 15, "ratings answers again")
    assert workload(lab, "ratings-v1")["restarts"] >= 1


def test_a_killed_gateway_comes_back(lab: Lab) -> None:
    pid = workload(lab, "istio-ingressgateway")["proxy_pid"]
    kill(pid)
    eventually(lambda: lab.get("/productpage").status == 200, 15, "the page through the gateway")


def test_an_app_that_is_down_is_503_with_the_upstream_named(lab: Lab) -> None:
    """While the app is gone its own sidecar says UF, and the caller's log says whom it asked."""
    pid = workload(lab, "details-v1")["app_pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        lab.apply(
            """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: details}
spec: {hosts: [details], http: [{timeout: 0.3s, route: [{destination: {host: details}}]}]}
"""
        )
        with lab.client() as client:
            assert client.get("http://details:9080/details/0").status == 504
    finally:
        os.kill(pid, signal.SIGCONT)
    with lab.client() as client:
        eventually(lambda: client.get("http://details:9080/details/0").status == 200)


def test_a_malformed_resource_changes_nothing(lab: Lab) -> None:
    lab.apply(BOOKINFO / "destination-rule-all.yaml", BOOKINFO / "virtual-service-reviews-v3.yaml")
    done = lab.cli(
        "apply",
        "-f",
        "-",
        check=False,
        text="""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec: {hosts: [reviews], http: [{routes: [{destination: {host: reviews, subset: v1}}]}]}
""",
    )
    assert done.returncode == 1
    printed = done.stdout + done.stderr
    assert "spec.http[0].routes" in printed
    assert "route" in printed
    with lab.client() as client:
        assert '"red"' in client.get(REVIEWS).body
