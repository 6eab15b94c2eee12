"""A control plane to talk to: as a process, with the registry of a small Bookinfo, and an ADS client."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.ads_pb2_grpc import AggregatedDiscoveryServiceStub
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest
from google.rpc.status_pb2 import Status

from controlplane.xds.type_urls import CDS, EDS, LDS, NDS, RDS
from tests.controlplane.xds.fakes import name_in
from tests.ports import free_ports

SERVICES = {"productpage": 1, "details": 1, "reviews": 3, "ratings": 1}


def registry_text(ip: str = "127.31.9", services: dict[str, int] | None = None) -> str:
    """ServiceEntries with one WorkloadEntry per version; workload n of the mesh has address `ip.n`."""
    documents: list[str] = []
    number = 0
    for name, versions in (SERVICES if services is None else services).items():
        documents.append(
            f"""apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: default}}
spec:
  hosts: [{name}.default.svc.cluster.local]
  addresses: [{ip}.{200 + number}]
  ports: [{{number: 9080, name: http, protocol: HTTP, targetPort: 9080}}]
  location: MESH_INTERNAL
  resolution: STATIC
  workloadSelector: {{labels: {{app: {name}}}}}
"""
        )
        for version in range(1, versions + 1):
            number += 1
            documents.append(
                f"""apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: {name}-v{version}, namespace: default}}
spec:
  address: {ip}.{number}
  labels: {{app: {name}, version: v{version}}}
  serviceAccount: bookinfo-{name}
