"""The command on a running mesh, as people type it: what each prints, and the exit code it gives.

On the Python proxy alone where the proxy does not matter; what the proxies themselves do is in test_tasks.py.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.lab import LUGSAIL, SAMPLES, Lab, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.parametrize("shared_lab", ["python"], indirect=True)]

BOOKINFO = SAMPLES / "bookinfo"
RULES = BOOKINFO / "destination-rule-all.yaml"
ALL_V1 = BOOKINFO / "virtual-service-all-v1.yaml"
TEST_V2 = BOOKINFO / "virtual-service-reviews-test-v2.yaml"

LIST = """
apiVersion: v1
kind: List
items:
- apiVersion: networking.istio.io/v1alpha3
  kind: VirtualService
  metadata: {name: ratings}
  spec: {hosts: [ratings], http: [{route: [{destination: {host: ratings, subset: v1}}]}]}
- apiVersion: networking.istio.io/v1beta1
  kind: DestinationRule
  metadata: {name: ratings}
  spec: {host: ratings, subsets: [{name: v1, labels: {version: v1}}]}
"""


@contextmanager
def started(lab: Lab, *args: str) -> Iterator[subprocess.Popen[str]]:
    """A `lugsail` that goes on by itself, ended with the block."""
    process = subprocess.Popen(
        [str(LUGSAIL), *args], env=lab.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)
        assert process.stdout is not None
        process.stdout.close()


def line_with(process: subprocess.Popen[str], text: str) -> str:
    """The next line of the output that holds the text; the suite's time limit bounds the wait."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if text in line:
            return line
    raise AssertionError(f"no {text!r} in {seen}")


def table(text: str) -> list[dict[str, str]]:
    """A printed table as rows by column name."""
    header, *lines = text.splitlines()
    names = [name.strip() for name in header.split("   ") if name.strip()]
    starts = [header.index(name) for name in names]
    ends = [*starts[1:], None]
    return [{name: line[a:b].strip() for name, a, b in zip(names, starts, ends, strict=True)} for line in lines if line]


def test_apply_is_idempotent_and_waits(lab: Lab) -> None:
    first = lab.cli("apply", "-f", str(RULES), "-f", str(ALL_V1))
    assert first.stdout.count(" created\n") == 8
    assert first.stdout.index("destinationrule") < first.stdout.index("virtualservice")
    assert "Acknowledged by 10 proxies in " in first.stdout
    assert first.stdout.count(".default ") == 9  # each with its own milliseconds
    assert first.stdout.count("istio-ingressgateway.istio-system ") == 1
    again = lab.cli("apply", "-f", str(RULES), "-f", str(ALL_V1)).stdout.splitlines()
    assert len(again) == 8
    assert all(line.endswith(" unchanged") for line in again)
    changed = lab.cli("apply", "-f", str(TEST_V2), "-o", "json")
    report = json.loads(changed.stdout)
    assert [each["action"] for each in report["resources"]] == ["configured"]
    assert {each["state"] for each in report["proxies"]} == {"ACKED", "UNAFFECTED"}


def test_a_list_on_standard_input_without_waiting(lab: Lab) -> None:
    done = lab.cli("apply", "-f", "-", "--no-wait", text=LIST)
    assert done.stdout.splitlines() == [
        "destinationrule.networking.istio.io/ratings created",
        "virtualservice.networking.istio.io/ratings created",
    ]
    eventually(
        lambda: "ratings.default" in lab.cli("pc", "routes", "curl").stdout, what="the route gets there all the same"
    )


def test_a_folder_and_its_sub_folders(lab: Lab, tmp_path: pathlib.Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "rules.yaml").write_text(RULES.read_text())
    (tmp_path / "below" / "routes.yml").write_text(TEST_V2.read_text())
    done = lab.cli("apply", "-f", str(tmp_path))
    assert done.stdout.count(" created\n") == 5
    assert done.stderr == ""
    gone = lab.cli("delete", "-f", str(tmp_path))
    assert gone.stdout.count(" deleted\n") == 5
    assert gone.stdout.index("virtualservice") < gone.stdout.index("destinationrule")


