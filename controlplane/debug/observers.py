"""What observers of the mesh ask for: whom to scrape (Prometheus' HTTP SD), and who runs at which address."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiohttp import web

from controlplane.model.mesh_snapshot import MeshSnapshot
from controlplane.model.proxy import Proxy
from controlplane.translate.workloads import describe, workload_endpoints

PROXY_PORT = 15090
#: Services of the mesh's own namespace that have a page for Prometheus → the port that it is on, by its name.
SERVICES = {"tracing": "ui", "metrics": "http", "prometheus": "http"}
#: The control plane under the labels that Istio's dashboards look for.
CONTROL_PLANE_APP = "istiod"

Json = dict[str, Any]


class ObserverPages:
    """`monitoring`: the address and port of the control plane's own metrics.

    `proxies()` are those that are connected; `snapshot()` and `revision()` the newest, None before the first one.
    """

    def __init__(
        self,
        snapshot: Callable[[], MeshSnapshot | None],
        proxies: Callable[[], Iterable[Proxy]],
        revision: Callable[[], int],
        monitoring: tuple[str, int],
    ) -> None:
        self._snapshot = snapshot
        self._proxies = proxies
        self._revision = revision
        self._monitoring = monitoring

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/sd/prometheus", self.targets), web.get("/apis/lugsail.io/v1/workloads", self.workloads)]

    async def targets(self, request: web.Request) -> web.StreamResponse:
        """Prometheus' HTTP SD: connected proxies, the control plane and the mesh's services."""
        address, port = self._monitoring
        if address in ("0.0.0.0", "::"):  # noqa: S104 - who got here by a name or address gets there by it, too
            address = request.url.host or "127.0.0.1"
        found = scrape_targets(self._snapshot(), self._proxies(), (address, port))
        return web.json_response(found)

    async def workloads(self, request: web.Request) -> web.StreamResponse:
        """Every workload and connected gateway by its address; 304 for those who have it."""
        items = workload_items(self._snapshot(), self._proxies())
        digest = hashlib.blake2b(json.dumps(items, sort_keys=True).encode(), digest_size=12).hexdigest()
        etag = f'"{digest}"'
        headers = {"ETag": etag, "Cache-Control": "no-cache"}
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers=headers)
        return web.json_response({"revision": self._revision(), "items": items}, headers=headers)


def workload_items(snapshot: MeshSnapshot | None, proxies: Iterable[Proxy]) -> list[Json]:
    """By address. Of a connected proxy that the registry does not know, what it says itself."""
    if snapshot is None:
        return []
    cluster_id = snapshot.mesh.cluster_id
    items: dict[str, Json] = {}
    for endpoint in workload_endpoints(snapshot).values():
        told = describe(endpoint, cluster_id)
        items[endpoint.address] = {**_renamed(told), "labels": endpoint.label_map}
    for proxy in proxies:
        for address in proxy.addresses:
            items.setdefault(address, _of_proxy(proxy, address, cluster_id))
    return [items[address] for address in sorted(items)]


def _renamed(told: Mapping[str, Any]) -> Json:
    return {"cluster" if name == "cluster_id" else name: value for name, value in told.items()}


def _of_proxy(proxy: Proxy, address: str, cluster_id: str) -> Json:
    labels = proxy.label_map
    service = labels.get("service.istio.io/canonical-name") or labels.get("app") or proxy.name
    revision = labels.get("service.istio.io/canonical-revision") or labels.get("version") or "latest"
    return {
        "address": address,
        "name": proxy.name,
        "namespace": proxy.namespace,
        "app": labels.get("app") or service,
        "version": labels.get("version") or "",
        "canonical_service": service,
        "canonical_revision": revision,
        "service_account": proxy.service_account,
        "cluster": cluster_id,
        "labels": labels,
    }


def scrape_targets(
    snapshot: MeshSnapshot | None, proxies: Iterable[Proxy], monitoring: tuple[str, int]
) -> list[Json]:
    """One group for each target, in a stable order. `monitoring`: of the control plane."""
    namespace = snapshot.mesh.root_namespace if snapshot is not None else "istio-system"
    labels = {"job": "control-plane", "workload": "control-plane", "namespace": namespace, "app": CONTROL_PLANE_APP}
    found = {_host_port(*monitoring): labels | {"pod": "control-plane", "__metrics_path__": "/metrics"}}
    for proxy in proxies:
        if proxy.addresses:
            found[_host_port(proxy.addresses[0], PROXY_PORT)] = _proxy_labels(proxy)
    if snapshot is not None:
        found |= _services(snapshot, namespace)
    return [{"targets": [target], "labels": found[target]} for target in sorted(found)]


def _services(snapshot: MeshSnapshot, namespace: str) -> dict[str, dict[str, str]]:
    """Target → labels, of the mesh's own services."""
    found = {}
    for service in snapshot.services:
        name, of, *_ = *service.host.split("."), ""
        port = next((port for port in service.ports if port.name == SERVICES.get(name)), None)
        if of == namespace and port is not None:
            for endpoint in snapshot.endpoints_for(service):
                target = _host_port(endpoint.address, endpoint.port_for(port))
                found[target] = _service_labels(name, namespace, endpoint.workload)
    return found


def _proxy_labels(proxy: Proxy) -> dict[str, str]:
    labels = proxy.label_map
    return {
        "job": "proxies",
        "workload": proxy.name,
        "pod": proxy.name,
        "namespace": proxy.namespace,
        "app": labels.get("app") or proxy.name,
        "version": labels.get("version") or "",
        "proxy": "envoy" if proxy.is_stock_envoy else "python",
        "__metrics_path__": "/stats/prometheus",
    }


def _service_labels(name: str, namespace: str, workload: str) -> dict[str, str]:
    labels = {"job": name, "workload": workload, "pod": workload, "namespace": namespace, "app": name}
    labels["__metrics_path__"] = "/metrics"
    if name == "metrics":
        labels["__param_scope"] = "envoy"  # what Prometheus does not get from the proxies themselves
    return labels


def _host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
