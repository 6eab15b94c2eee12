"""`lugsail load` on a real mesh: splits, failures in bodies, wrong claims, Ctrl-C, exact counts."""

from __future__ import annotations

import json
import pathlib
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from lugsail.lab.processes import family, start_time
from tests.e2e.lab import LUGSAIL, SAMPLES, Lab, eventually

pytestmark = pytest.mark.e2e

SPLIT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - route:
    - {destination: {host: reviews, subset: v1}, weight: 90}
    - {destination: {host: reviews, subset: v3}, weight: 10}
"""
ABORT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %s}
spec:
  hosts: [%s]
  http:
  - fault: {abort: {percentage: {value: 100}, httpStatus: 503}}
    route: [{destination: {host: %s}}]
"""
CLOSE = ["-o", "json", "--seed", "1"]


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab("python", "127.48", 18048, tmp_path_factory.mktemp("lab-load")).running() as lab:
        yield lab


@pytest.fixture
def lab(mesh: Lab) -> Iterator[Lab]:
    yield mesh
    mesh.reset()


def load(lab: Lab, *args: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the results."""
    done = lab.cli("load", *CLOSE, *args, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_split_is_told_and_judged(lab: Lab, tmp_path: pathlib.Path) -> None:
    lab.apply(SAMPLES / "bookinfo" / "destination-rule-reviews.yaml", SPLIT)
    claims = ("split reviews v1=90% v3=10%", "errors==0", "requests==240", "rps>=59", "p50(/productpage)<2s")
    wrong = ("split reviews v1=50% v3=50%", "split reviews v2=100%")
    arguments = [word for claim in (*claims, *wrong) for word in ("--assert", claim)]
    code, result = load(lab, "--scenario", "split", "--rate", "60", "--time", "4s", "--out", str(tmp_path), *arguments)
    verdicts = {one["expression"]: one for one in result["assertions"]}
    assert [verdicts[claim]["ok"] for claim in claims] == [True] * len(claims), verdicts
    assert [verdicts[claim]["ok"] for claim in wrong] == [False, False], verdicts
    assert code == 1
    assert "of 240 answers v1" in verdicts[wrong[0]]["observed"]
    assert json.loads((tmp_path / "results.json").read_text()) == result
    assert (tmp_path / "load.png").read_bytes().startswith(b"\x89PNG")
    assert "reviews v3" in (tmp_path / "load.svg").read_text()


def test_every_request_is_in_the_gateways_log_once(lab: Lab) -> None:
    code, result = load(lab, "--rate", "40", "--time", "3s", "--assert", "errors==0")
    assert code == 0, result["assertions"]
    assert result["totals"]["sent"] == result["totals"]["answered"] == 120
    agent = f"lugsail-load/{result['run_id']}"
    eventually(lambda: lab.proxy_log("istio-ingressgateway").count(agent) >= 120, what="the gateway's log")
    assert lab.proxy_log("istio-ingressgateway").count(agent) == 120


@pytest.mark.parametrize(
    ("service", "kind"),
    [
        ("ratings", "Ratings service is currently unavailable"),
        ("reviews", "Error fetching product reviews"),
        ("productpage", "status 503"),
    ],
)
def test_injected_faults_are_failures(lab: Lab, service: str, kind: str) -> None:
    text = ABORT.replace("%s", service)
    if service == "productpage":  # the gateway's own rule, aborted
        text = text.replace("hosts: [productpage]", "hosts: ['*']\n  gateways: [bookinfo-gateway]").replace(
            "name: productpage}", "name: bookinfo}", 1
        )
    lab.apply(text)
    code, result = load(lab, "--scenario", "split", "--rate", "40", "--time", "1s", "--assert", "errors<1%")
    assert code == 1
    page = result["names"]["/productpage"]
    assert page["answered"] == 40
    assert set(page["failure_kinds"]) == {kind}
    assert kind in result["assertions"][0]["observed"]


def test_ctrl_c_ends_the_run_with_its_summary(lab: Lab) -> None:
    process = subprocess.Popen(
        [str(LUGSAIL), "load", "--rate", "20", "--time", "60s", "--assert", "errors==0"],
        env=lab.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    lines = [process.stderr.readline(), process.stderr.readline()]  # the run's name; the first 5 seconds
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert "5 s of 60 s" in lines[1], lines
    assert process.returncode == 130, (out, err)
    assert "ended early" in out
    assert "/productpage" in out
    assert "held" in out
    assert "Traceback" not in err


def test_a_load_whose_command_is_killed_ends(lab: Lab) -> None:
    process = subprocess.Popen(
        [str(LUGSAIL), "load", "--rate", "20", "--time", "60s"],
        env=lab.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    agent = process.stderr.readline().split()[-1]
    eventually(lambda: lab.proxy_log("istio-ingressgateway").count(agent) > 5, what="the load has begun")
    children = [pid for pid in family(process.pid) if pid != process.pid]
    assert children
    process.kill()
    process.communicate()
    eventually(lambda: not any(start_time(pid) for pid in children), what="locust ends with its parent")


def test_nothing_answers_there(lab: Lab) -> None:
    done = lab.cli("load", "--url", "http://127.0.0.1:9", check=False)
    assert done.returncode == 1
    assert "Nothing answers at http://127.0.0.1:9" in done.stderr


def test_a_page_that_does_not_come_is_not_waited_for_forever(lab: Lab) -> None:
    lab.apply(ABORT.replace("%s", "reviews"))
    done = lab.cli("load", "--wait", "1s", check=False)
    assert done.returncode == 1
    assert "within 1 s: Error fetching product reviews" in done.stderr
