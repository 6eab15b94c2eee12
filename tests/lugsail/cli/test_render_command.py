from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.lugsail.cli.conftest import Cli

MESH = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a}
spec:
  hosts: [a.default.svc.cluster.local]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  location: MESH_INTERNAL
  workloadSelector: {labels: {app: a}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: a-v1}
spec: {address: 10.0.0.1, labels: {app: a}}
"""


@pytest.fixture
def mesh(tmp_path: Path) -> str:
    path = tmp_path / "mesh.yaml"
    path.write_text(MESH)
    return str(path)


def test_the_four_types(cli: Cli, mesh: str) -> None:
    done = cli("render", "-f", mesh, "--proxy", "a-v1.default")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert set(found) == {"Listener", "RouteConfiguration", "Cluster", "ClusterLoadAssignment"}
    assert "outbound|80||a.default.svc.cluster.local" in found["Cluster"]


def test_what_does_not_fit(cli: Cli, mesh: str) -> None:
    done = cli("render", "-f", mesh, "--proxy", "nobody.default")
    assert done.code == 65
    assert "a-v1.default" in done.err
    assert cli("render", "-f", mesh, "--proxy", "a-v1.default", "--type", "pod").code == 64
    assert cli("render", "-f", mesh, "--proxy", "a-v1.default", "--interception", "TPROXY").code == 64