def test_a_subset_that_no_rule_names_is_a_warning(lab: Lab) -> None:
    done = lab.cli("apply", "-f", str(TEST_V2))
    assert "no DestinationRule has the subsets v2, v1 of reviews" in done.stderr
    assert "answered 503" in done.stderr
    assert lab.cli("apply", "-f", str(RULES)).stderr == ""


def test_a_bad_document_is_refused_whole(lab: Lab, tmp_path: pathlib.Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(TEST_V2.read_text() + "\n---\n" + TEST_V2.read_text().replace("http:", "htp:"))
    done = lab.cli("apply", "-f", str(bad), check=False)
    assert done.returncode == 1
    assert "VirtualService default/reviews: spec.htp: unknown field `htp`; did you mean `http`?" in done.stderr
    assert "1 error; nothing was applied." in done.stderr
    assert lab.cli("get", "vs", "reviews", check=False).returncode == 1
    assert lab.cli("validate", "-f", str(bad), check=False).returncode == 1


def test_get_in_every_form(lab: Lab) -> None:
    lab.apply(RULES, TEST_V2)
    row = next(row for row in table(lab.cli("get", "vs").stdout) if row["NAME"] == "reviews")
    assert row["HOSTS"] == "[reviews]"
    assert "[2 http]" in lab.cli("get", "virtualservices", "-o", "wide").stdout
    assert "virtualservice.networking.istio.io/reviews" in lab.cli("get", "vs", "-o", "name").stdout.splitlines()
    one = json.loads(lab.cli("get", "VirtualService", "reviews", "-o", "json").stdout)
    assert one["spec"]["http"][0]["match"][0]["headers"]["end-user"] == {"exact": "jason"}
    assert lab.cli("get", "vs", "reviews", "-o", "yaml").stdout.startswith("apiVersion: networking.istio.io/v1\n")
    everything = lab.cli("get", "all", "-A", "-o", "name").stdout.splitlines()
    assert "sidecar.networking.istio.io/productpage-v1" in everything
    missing = lab.cli("get", "vs", "nobody", check=False)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "virtualservice.networking.istio.io/nobody is not there (namespace default)" in missing.stderr


def test_what_get_prints_can_be_applied_again(lab: Lab) -> None:
    lab.apply(RULES, TEST_V2)
    text = lab.cli("get", "vs,dr", "-o", "yaml").stdout
    done = lab.cli("apply", "-f", "-", text=text)
    assert all(line.endswith(" unchanged") for line in done.stdout.splitlines()), done.stdout


def test_get_follows_changes(lab: Lab) -> None:
    with started(lab, "get", "dr", "-w") as watching:
        lab.apply(RULES)
        line_with(watching, "reviews")
        lab.cli("delete", "dr", "reviews")
        line_with(watching, "reviews")


def test_delete(lab: Lab) -> None:
    lab.apply(RULES)
    done = lab.cli("delete", "destinationrule", "reviews", "ratings")
    assert done.stdout.count(" deleted\n") == 2
    assert "Acknowledged by " in done.stdout
    assert lab.cli("delete", "dr", "reviews", check=False).returncode == 1
    assert lab.cli("delete", "dr", "reviews", "--ignore-not-found").stdout == ""
    lab.cli("delete", "dr", "--all")
    assert "There is no destinationrule in the namespace default." in lab.cli("get", "dr").stderr


def test_status_and_proxy_status(lab: Lab) -> None:
    text = lab.cli("status").stdout
    rows = {row["WORKLOAD"]: row for row in table(text.partition("\n\n")[0])}
    assert len(rows) == 13 and {"control plane", "tracing", "metrics"} <= rows.keys()
    assert rows["reviews-v2"]["STATE"] == "ready"
    assert rows["reviews-v2"]["SYNC"] == "SYNCED"
    assert "Memory in all: " in text
    total = lab.status()["memory_total"]["pss_bytes"]
    assert 50 * 2**20 < total < 700 * 2**20
    proxies = table(lab.cli("ps").stdout)
    assert len(proxies) == 10
    assert {row[kind] for row in proxies for kind in ("CDS", "LDS", "EDS", "RDS")} == {"SYNCED"}
    one = json.loads(lab.cli("proxy-status", "reviews-v1.default", "-o", "json").stdout)
    assert [each["proxy"] for each in one] == ["reviews-v1.default"]
    assert lab.cli("ps", "nobody", check=False).returncode == 64


def test_proxy_config(lab: Lab) -> None:
    lab.apply(RULES, TEST_V2)
    ip, outgoing = lab.pod_addresses("productpage-v1")
    listeners = table(lab.cli("pc", "listeners", "productpage-v1").stdout)
    assert {(row["ADDRESS"], row["PORT"]) for row in listeners} >= {(ip, "9080"), (outgoing, "15080")}
    assert len(table(lab.cli("pc", "l", "productpage-v1", "--port", "15080").stdout)) == 1
    routes = table(lab.cli("pc", "routes", "productpage-v1", "--name", "15080").stdout)
    reviews = [row for row in routes if row["VIRTUAL SERVICE"] == "reviews.default"]
    assert [row["DESTINATION"].split("|")[2] for row in reviews] == ["v2", "v1"]
    assert "[end-user=jason]" in reviews[0]["MATCH"]
    clusters = table(lab.cli("pc", "clusters", "productpage-v1", "--fqdn", "reviews", "--subset", "v2").stdout)
    assert [row["DESTINATION RULE"] for row in clusters] == ["reviews.default"]
    endpoints = table(lab.cli("pc", "endpoints", "productpage-v1", "--fqdn", "reviews", "--subset", "v2").stdout)
    assert [row["ENDPOINT"] for row in endpoints] == [f"{lab.pod_addresses('reviews-v2')[0]}:9080"]
    bootstrap = json.loads(lab.cli("pc", "bootstrap", "productpage-v1").stdout)
    assert bootstrap["node"]["id"].startswith(f"sidecar~{ip}~productpage-v1.default~")
    dump = json.loads(lab.cli("proxy-config", "all", "productpage-v1", "-o", "json").stdout)
    assert len(dump["configs"]) >= 5
    nothing = lab.cli("pc", "clusters", "productpage-v1", "--fqdn", "revews")
    assert "No cluster fits." in nothing.stderr
    unknown = lab.cli("pc", "routes", "nobody", check=False)
    assert unknown.returncode == 64
    assert "known are productpage-v1" in unknown.stderr


def test_render_says_what_the_proxy_has(lab: Lab, tmp_path: pathlib.Path) -> None:
    lab.apply(RULES, TEST_V2)
    resources = tmp_path / "resources.yaml"
    resources.write_text(lab.cli("get", "all", "-A", "-o", "yaml").stdout)
    registry = lab.home / "registry.yaml"
    args = ["-f", str(registry), "-f", str(resources), "--proxy", "productpage-v1.default", "--interception", "NONE"]
    rendered = json.loads(lab.cli("render", *args, "-o", "json").stdout)
    (running,) = json.loads(lab.cli("pc", "routes", "productpage-v1", "--name", "15080", "-o", "json").stdout)
    assert hosts(rendered["RouteConfiguration"]["15080"]) == hosts(running)
    assert lab.cli("render", "-f", str(registry), "--proxy", "nobody.default", check=False).returncode == 65


def hosts(configuration: dict[str, Any]) -> dict[str, Any]:
    """Virtual host → its routes' clusters, in order."""
    return {
        host["name"]: [route.get("route", {}).get("cluster") for route in host["routes"]]
        for host in configuration["virtual_hosts"]
    }


def test_exec_goes_through_the_sidecar(lab: Lab) -> None:
    lab.apply(RULES, ALL_V1)
    url = "http://reviews:9080/reviews/0"
    program = f"import urllib.request as u; r = u.urlopen('{url}'); print(r.status, r.headers['server'])"
    done = lab.cli("exec", "productpage-v1", "--", sys.executable, "-c", program)
    assert done.stdout == "200 envoy\n"
    eventually(lambda: "outbound|9080|v1|reviews" in lab.proxy_log("productpage-v1"), what="its access log says so")
    assert lab.cli("exec", "productpage-v1", "--", "sh", "-c", "exit 7", check=False).returncode == 7
    assert lab.cli("exec", "nobody", "--", "true", check=False).returncode == 64
    assert lab.cli("exec", "productpage-v1", "--", "no-such-program", check=False).returncode == 127


def test_logs_follow(lab: Lab) -> None:
    with started(lab, "logs", "istio-ingressgateway", "-f", "--proxy", "--tail", "0") as following:
        assert lab.get("/productpage?seen-by=logs").status == 200
        assert '"GET /productpage?seen-by=logs HTTP/1.1" 200' in line_with(following, "seen-by=logs")
    assert lab.cli("logs", "curl", "--tail", "1").stderr.startswith("curl has no app that the lab started")
    assert "There is no log of nobody; there are logs of " in lab.cli("logs", "nobody", check=False).stderr


def test_a_program_joins_and_leaves(lab: Lab, tmp_path: pathlib.Path) -> None:
    (tmp_path / "ratings").mkdir()
    (tmp_path / "ratings" / "0").write_text('{"id": 0, "ratings": {"Reviewer1": 1, "Reviewer2": 1}}')
    serve = f"cd {tmp_path}; exec {sys.executable} -u -m http.server -b 127.0.0.1 $PORT"
    run = ["run", "--app", "ratings", "--version", "v2", "--port", "9080", "--", "sh", "-c", serve]
    lab.apply(BOOKINFO / "destination-rule-all.yaml", BOOKINFO / "virtual-service-ratings-db.yaml")
    with lab.client() as client, started(lab, *run) as program:
        line_with(program, "ratings-v2 is in the mesh: http://ratings:9080")

        def answers() -> bool:
            return client.get("http://ratings:9080/ratings/0").body.startswith('{"id": 0, "ratings": {"Reviewer1": 1,')

        eventually(answers, what="v2 of ratings is the program")
        assert any(each["workload"] == "ratings-v2" for each in lab.status()["workloads"])
        program.terminate()
        assert program.wait(20) == 128 + 15
        assert all(each["workload"] != "ratings-v2" for each in lab.status()["workloads"])
        eventually(lambda: client.get("http://ratings:9080/ratings/0").status == 503, what="it has left")


def test_a_program_that_cannot_join(lab: Lab) -> None:
    run = ["run", "--app", "ratings", "--version", "v1", "--port", "9080", "--", "true"]
    done = lab.cli(*run, check=False)
    assert (done.returncode, "There is a workload ratings-v1 already" in done.stderr) == (64, True)
    run[4], run[6] = "v9", "9999"
    assert "The service ratings has the port 9080: say --port 9080." in lab.cli(*run, check=False).stderr
    run[2] = "Not_A_Name"
    assert lab.cli(*run, check=False).returncode == 64


def test_a_second_mesh_is_refused(lab: Lab) -> None:
    again = lab.cli("up", "--detach", check=False)
    assert again.returncode == 1
    assert "A mesh is running already (pid " in again.stderr
    other = {**lab.env, "LUGSAIL_HOME": str(lab.home) + "-other"}
    done = subprocess.run([str(LUGSAIL), "up", "-d"], env=other, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert f"{lab.subnet}.0.1:8080 is taken by " in done.stderr
