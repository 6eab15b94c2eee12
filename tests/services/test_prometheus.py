"""Prometheus' files by its own tool, and every board's queries by Prometheus itself, over a mesh that runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.prometheus import SOURCE, command, write_config
from tests.services.metrics.chains import PROXIES, Chains, document, fetch, status, wait

GRAFANA = SOURCE.parent / "grafana"
BOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
needs_prometheus = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="there is no promtool: apt-get install prometheus"
)

#: As Istio's own dashboards ask.
ISTIOS = (
    'round(sum(irate(istio_requests_total{reporter="destination",destination_service=~"web-.*"}[5m])), 0.001)',
    'sum(rate(istio_requests_total{reporter="source", response_code!~"5.*"}[1m])) '
    "/ sum(rate(istio_requests_total[1m]))",
    "histogram_quantile(0.95, sum(irate(istio_request_duration_milliseconds_bucket"
    '{reporter=~"source"}[1m])) by (le))',
    'label_join((sum by (destination_workload, destination_workload_namespace, destination_service) '
    '(rate(istio_requests_total{reporter="source"}[1m]))), "x", ".", "destination_workload")',
    'sum(irate(istio_tcp_received_bytes_total{reporter="destination", destination_service=~".*"}[1m])) '
    "by (source_workload)",
    'sum(increase(pilot_xds_pushes{type=~"lds|cds|rds|eds"}[5m])) by (type)',
    "sum(pilot_xds{app=\"istiod\"})",
    "histogram_quantile(0.99, sum(rate(pilot_proxy_convergence_time_bucket[5m])) by (le))",
    "sum(pilot_services)",
    'process_cpu_seconds_total{app="istiod"}',
)  # fmt: skip
#: Of these there is only something where something went wrong.
MAY_BE_EMPTY = ("pilot_total_xds",)


@needs_prometheus
@pytest.mark.parametrize("what", [("check", "config", "prometheus.yml"), ("test", "rules", "tests.yml")])
def test_promtool_agrees(what: tuple[str, ...]) -> None:
    done = subprocess.run(["promtool", *what], cwd=SOURCE, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_control_plane_is_named(tmp_path: Path) -> None:
    path = write_config("10.1.2.3:8080", tmp_path)
    assert "http://10.1.2.3:8080/sd/prometheus" in path.read_text()
    assert list((tmp_path / "rules").iterdir()) and list((tmp_path / "alerts").iterdir())


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: str(path.stem))
def test_a_board_is_whole(path: Path) -> None:
    board = json.loads(path.read_text())
    assert board["uid"] == path.stem and board["schemaVersion"] >= 36
    names = {one["name"] for one in board["templating"]["list"]}
    for panel in board["panels"]:
        for target in panel["targets"]:
            used = {word for word in ("service", "workload") if f"${word}" in target["expr"]}
            assert used <= names, panel["title"]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = Path(tmp_path_factory.mktemp("prometheus"))
    with Chains(folder) as chains:
        config = write_config(f"{chains.net}.1:8080", folder / "config")
        text = config.read_text().replace("scrape_interval: 5s", "scrape_interval: 1s")
        config.write_text(text.replace("timeout: 4s", "timeout: 1s"))
        url = f"http://{chains.net}.4:9090"
        with (folder / "prometheus.log").open("wb") as log:
            process = subprocess.Popen(command(config, url[7:], folder / "data"), stdout=log, stderr=log)
        chains.processes.append(process)
        wait("Prometheus", lambda: status(f"{url}/-/ready") == 200)
        wait("all targets", lambda: len(query(url, "up == 1")) >= 6)
        deadline = time.monotonic() + 12
        code = 200
        while time.monotonic() < deadline:
            for proxy in PROXIES:
                chains.get(proxy, "/status/200", body=b"four")
                chains.get(proxy, "/status/500")
                chains.talk(proxy, 100)
            code += 1  # something for the control plane to push
            rule = {"hosts": ["empty-python"], "http": [{"directResponse": {"status": 200 + code % 300}}]}
            chains.apply(document("VirtualService", "changing", rule))
            time.sleep(0.2)
        yield url


def query(url: str, text: str) -> list[dict[str, Any]]:
    answer = json.loads(fetch(f"{url}/api/v1/query?query={urllib.parse.quote(text)}"))
    assert answer["status"] == "success", answer
    found = answer["data"]["result"]
    return list(found)


@needs_prometheus
@pytest.mark.e2e
@pytest.mark.envoy
def test_every_query_has_an_answer(prometheus: str) -> None:
    asked = list(ISTIOS)
    for path in BOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            asked += [target["expr"] for target in panel["targets"]]
    empty = []
    for text in asked:
        found = query(prometheus, text.replace("$service", ".*").replace("$workload", ".*"))
        values = [one["value"][1] for one in found]
        if (not values or all(value == "NaN" for value in values)) and not any(name in text for name in MAY_BE_EMPTY):
            empty.append(text)
    assert not empty


@needs_prometheus
@pytest.mark.e2e
@pytest.mark.envoy
def test_nothing_is_counted_twice(prometheus: str) -> None:
    apart = "source_workload, destination_workload, destination_service, response_code, response_flags"
    twice = f'count by ({apart}) (istio_requests_total{{reporter="destination"}}) > 1'
    assert query(prometheus, twice) == []
    workloads = query(prometheus, 'count by (destination_workload) (istio_requests_total{reporter="destination"})')
    assert {one["metric"]["destination_workload"] for one in workloads} == {f"server-{proxy}-v1" for proxy in PROXIES}
