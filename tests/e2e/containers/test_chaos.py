"""Faults under steady load: while a healthy endpoint is left, nobody but the killed process loses a request.

Each case says how many requests there were and which failed (pytest -rP shows it). Recovery counts from the moment
when the fault has ended: the restarted process runs, the pause or the disconnection is over. What a restarted gateway
waits for a CPU that other tests hold is not its own. LUGSAIL_CHAOS=envoy does the same with the stock Envoy.
"""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from urllib.parse import urlsplit

import pytest

from tests.e2e.conftest import PROJECT_PREFIX
from tests.e2e.containers.faults import Containers
from tests.e2e.lab import ContainerLab, eventually, request
from tests.e2e.steady import Get, Steady

pytestmark = [pytest.mark.e2e, pytest.mark.docker]

PORT = 18070
REVIEWS = "http://reviews:9080/reviews/0"
RATE = 60.0
THREADS = 6
#: What one killed process can have held: a request of each client.
IN_FLIGHT = THREADS
RECOVERY_S = 2.0
HEALTHY = ["health_flags", "healthy"]


@pytest.fixture(scope="module", params=["python", *filter(None, [os.environ.get("LUGSAIL_CHAOS")])])
def lab(request: pytest.FixtureRequest, images: None) -> Iterator[ContainerLab]:
    home = request.getfixturevalue("tmp_path_factory").mktemp("chaos")
    with ContainerLab(request.param, f"{PROJECT_PREFIX}-chaos", PORT, home).running() as lab:
        yield lab


@pytest.fixture(scope="module")
def containers(lab: ContainerLab) -> Iterator[Containers]:
    found = Containers(lab.project)
    yield found
    found.close()


def inside(lab: ContainerLab) -> Callable[[], AbstractContextManager[Get]]:
    """Clients in the curl pod that know nothing of the mesh."""

    @contextmanager
    def client() -> Iterator[Get]:
        with lab.client() as one:
            yield lambda: one.get(REVIEWS)

    return client


def outside(lab: ContainerLab) -> Callable[[], AbstractContextManager[Get]]:
    """Clients on the host, through the gateway."""

    @contextmanager
    def client() -> Iterator[Get]:
        yield lambda: lab.get("/api/v1/products", timeout_s=10)

    return client


def endpoints(lab: ContainerLab) -> int:
    """How many healthy endpoints of reviews the curl pod's proxy has."""
    rows = (row.split("::") for row in lab.admin("curl", "/clusters").splitlines())
    healthy = [row[1] for row in rows if row[0].startswith("outbound|9080||reviews.") and row[2:] == HEALTHY]
    return len(healthy)


def proxies_in_sync(lab: ContainerLab) -> int:
    """As the control plane says itself; 0 while it does not answer."""
    url = urlsplit(lab.control_plane_url)
    try:
        rows = json.loads(request(url.hostname or "", url.port or 80, "GET", "/debug/syncz", timeout_s=2).body)
    except (OSError, ValueError, http.client.HTTPException):
        return 0
    return sum(all(v == "SYNCED" for k, v in row.items() if k.endswith("_status")) for row in rows)


def settled(lab: ContainerLab) -> None:
    eventually(lambda: endpoints(lab) == 3, 30, "three endpoints of reviews")


def report(load: Steady, fault: str, recovery_s: float | None = None) -> None:
    extra = f", recovered in {recovery_s:.2f} s" if recovery_s is not None else ""
    print(f"CHAOS {fault}: {load.summary()}{extra}")


@pytest.mark.parametrize("part", ["proxy", "app"])
def test_a_killed_part_of_one_pod_of_three(lab: ContainerLab, containers: Containers, part: str) -> None:
    settled(lab)
    service = "reviews-v2-proxy" if part == "proxy" else "reviews-v2"
    with Steady(inside(lab), RATE, THREADS) as load:
        is_back = containers.kill_9(service)
        eventually(lambda: endpoints(lab) == 2, 5, "the endpoint is out")
        eventually(is_back, 20, f"{service} runs again")
        back_at = time.monotonic()
        settled(lab)
        recovery_s = time.monotonic() - back_at
        load.go_on(1)
    report(load, f"kill -9 of {service}", recovery_s)
    assert len(load.failures()) <= IN_FLIGHT, load.summary()
    assert load.failures(since=back_at) == []


