"""What watches the mesh may be killed, stopped or slow: no request fails, and none waits for it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from lugsail.lab.processes import family
from tests.e2e.conftest import envoy_missing
from tests.e2e.lab import Answer, Lab, eventually
from tests.e2e.observed import GATEWAY, now_us, traces, url_of
from tests.e2e.steady import Steady

pytestmark = pytest.mark.e2e

NAMES = ("tracing", "metrics")
RATE = 20
FAULT_S = 8.0
#: Below every timeout of an exporter (the shortest is a second), above what two busy cores cost.
SLOWEST_S = 0.9


@pytest.fixture(scope="module", params=["python", "envoy"])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if request.param == "envoy" and (reason := envoy_missing()):
        pytest.skip(reason)
    with Lab(request.param, "127.59", 18059, tmp_path_factory.mktemp("lab-observers")).running() as lab:
        yield lab


def pids(lab: Lab) -> dict[str, int]:
    return {item["name"]: item["pid"] for item in lab.status()["observers"] if item["state"] == "ready"}


def killed(lab: Lab) -> None:
    for pid in pids(lab).values():
        os.kill(pid, signal.SIGKILL)
    time.sleep(FAULT_S)


def stopped(lab: Lab) -> None:
    with paused(lab):
        time.sleep(FAULT_S)


def slow(lab: Lab) -> None:
    """Each answers only in a tenth of the time."""
    end = time.monotonic() + FAULT_S
    while time.monotonic() < end:
        with paused(lab):
            time.sleep(0.45)
        time.sleep(0.05)


@contextmanager
def paused(lab: Lab) -> Iterator[None]:
    found = [member for pid in pids(lab).values() for member in family(pid)]
    try:
        for pid in found:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in found:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def reader(lab: Lab) -> Iterator[Callable[[], Answer]]:
    yield lambda: lab.get("/productpage")


@pytest.mark.parametrize("fault", [killed, stopped, slow])
def test_no_request_fails_or_waits(lab: Lab, fault: Callable[[Lab], None]) -> None:
    eventually(lambda: set(pids(lab)) == set(NAMES), 20, "both run")

    def client() -> AbstractContextManager[Callable[[], Answer]]:
        return reader(lab)

    with Steady(client, rate=RATE, threads=4) as load:
        began = time.monotonic()
        thread = threading.Thread(target=fault, args=(lab,))
        thread.start()
        thread.join()
        ended = time.monotonic()
        time.sleep(1)
    during = [sample for sample in load.samples if began <= sample.began <= ended]
    assert len(during) > RATE * FAULT_S / 2
    assert load.counts() == {"200": len(load.samples)}
    slowest = max(sample.seconds for sample in during)
    print(f"OBSERVERS {lab.proxy} {fault.__name__}: {len(during)} pages, the slowest {slowest * 1000:.0f} ms")
    assert slowest < SLOWEST_S
    eventually(lambda: set(pids(lab)) == set(NAMES), 20, "both run again")
    since, base = now_us(), url_of(lab, "tracing")
    assert lab.get("/productpage").status == 200
    eventually(lambda: traces(base, since, GATEWAY), 30, "traces come again")
