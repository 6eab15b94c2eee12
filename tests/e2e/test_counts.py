"""Everybody counts the same requests: locust, the gateway's access log, Istio's metrics, and traces at 100 %.

With LUGSAIL_COUNT_SECONDS=125 and LUGSAIL_COUNT_RATE=80 these are 10,000 requests for each proxy.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import envoy_missing
from tests.e2e.lab import Lab, eventually
from tests.e2e.observed import now_us, requests_total, traces, url_of

pytestmark = pytest.mark.e2e

RATE = int(os.environ.get("LUGSAIL_COUNT_RATE", "40"))
SECONDS = int(os.environ.get("LUGSAIL_COUNT_SECONDS", "15"))
GATEWAY_TO_PAGE = {"source_workload": "istio-ingressgateway", "destination_workload": "productpage-v1"}
#: The metrics service asks every five seconds, and an Envoy tells twice a second.
SETTLE_S = 30
SCRAPED_EVERY_S = 5


@pytest.fixture(scope="module", params=["python", "envoy"])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if request.param == "envoy" and (reason := envoy_missing()):
        pytest.skip(reason)
    with Lab(request.param, "127.57", 18057, tmp_path_factory.mktemp("lab-counts")).running() as lab:
        yield lab


def counted(base: str) -> tuple[float, float]:
    """(requests that the gateway says it sent to the page, requests that the page's sidecar says it got from it)."""
    source = requests_total(base, reporter="source", **GATEWAY_TO_PAGE)
    return source, requests_total(base, reporter="destination", **GATEWAY_TO_PAGE)


def settled(base: str) -> tuple[float, float]:
    """The counts, once no count has changed for longer than the service waits between two scrapes."""
    last, since = counted(base), time.monotonic()

    def unchanged() -> bool:
        nonlocal last, since
        if (now := counted(base)) != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since > SCRAPED_EVERY_S + 1

    eventually(unchanged, SETTLE_S, "the counts rest")
    return last


@pytest.mark.timeout(SECONDS + 180)
def test_all_counts_agree(lab: Lab) -> None:
    metrics, tracing = url_of(lab, "metrics"), url_of(lab, "tracing")
    before = settled(metrics)
    since = now_us()
    words = ("--rate", str(RATE), "--time", f"{SECONDS}s", "--scenario", "mixed", "--seed", "1", "-o", "json")
    done = lab.cli("load", *words, "--assert", "errors==0", timeout_s=SECONDS + 60)
    result = json.loads(done.stdout)
    wanted = result["totals"]["sent"]  # on a busy machine fewer than were asked for
    assert wanted == result["totals"]["answered"]
    assert wanted > RATE * SECONDS / 2
    agent = f"lugsail-load/{result['run_id']}"
    got = {
        "log": lambda: lab.proxy_log("istio-ingressgateway").count(agent),
        "gateway's metric": lambda: counted(metrics)[0] - before[0],
        "page's metric": lambda: counted(metrics)[1] - before[1],
        "traces": lambda: len(traces(tracing, since, user_agent=agent)),
    }
    for name, count in got.items():
        eventually(lambda count=count: count() >= wanted, SETTLE_S, f"{wanted} by {name}")  # type: ignore[misc]
    found = {name: count() for name, count in got.items()}
    print(f"COUNTS {lab.proxy}: locust {wanted}, {found}")
    assert found == dict.fromkeys(got, wanted)