"""
            )
    return "---\n".join(documents) or "---\n"


def virtual_service(host: str = "reviews", subset: str = "v1", **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": host, **metadata},
        "spec": {"hosts": [host], "http": [{"route": [{"destination": {"host": host, "subset": subset}}]}]},
    }


def destination_rule(host: str = "reviews", *subsets: str) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": host},
        "spec": {
            "host": host,
            "subsets": [{"name": s, "labels": {"version": s}} for s in subsets or ("v1", "v2", "v3")],
        },
    }


class Plane:
    """One control plane process. Ports are free ones, kept over restarts."""

    def __init__(self, folder: Path, address: str = "127.31.8.1") -> None:
        self.address = address
        self.registry = folder / "registry.yaml"
        self.store = folder / "store.db"
        self.log = folder / "controlplane.log"
        self.http_port, self.xds_port, self.monitoring_port = free_ports(address, 3)
        self.process: subprocess.Popen[bytes] | None = None
        self.registry.write_text(registry_text())

    def start(self, *extra: str, wait: bool = True) -> Plane:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "controlplane", *self.arguments(), *extra], stderr=self.log.open("ab")
        )
        if wait:
            self.wait_ready()
        return self

    def arguments(self) -> list[str]:
        return [
            *("--registry", str(self.registry), "--store", str(self.store), "--address", self.address),
            *("--http-port", str(self.http_port), "--xds-port", str(self.xds_port)),
            *("--monitoring-port", str(self.monitoring_port)),
        ]

    def wait_ready(self, seconds: float = 15.0) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"the control plane ended: {self.log.read_text()}")
            try:
                if self.get("/ready", raw=True)[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise AssertionError(f"not ready: {self.log.read_text()}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process is None:
            return 0
        process, self.process = self.process, None
        if process.poll() is None:
            os.kill(process.pid, number)
        return process.wait(10)

    def get(self, path: str, raw: bool = False) -> Any:
        status, body, _ = self.request("GET", path)
        return (status, body) if raw else json.loads(body)

    def request(self, method: str, path: str, body: Any = None, port: int = 0) -> tuple[int, str, dict[str, str]]:
        url = f"http://{self.address}:{port or self.http_port}{path}"
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=15) as response:
                return response.status, response.read().decode(), dict(response.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), dict(error.headers)

    def apply(self, resource: dict[str, Any]) -> int:
        """Create or update; the revision."""
        plural = {"VirtualService": "virtualservices", "DestinationRule": "destinationrules", "Sidecar": "sidecars"}
        plural["ServiceEntry"] = "serviceentries"
        kind, metadata = resource["kind"], resource["metadata"]
        namespace = metadata.get("namespace", "default")
        path = f"/apis/networking.istio.io/v1/namespaces/{namespace}/{plural[kind]}/{metadata['name']}"
        status, body, headers = self.request("PUT", path, resource)
        assert status in (200, 201), body
        return int(headers["X-Lugsail-Revision"])

    def distribution(self, revision: int, timeout: str = "5s") -> list[dict[str, Any]]:
        _, body, _ = self.request("GET", f"/apis/lugsail.io/v1/distribution?revision={revision}&timeout={timeout}")
        return [json.loads(line) for line in body.splitlines()]


def node(workload: str, ip: str, kind: str = "sidecar", namespace: str = "default", **labels: str) -> Node:
    """As the agent describes itself."""
    made = Node(id=f"{kind}~{ip}~{workload}.{namespace}~{namespace}.svc.cluster.local", cluster=workload)
    made.metadata.update(
        {
            "NAMESPACE": namespace,
            "WORKLOAD_NAME": workload,
            "LABELS": labels or {"app": workload.rsplit("-", 1)[0]},
            "INTERCEPTION_MODE": "REDIRECT",
        }
    )
    return made


class AdsClient:
    """A proxy that accepts everything, on one real stream. `refuse`: types that it NACKs, with the text."""

    def __init__(self, target: str, own: Node, delta: bool) -> None:
        self.delta = delta
        self.own = own
        self.resources: dict[str, dict[str, str]] = {t: {} for t in (CDS, EDS, LDS, RDS)}
        self.received: list[tuple[str, list[str], list[str]]] = []
        self.refuse: dict[str, str] = {}
        self.names: dict[str, set[str]] = {EDS: set(), RDS: set()}
        self._nonces: dict[str, str] = {}
        self._channel = grpc.aio.insecure_channel(target)
        stub = AggregatedDiscoveryServiceStub(self._channel)
        self._stream = (stub.DeltaAggregatedResources if delta else stub.StreamAggregatedResources)()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> AdsClient:
        await self.subscribe(CDS, first=True)
        await self.subscribe(LDS)
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._channel.close(None)

    async def subscribe(self, type_url: str, *names: str, first: bool = False) -> None:
        own = self.own if first else None
        if self.delta:
            known = self.resources.get(type_url, {}) if type_url not in self._nonces else {}
            await self._stream.write(
                DeltaDiscoveryRequest(
                    node=own, type_url=type_url, resource_names_subscribe=names, initial_resource_versions=known
                )
            )
        else:
            await self._stream.write(
                DiscoveryRequest(
                    node=own,
                    type_url=type_url,
                    resource_names=sorted(self.names.get(type_url, ())),
                    response_nonce=self._nonces.get(type_url, ""),
                )
            )

    async def _run(self) -> None:
        async for response in self._responses():
            await self._take(response)

    async def _responses(self) -> AsyncIterator[Any]:
        while True:
            response = await self._stream.read()
            if response is grpc.aio.EOF:
                return
            yield response

    async def _take(self, response: Any) -> None:
        type_url = response.type_url
        packed = {name_in(r.resource if self.delta else r): r for r in response.resources}
        removed = list(response.removed_resources) if self.delta else []
        self.received.append((type_url, sorted(packed), sorted(removed)))
        self._nonces[type_url] = response.nonce
        error = self.refuse.get(type_url)
        if error is None:
            self._store(type_url, response, packed, removed)
        detail = Status(message=error) if error else None
        if self.delta:
            answer: Any = DeltaDiscoveryRequest(type_url=type_url, response_nonce=response.nonce, error_detail=detail)
        else:
            answer = DiscoveryRequest(
                type_url=type_url,
                version_info=response.version_info,
                resource_names=sorted(self.names.get(type_url, ())),
                response_nonce=response.nonce,
                error_detail=detail,
            )
        await self._stream.write(answer)
        if type_url == CDS and error is None:
            await self._follow(EDS, packed)
        elif type_url == LDS and error is None:
            await self._follow(RDS, packed)

    def _store(self, type_url: str, response: Any, packed: dict[str, Any], removed: list[str]) -> None:
        versions = {n: r.version if self.delta else response.version_info for n, r in packed.items()}
        if not self.delta and type_url in (CDS, LDS, NDS):
            self.resources[type_url] = versions
        else:
            self.resources.setdefault(type_url, {}).update(versions)
        for name in removed:
            self.resources[type_url].pop(name, None)

    async def _follow(self, type_url: str, packed: dict[str, Any]) -> None:
        """Ask for what the new clusters or listeners refer to, as Envoy does."""
        wanted = _referred(packed.values(), self.delta) - self.names[type_url]
        if wanted:
            self.names[type_url] |= wanted
            await self.subscribe(type_url, *sorted(wanted))


def _referred(resources: Any, delta: bool) -> set[str]:
    from envoy.config.cluster.v3.cluster_pb2 import Cluster
    from envoy.config.listener.v3.listener_pb2 import Listener

    from controlplane.xds.references import referenced_names

    found: set[str] = set()
    for resource in resources:
        packed = resource.resource if delta else resource
        message = Cluster() if packed.Is(Cluster.DESCRIPTOR) else Listener()
        packed.Unpack(message)
        found |= referenced_names(message)
    return found


class NamesClient(AdsClient):
    """An agent beside its Envoy: it asks for the name table alone."""

    async def __aenter__(self) -> NamesClient:
        await self.subscribe(NDS, first=True)
        self._task = asyncio.create_task(self._run())
        return self
