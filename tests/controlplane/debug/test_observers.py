"""Targets for Prometheus, and workloads by address: as functions, and as pages."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from controlplane.debug.observers import ObserverPages, scrape_targets, workload_items
from tests.controlplane.model.factory import mesh, resource, sidecar, workload

MONITORING = ("10.0.0.9", 15014)
PORTS = "ports: [{number: 9411, name: http-zipkin, protocol: HTTP}, {number: 16686, name: ui, protocol: HTTP}]"
TRACING = (
    resource(
        "ServiceEntry",
        "tracing",
        "{hosts: [tracing.istio-system.svc.cluster.local], location: MESH_INTERNAL, resolution: STATIC, "
        f"{PORTS}, workloadSelector: {{labels: {{app: tracing}}}}}}",
        "istio-system",
    ),
    workload("tracing", "10.0.0.5", "tracing", "istio-system"),
)
ENVOY = sidecar("web-v2", "10.0.0.2", user_agent="envoy")


def by_target(*arguments: Any) -> dict[str, dict[str, str]]:
    return {group["targets"][0]: group["labels"] for group in scrape_targets(*arguments)}


def test_before_the_first_snapshot_the_control_plane_is_the_only_target() -> None:
    found = by_target(None, [], MONITORING)
    assert list(found) == ["10.0.0.9:15014"]
    assert found["10.0.0.9:15014"]["app"] == "istiod" and found["10.0.0.9:15014"]["job"] == "control-plane"


def test_proxies_and_services_of_the_mesh_are_targets() -> None:
    found = by_target(mesh(*TRACING), [sidecar(), ENVOY], MONITORING)
    assert found.keys() == {"10.0.0.9:15014", "10.0.0.1:15090", "10.0.0.2:15090", "10.0.0.5:16686"}
    assert (found["10.0.0.1:15090"]["proxy"], found["10.0.0.2:15090"]["proxy"]) == ("python", "envoy")
    assert found["10.0.0.1:15090"]["__metrics_path__"] == "/stats/prometheus"
    assert found["10.0.0.5:16686"]["job"] == "tracing"


def test_an_address_of_six_is_in_brackets() -> None:
    assert "[fd00::1]:15090" in by_target(None, [sidecar(address="fd00::1")], ("fd00::9", 15014))


def test_workloads_of_the_registry_and_proxies_that_it_does_not_know() -> None:
    snapshot = mesh(workload("web-v1", "10.0.0.1", "web"))
    items = workload_items(snapshot, [sidecar(), sidecar("guest", "10.0.0.7", "guest", labels=(("app", "guest"),))])
    assert [(item["address"], item["name"], item["app"], item["version"]) for item in items] == [
        ("10.0.0.1", "web-v1", "web", "v1"),
        ("10.0.0.7", "guest", "guest", ""),
    ]
    assert {item["cluster"] for item in items} == {"Kubernetes"}
    assert workload_items(None, [sidecar()]) == []


async def test_the_pages() -> None:
    snapshot = mesh(workload("web-v1", "10.0.0.1", "web"))
    app = web.Application()
    app.add_routes(ObserverPages(lambda: snapshot, lambda: [sidecar()], lambda: 7, ("::", 15014)).routes())
    async with TestClient(TestServer(app)) as client:
        answer = await client.get("/apis/lugsail.io/v1/workloads")
        body = await answer.json()
        assert (body["revision"], body["items"][0]["address"]) == (7, "10.0.0.1")
        same = await client.get("/apis/lugsail.io/v1/workloads", headers={"If-None-Match": answer.headers["ETag"]})
        assert same.status == 304 and not await same.read()
        other = await client.get("/apis/lugsail.io/v1/workloads", headers={"If-None-Match": '"of-before"'})
        assert other.status == 200
        targets = await (await client.get("/sd/prometheus")).json()
        assert targets[-1]["targets"] == ["127.0.0.1:15014"], "the address by which we were asked, not the wildcard"
