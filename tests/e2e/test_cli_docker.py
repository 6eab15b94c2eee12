"""Every command on a mesh of containers, by what people see. What does not differ by runtime is in test_cli.py."""

from __future__ import annotations

import json
import pathlib
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import CONTAINERS
from tests.e2e.lab import LUGSAIL, SAMPLES, ContainerLab, eventually
from tests.e2e.test_cli import line_with, started, table

pytestmark = [pytest.mark.e2e, pytest.mark.parametrize("shared_lab", CONTAINERS[:1], indirect=True)]

RULES = SAMPLES / "bookinfo" / "destination-rule-all.yaml"
ALL_V1 = SAMPLES / "bookinfo" / "virtual-service-all-v1.yaml"
RATINGS_DB = SAMPLES / "bookinfo" / "virtual-service-ratings-db.yaml"


@pytest.fixture
def lab(shared_lab: ContainerLab) -> Iterator[ContainerLab]:
    yield shared_lab
    shared_lab.reset()


def test_status(lab: ContainerLab) -> None:
    report = lab.status()
    assert (report["runtime"], report["project"]) == ("docker", lab.project)
    assert report["gateway"] == lab.url
    by_name = {item["workload"]: item for item in report["workloads"]}
    assert len(by_name) == 10
    reviews = by_name["reviews-v2"]
    assert (reviews["state"], reviews["sync"], reviews["proxy"]) == ("ready", "SYNCED", lab.proxy)
    assert reviews["app_memory"]["usage_bytes"] > 5 * 2**20
    rows = {row["WORKLOAD"]: row for row in table(lab.cli("status").stdout.partition("\n\n")[0])}
    assert rows["istio-ingressgateway"]["APP"] == "-"
    assert rows["reviews-v2"]["SIDECAR"] == "ready"


def test_exec_is_in_the_apps_container_and_captured(lab: ContainerLab) -> None:
    lab.apply(RULES, ALL_V1)
    done = lab.cli("exec", "productpage-v1", "--", "curl", "-si", "http://reviews:9080/reviews/0")
    assert "server: envoy" in done.stdout
    assert '"podname": "reviews-v1"' in done.stdout
    eventually(lambda: "outbound|9080|v1|reviews" in lab.proxy_log("productpage-v1"), what="its access log says so")
    assert lab.cli("exec", "curl", "--", "cat", text="to standard input").stdout == "to standard input"
    assert lab.cli("exec", "curl", "--", "sh", "-c", "exit 7", check=False).returncode == 7
    assert lab.cli("exec", "curl", "--", "no-such-program", check=False).returncode in (126, 127)
    unknown = lab.cli("exec", "nobody", "--", "true", check=False)
    assert (unknown.returncode, "known are curl, details-v1" in unknown.stderr) == (64, True)
    assert "is a gateway" in lab.cli("exec", "istio-ingressgateway", "--", "true", check=False).stderr


def test_logs(lab: ContainerLab) -> None:
    with started(lab, "logs", "gateway", "-f", "--tail", "0") as following:
        deadline = time.monotonic() + 30

        def asked() -> bool:
            return lab.get("/productpage?seen-by=logs").status == 200

        assert asked()
        assert '"GET /productpage?seen-by=logs HTTP/1.1" 200' in line_with(following, "seen-by=logs")
        assert time.monotonic() < deadline
    assert "rules written" in lab.cli("logs", "reviews-v1", "--init").stdout
    assert "serving: xDS" in lab.cli("logs", "controlplane").stdout
    assert len(lab.cli("logs", "reviews-v1", "--proxy", "--tail", "1").stdout.splitlines()) == 1
    assert lab.cli("logs", "nobody", check=False).returncode == 64
    assert lab.cli("logs", "lab", check=False).returncode == 64


