from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lugsail.client import Client
from lugsail.lab.addressing import Subnet
from lugsail.lab.pod import Pod, gateway_workload, http_workload
from lugsail.lab.seed import put_first_gateway, put_sidecars
from tests.lugsail.fake_control_plane import FakeControlPlane, serving

SUBNET = Subnet("127.20")
GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g}
spec: {servers: []}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v}
spec: {hosts: ["*"]}
"""


def pod(name: str, number: int) -> Pod:
    workload = http_workload(name=name, namespace="default", app=name, version="v1", port=80)
    return Pod(workload, number, SUBNET, app_ports=(14000 + number,))


@pytest.fixture
def plane() -> FakeControlPlane:
    return FakeControlPlane()


@pytest.fixture
def client(plane: FakeControlPlane) -> Iterator[Client]:
    with serving(plane) as url:
        client = Client(url)
        yield client
        client.close()


def test_sidecars_are_brought_up_to_date_and_no_more(client: Client, plane: FakeControlPlane) -> None:
    gateway = Pod(gateway_workload(), 9, SUBNET, kind="router")
    put_sidecars(client, [pod("a", 1), pod("b", 2), gateway])
    assert plane.writes == [("POST", "sidecars", "a"), ("POST", "sidecars", "b")]
    plane.writes.clear()
    put_sidecars(client, [pod("a", 1), pod("b", 2), gateway])
    assert plane.writes == []
    plane.stored["default", "sidecars", "mine"] = {"metadata": {"name": "mine", "namespace": "default"}, "spec": {}}
    put_sidecars(client, [pod("a", 3)])
    assert plane.writes == [("DELETE", "sidecars", "b"), ("PUT", "sidecars", "a")]
    assert ("default", "sidecars", "mine") in plane.stored


def test_the_first_gateway_only(client: Client, plane: FakeControlPlane, tmp_path: Path) -> None:
    assert not put_first_gateway(client, tmp_path / "none.yaml")
    sample = tmp_path / "gateway.yaml"
    sample.write_text(GATEWAY)
    assert put_first_gateway(client, sample)
    assert [key[1:] for key in plane.stored] == [("gateways", "g"), ("virtualservices", "v")]
    assert not put_first_gateway(client, sample)
