"""`lugsail requests` on real traffic: rules by their index, flags in words, followed while things happen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import textwrap
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import pytest

from tests.e2e.conftest import PROCESSES
from tests.e2e.lab import LUGSAIL, SAMPLES, Lab
from tests.e2e.steady import Steady

pytestmark = [pytest.mark.e2e, pytest.mark.parametrize("shared_lab", PROCESSES, indirect=True)]
BOOKINFO = SAMPLES / "bookinfo"
Rows = list[dict[str, Any]]


def rows(lab: Lab, *options: str) -> Rows:
    done = lab.cli("requests", "-o", "json", *options)
    return [json.loads(line) for line in done.stdout.splitlines()]


def eventually(lab: Lab, enough: Callable[[Rows], bool], *options: str) -> Rows:
    """The rows once there are enough: proxies write once a second."""
    deadline = time.monotonic() + 10
    while True:
        found = rows(lab, *options)
        if enough(found) or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


def ask(lab: Lab, workload: str, url: str, **headers: str) -> tuple[str, int]:
    """(request id, status) of one request as that workload."""
    request_id = str(uuid.uuid4())
    with lab.client(workload) as client:
        answer = client.get(url, {"x-request-id": request_id, **{k.replace("_", "-"): v for k, v in headers.items()}})
    return request_id, answer.status


def one(lab: Lab, request_id: str) -> dict[str, Any]:
    (row,) = eventually(lab, bool, "--request-id", request_id)
    return row


def test_a_page_is_one_row_a_hop(lab: Lab) -> None:
    lab.apply(BOOKINFO / "destination-rule-all.yaml", BOOKINFO / "virtual-service-reviews-v3.yaml")
    page = f"/productpage?of={uuid.uuid4()}"
    assert lab.get(page).status == 200
    entry = eventually(lab, bool, "--from", "gateway", "--path", page)[-1]  # the gateway makes a request id of its own
    found = eventually(lab, lambda found: len(found) >= 4, "--request-id", entry["request_id"])
    hops = [(row["from"]["workload"], row["to"]["workload"], row["side"]) for row in found]
    assert hops == [
        ("istio-ingressgateway", "productpage-v1", "client"),
        ("productpage-v1", "details-v1", "client"),
        ("productpage-v1", "reviews-v3", "client"),
        ("reviews-v3", "ratings-v1", "client"),
    ]
    assert found[0]["rule"]["resource"] == "bookinfo.default"
    assert found[1]["rule"] == {"kind": "default"}
    assert (found[2]["rule"]["resource"], found[2]["rule"]["rule"]) == ("reviews.default", "http[0]")
    assert [row["attempts"] for row in found] == [1, 1, 1, 1]
    both = rows(lab, "--request-id", entry["request_id"], "--both")
    assert len(both) == 8 and [row["side"] for row in both].count("server") == 4


def test_it_ends_under_load_too(lab: Lab) -> None:
    """Under load there is always a server's line whose client's line has not been written yet."""
    with Steady(lambda: nullcontext(lambda: lab.get("/productpage")), 20) as load:
        load.go_on(3)
        started = time.monotonic()
        assert len(rows(lab, "--tail", "5")) == 5
        assert time.monotonic() - started < 15


def test_header_routing_shows_which_rule(lab: Lab) -> None:
    lab.apply(BOOKINFO / "destination-rule-all.yaml", BOOKINFO / "virtual-service-reviews-test-v2.yaml")
    expected = {"jason": ("reviews-v2", "http[0]"), "maria": ("reviews-v1", "http[1]")}
    for user, (version, rule) in expected.items():
        request_id, status = ask(lab, "productpage-v1", "http://reviews:9080/reviews/0", end_user=user)
        assert status == 200
        found = eventually(lab, bool, "--request-id", request_id, "--to", "reviews")
        assert [(row["to"]["workload"], row["rule"]["rule"]) for row in found] == [(version, rule)]
    text = lab.cli("requests", "--to", "reviews").stdout
    assert "VirtualService reviews.default http[0]" in text and "→ reviews-v2" in text


def test_requests_of_before_are_judged_by_the_routes_of_before_or_not_at_all(lab: Lab) -> None:
    lab.apply(BOOKINFO / "destination-rule-all.yaml", BOOKINFO / "virtual-service-reviews-v3.yaml")
    request_id, _ = ask(lab, "productpage-v1", "http://reviews:9080/reviews/0")
    assert eventually(lab, bool, "--request-id", request_id, "--to", "reviews")[0]["rule"]["rule"] == "http[0]"
    lab.apply(BOOKINFO / "virtual-service-reviews-test-v2.yaml")
    (row,) = rows(lab, "--request-id", request_id, "--to", "reviews")
    assert row["rule"] == {"kind": "unknown", "why": "routes changed since"}


def test_a_fault_is_told_in_words_with_its_rule(lab: Lab) -> None:
    lab.apply(BOOKINFO / "destination-rule-all.yaml", BOOKINFO / "virtual-service-ratings-test-abort.yaml")
    request_id, status = ask(lab, "reviews-v2", "http://ratings:9080/ratings/0", end_user="jason")
    row = one(lab, request_id)
    assert status == row["code"] == 500
    assert [flag["flag"] for flag in row["flags"]] == ["FI"]
    assert (row["rule"]["resource"], row["rule"]["rule"]) == ("ratings.default", "http[0]")
    assert row["to"]["name"] == "ratings (v1)"
    assert "FI fault injected (abort): fault.abort of the rule" in lab.cli("requests", "--flag", "FI").stdout


def test_no_route_and_a_host_that_the_mesh_does_not_know(lab: Lab) -> None:
    assert lab.get("/there-is-no-such-path").status == 404
    (row,) = eventually(lab, bool, "--path", "/there-is-no-such-path")
    assert row["rule"] == {"kind": "none"} and row["flags"][0]["meaning"] == "no route"
    assert row["from"]["workload"] == "istio-ingressgateway"
    request_id, status = ask(lab, "curl", "http://nowhere.example/x")
    row = one(lab, request_id)
    assert status == row["code"] == 502
    assert row["rule"] == {"kind": "blocked"} and row["to"]["name"] == "nowhere.example"


def app_of(lab: Lab, workload: str) -> dict[str, Any]:
    found: dict[str, Any] = next(item for item in lab.status()["workloads"] if item["workload"] == workload)
    return found


def test_an_app_that_was_killed(lab: Lab) -> None:
    """Killed as often as the lab starts it anew, until a request comes in between."""
    deadline = time.monotonic() + 30
    status = 200
    try:
        while status == 200 and time.monotonic() < deadline:
            pid = app_of(lab, "details-v1")["app_pid"]
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            request_id, status = ask(lab, "productpage-v1", "http://details:9080/details/0")
        assert status == 503
        # The called proxy has the flag, and may write its line after the caller's.
        found = eventually(lab, lambda rows: any(row["flags"] for row in rows), "--request-id", request_id)
        assert found[0]["from"]["workload"] == "productpage-v1"
        flags = {flag["flag"] for row in found for flag in row["flags"]}
        assert flags & {"UF", "UC", "UH"}, found
        shown = lab.cli("requests", "--request-id", request_id).stdout
        assert any(words in shown for words in ("could not connect", "no healthy upstream", "closed the connection"))
    finally:
        while not app_of(lab, "details-v1")["ready"] and time.monotonic() < deadline + 30:
            time.sleep(0.2)


def test_a_host_where_nobody_listens(lab: Lab) -> None:
    entry = """
        apiVersion: networking.istio.io/v1
        kind: ServiceEntry
        metadata: {name: closed}
        spec:
          hosts: [closed.example]
          ports: [{number: 80, name: http, protocol: HTTP}]
          resolution: STATIC
          endpoints: [{address: 127.0.0.1, ports: {http: 9}}]
        """
    lab.apply(textwrap.dedent(entry))
    request_id, status = ask(lab, "curl", "http://closed.example/")
    row = one(lab, request_id)
    assert status == row["code"] == 503
    assert "UF" in [flag["flag"] for flag in row["flags"]]
    assert row["flags"][0]["next"] and row["rule"] == {"kind": "default"}
    assert "UF could not connect to the upstream: the app is down" in lab.cli("requests", "--flag", "UF").stdout


@contextmanager
def following(lab: Lab, *options: str) -> Iterator[subprocess.Popen[str]]:
    words = [str(LUGSAIL), "requests", "-f", *options]
    child = subprocess.Popen(words, env=lab.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        for stream in (child.stdout, child.stderr):
            assert stream is not None
            stream.close()


def test_follows_through_a_change_of_routes_and_ends_cleanly(lab: Lab) -> None:
    lab.apply(BOOKINFO / "destination-rule-all.yaml", BOOKINFO / "virtual-service-reviews-v3.yaml")
    with following(lab, "--from", "productpage", "--to", "reviews") as child:
        assert child.stdout is not None
        assert child.stdout.readline().startswith("TIME")
        ask(lab, "productpage-v1", "http://reviews:9080/reviews/0")
        first = child.stdout.readline()
        lab.apply(BOOKINFO / "virtual-service-reviews-test-v2.yaml")
        ask(lab, "productpage-v1", "http://reviews:9080/reviews/0", end_user="jason")
        ask(lab, "productpage-v1", "http://reviews:9080/reviews/0")
        second, third = child.stdout.readline(), child.stdout.readline()
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=10)
    assert "→ reviews-v3" in first and "VirtualService reviews.default http[0]" in first
    assert "→ reviews-v2" in second and "VirtualService reviews.default http[0]" in second
    assert "→ reviews-v1" in third and "VirtualService reviews.default http[1]" in third
    assert (child.returncode, out, err) == (0, "", "")