def test_proxy_commands(lab: ContainerLab) -> None:
    lab.apply(RULES)
    assert {row[kind] for row in table(lab.cli("ps").stdout) for kind in ("CDS", "LDS", "EDS")} == {"SYNCED"}
    listeners = table(lab.cli("pc", "listeners", "productpage-v1").stdout)
    assert {"15001", "15006"} <= {row["PORT"] for row in listeners}
    endpoints = table(lab.cli("pc", "endpoints", "productpage-v1", "--fqdn", "reviews", "--subset", "v2").stdout)
    assert [row["ENDPOINT"] for row in endpoints] == [f"{lab.pod_addresses('reviews-v2')[0]}:9080"]
    assert json.loads(lab.cli("pc", "bootstrap", "istio-ingressgateway").stdout)["node"]["id"].startswith("router~")
    assert lab.cli("pc", "routes", "nobody", check=False).returncode == 64


def test_a_program_joins_and_leaves(lab: ContainerLab, tmp_path: pathlib.Path) -> None:
    tmp_path.chmod(0o755)  # the image's user reads it, where root runs the test
    (tmp_path / "ratings").mkdir()
    (tmp_path / "ratings" / "0").write_text('{"id": 0, "ratings": {"Reviewer1": 1, "Reviewer2": 1}}')
    words = ["run", "--app", "ratings", "--version", "v2", "--port", "9080", "--"]
    words += ["sh", "-c", "exec python3 -u -m http.server $PORT"]
    lab.apply(RULES, RATINGS_DB)
    program = subprocess.Popen(
        [str(LUGSAIL), *words], env=lab.env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        line_with(program, "ratings-v2 is in the mesh: http://ratings:9080")
        with lab.client() as client:

            def answers() -> bool:
                return client.get("http://ratings:9080/ratings/0").body.startswith('{"id": 0, "ratings": {"Reviewer1"')

            eventually(answers, what="v2 of ratings is the program")
            joined = lab.workload("ratings-v2")
            assert joined["proxy"] == "python"
            program.send_signal(signal.SIGINT)
            assert program.wait(30) == 0, "as Python's http.server ends by Ctrl-C"
            assert all(each["workload"] != "ratings-v2" for each in lab.status()["workloads"])
            eventually(lambda: client.get("http://ratings:9080/ratings/0").status == 503, what="it has left")
    finally:
        program.kill()
        program.wait()
        assert program.stdout is not None
        program.stdout.close()
    left = subprocess.run(["docker", "ps", "-aq", "--filter", "name=ratings-v2"], capture_output=True, text=True)
    assert left.stdout == "", "neither the program nor its sidecar is left"


def test_a_program_that_cannot_join(lab: ContainerLab) -> None:
    run = ["run", "--app", "ratings", "--version", "v1", "--port", "9080", "--", "true"]
    done = lab.cli(*run, check=False)
    assert (done.returncode, "There is a workload ratings-v1 already" in done.stderr) == (64, True)
    run[4], run[6] = "v9", "9999"
    assert "The service ratings has the port 9080: say --port 9080." in lab.cli(*run, check=False).stderr
    run[6:7] = ["9080", "--image", "lugsail/no-such-image"]
    assert "There is no image lugsail/no-such-image here." in lab.cli(*run, check=False).stderr


def test_a_second_mesh_is_refused(lab: ContainerLab) -> None:
    again = lab.cli("up", "--runtime", "docker", "--detach", check=False)
    assert (again.returncode, f"(project {lab.project}, {lab.url})" in again.stderr) == (1, True)
    words = ["up", "--runtime", "docker", "--project", f"{lab.project}-other", "--port", str(lab.port)]
    other = lab.cli(*words, check=False)
    assert f"port {lab.port} of 127.0.0.1 is taken by the container {lab.project}-gateway-1" in other.stderr
    unknown = lab.cli("status", "--project", "nobody", check=False)
    assert unknown.stderr.startswith("lugsail: There is no mesh of containers named nobody; there are: ")
