"""`lugsail check-inject`: a table for people, JSON for programs, an exit code for scripts."""

import json
from pathlib import Path

import pytest

from lugsail.cli.main import main

SAMPLES = Path(__file__).parents[2] / "testdata" / "kubernetes"
COMPOSE = """
services:
  web: {image: web, labels: {app: web, lugsail.io/ports: "http:80"}}
  plain: {image: plain, labels: {app: plain, sidecar.istio.io/inject: "false"}}
"""


def rows(text: str) -> dict[str, tuple[bool, str]]:
    return {row["workload"]: (row["injected"], row["reason"]) for row in json.loads(text)}


def test_a_compose_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "app.yaml"
    path.write_text(COMPOSE, encoding="utf-8")
    assert main(["check-inject", str(path), "-o", "json"]) == 1
    found = rows(capsys.readouterr().out)
    assert found[f"{path}: web"][0] is True
    assert found[f"{path}: plain"][0] is False
    assert 'sidecar.istio.io/inject: "false"' in found[f"{path}: plain"][1]


def test_a_meshed_compose_file_has_its_sidecars(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, meshed = tmp_path / "app.yaml", tmp_path / "meshed.yaml"
    source.write_text(COMPOSE.split("  plain")[0], encoding="utf-8")
    assert main(["inject", str(source), "-o", str(meshed)]) == 0
    capsys.readouterr()
    assert main(["check-inject", str(meshed), "-o", "json"]) == 0
    assert rows(capsys.readouterr().out) == {f"{meshed}: web": (True, "it has its sidecar in this file")}


def test_kubernetes_manifests(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-inject", str(SAMPLES / "kinds.yaml")]) == 0
    assert "CronJob default/nightly" in capsys.readouterr().out
    assert main(["check-inject", str(SAMPLES / "left-alone.yaml")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["WORKLOAD", "INJECTED", "REASON"]
    assert any(line.startswith("Pod default/node-agent") and "   no   " in line for line in lines)
    assert any(line.startswith("Pod default/injected-by-hand") and "   yes  " in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 64, "Name files or containers"),
        (["--runtime", "podman"], 64, "there is docker alone"),
        (["x.yaml", "-o", "xml"], 64, "there is no such output"),
    ],
)
def test_wrong_usage(arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-inject", *arguments]) == code
    assert message in capsys.readouterr().err


def test_a_file_without_workloads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "map.yaml"
    path.write_text("kind: ConfigMap\n", encoding="utf-8")
    assert main(["check-inject", str(path)]) == 65
    assert "no workload" in capsys.readouterr().err
