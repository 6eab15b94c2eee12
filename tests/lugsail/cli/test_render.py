"""Offline rendering: what is loaded, who the proxy is, what comes out."""

import json
from pathlib import Path

import pytest

from lugsail.cli.render import InvalidTexts, UnknownProxy, main, render

MESH = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: web}
spec:
  hosts: [web.default.svc.cluster.local]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  workloadSelector: {labels: {app: web}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: web-v1}
spec: {address: 10.0.0.1, labels: {app: web}}
"""
UNSUPPORTED = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p}\nspec: {}\n"
LOST = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: d}\nspec: {host: nobody}\n"


def test_routes_and_endpoints_are_those_that_are_asked_for() -> None:
    found = render([("mesh.yaml", MESH)], "web-v1.default").resources
    assert set(found) == {"Listener", "RouteConfiguration", "Cluster", "ClusterLoadAssignment"}
    assert set(found["RouteConfiguration"]) == {"80"}
    assert set(found["ClusterLoadAssignment"]) == {"outbound|80||web.default.svc.cluster.local"}
    assert found["Listener"]["0.0.0.0_80"]["bind_to_port"] is False


def test_what_has_no_effect_is_said() -> None:
    rendering = render([("mesh.yaml", MESH), ("p.yaml", UNSUPPORTED), ("d.yaml", LOST)], "web-v1.default")
    assert rendering.messages == [
        "p.yaml:1: PeerAuthentication default/p is left out: the kind is not supported yet",
        "DestinationRule default/d: host: no service is called nobody.default.svc.cluster.local; "
        "the rule has no effect",
    ]


def test_a_later_file_replaces_a_resource() -> None:
    other = MESH.replace("number: 80", "number: 81")
    assert "81" in render([("a", MESH), ("b", other)], "web-v1.default").resources["RouteConfiguration"]


def test_an_unknown_proxy_names_the_known_ones() -> None:
    with pytest.raises(UnknownProxy, match=r"the files have: web-v1\.default"):
        render([("mesh.yaml", MESH)], "nobody.default")


def test_an_invalid_resource_is_an_error() -> None:
    with pytest.raises(InvalidTexts, match=r"mesh.yaml:\d+: ServiceEntry .*MAGIC"):
        render([("mesh.yaml", MESH.replace("resolution: STATIC", "resolution: MAGIC"))], "web-v1.default")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mesh.yaml"
    path.write_text(MESH + "---\n" + UNSUPPORTED)
    assert main(["-f", str(path), "--proxy", "web-v1.default", "--interception", "NONE", "-o", "json"]) == 0
    output = capsys.readouterr()
    assert "virtualInbound" not in json.loads(output.out)["Listener"]
    assert "is left out" in output.err
    assert main(["-f", str(path), "--proxy", "x.y"]) == 65