def test_a_killed_control_plane(lab: ContainerLab, containers: Containers) -> None:
    settled(lab)
    before = proxies_in_sync(lab)
    with Steady(inside(lab), RATE, THREADS) as load:
        is_back = containers.kill_9("control-plane")
        eventually(is_back, 20, "the control plane runs again")
        back_at = time.monotonic()
        eventually(lambda: proxies_in_sync(lab) >= before, 20, "every proxy in sync")
        recovery_s = time.monotonic() - back_at
    report(load, "kill -9 of the control plane", recovery_s)
    assert load.failures() == []
    assert endpoints(lab) == 3


def test_a_killed_gateway(lab: ContainerLab, containers: Containers) -> None:
    with Steady(outside(lab), 20, 2) as load:
        is_back = containers.kill_9("gateway")
        eventually(is_back, 20, "the gateway runs again")
        recovery = containers.recovery("gateway")
        eventually(lambda: lab.get("/productpage", timeout_s=5).status == 200, 20, "a page through the gateway")
        recovery.end()
        recovered_at = time.monotonic()
        load.go_on(1)
    report(load, f"kill -9 of the gateway (waited {recovery.waiting_s:.2f} s for a CPU)", recovery.seconds)
    assert recovery.seconds - recovery.waiting_s <= RECOVERY_S
    assert load.failures(since=recovered_at) == []


def test_a_paused_pod(lab: ContainerLab, containers: Containers) -> None:
    settled(lab)
    with Steady(inside(lab), RATE, THREADS) as load:
        with containers.paused("reviews-v2", "reviews-v2-proxy"):
            eventually(lambda: endpoints(lab) == 2, 5, "the endpoint is out")
            load.go_on(2)
        back_at = time.monotonic()
        settled(lab)
        recovery_s = time.monotonic() - back_at
    report(load, "pause and unpause of reviews-v2", recovery_s)
    assert load.failures() == []
    assert recovery_s <= RECOVERY_S


def test_a_pod_off_its_network(lab: ContainerLab, containers: Containers) -> None:
    settled(lab)
    with Steady(inside(lab), RATE, THREADS) as load:
        with containers.disconnected("reviews-v2-pod"):
            eventually(lambda: endpoints(lab) == 2, 5, "the endpoint is out")
            load.go_on(2)
        back_at = time.monotonic()
        settled(lab)
        recovery_s = time.monotonic() - back_at
        load.go_on(1)
    report(load, "reviews-v2 off its network", recovery_s)
    assert len(load.failures()) <= IN_FLIGHT, load.summary()


def test_twenty_control_planes(lab: ContainerLab, containers: Containers) -> None:
    settled(lab)
    before = proxies_in_sync(lab)
    with Steady(inside(lab), RATE, THREADS) as load:
        for _ in range(20):
            containers.find("control-plane").restart(timeout=2)
        eventually(lambda: proxies_in_sync(lab) >= before, 30, "every proxy in sync")
    report(load, "20 restarts of the control plane")
    assert load.failures() == []
    assert endpoints(lab) == 3


def test_a_version_rolled_to_another(lab: ContainerLab, containers: Containers) -> None:
    """reviews-v1's app is made anew with other settings, then reviews-v3's, as `docker compose up` would."""
    settled(lab)
    with Steady(inside(lab), RATE, THREADS) as load:
        for service in ("reviews-v1", "reviews-v3"):
            containers.replace(service, {"LUGSAIL_ROLLED": "1"})
            settled(lab)
    report(load, "two versions rolled")
    assert load.failures() == [], load.summary()


