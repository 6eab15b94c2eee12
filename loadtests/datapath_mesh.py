"""The mesh that the data path is measured in: one control plane, a Python sidecar and an Envoy side by side, a backend.

Both proxies are pods of the same mesh and get the same xDS: they differ in name and address alone. The rules are those
of a rollout: a route by header, an 80/20 split behind it, retries on both.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from loadtests.procfs import envoy_below
from lugsail.client import Client, Unreachable
from lugsail.lab import spawn
from lugsail.lab.addressing import (
    ADMIN_PORT,
    CONTROL_PLANE_HTTP_PORT,
    CONTROL_PLANE_XDS_PORT,
    OUTBOUND_HTTP_PORT,
    Subnet,
)
from lugsail.lab.paths import Home, source_root
from lugsail.lab.pod import Pod
from lugsail.lab.processes import family, reference, stop_all
from lugsail.lab.resources import registry_documents, sidecar_resource
from lugsail.lab.topology import ServicePort, Workload

READY_TIMEOUT_S = 60.0
HOST = "reviews:9080"
PATH = "/reviews/0"
VARIANT = "end-user: jason"
PROXIES = ("python", "envoy")

RULES = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec:
  host: reviews
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec:
  hosts: [reviews]
  http:
  - name: jason
    match: [{headers: {end-user: {exact: jason}}}]
    route: [{destination: {host: reviews, subset: v2}}]
    retries: {attempts: 2, perTryTimeout: 2s, retryOn: "connect-failure,refused-stream,503"}
  - name: everybody
    route:
    - {destination: {host: reviews, subset: v1}, weight: 80}
    - {destination: {host: reviews, subset: v2}, weight: 20}
    retries: {attempts: 2, perTryTimeout: 2s, retryOn: "connect-failure,refused-stream,503"}
"""
PLURALS = {
    "DestinationRule": "destinationrules",
    "VirtualService": "virtualservices",
    "Sidecar": "sidecars",
    "Telemetry": "telemetries",
}
# An access log for each request, and nothing more: what both proxies do alike.
MESH_CONFIG = "accessLogFile: /dev/stdout\n"


class NotReady(RuntimeError):
    """A part of the mesh under test did not come up; the message names it and its log."""


def plan(subnet: Subnet) -> tuple[list[Pod], list[Pod]]:
    """(the two clients, with their proxies; the two versions behind them, without)."""
    clients = [
        Pod(Workload(name=f"bench-{proxy}", labels={"app": f"bench-{proxy}", "version": "v1"}), number, subnet, proxy)
        for number, proxy in enumerate(PROXIES, start=1)
    ]
    return clients, backends_after(len(clients), subnet)


def backends_after(clients: int, subnet: Subnet) -> list[Pod]:
    """The two versions of the service, as pods after so many others."""
    return [
        Pod(
            Workload(
                name=f"reviews-{version}",
                labels={"app": "reviews", "version": version},
                service="reviews",
                ports=(ServicePort("http", 9080),),
            ),
            number,
            subnet,
        )
        for number, version in enumerate(("v1", "v2"), start=clients + 1)
    ]


class DataPathMesh:
    """A context manager: the mesh runs inside it. `folder` gets its state and logs."""

    def __init__(self, folder: Path, subnet: Subnet) -> None:
        self._home = Home(folder)
        self._subnet = subnet
        clients, self._backends = plan(subnet)
        self._clients = dict(zip(PROXIES, clients, strict=True))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> DataPathMesh:
        self._check_vacant()
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def address(self, proxy: str) -> str:
        """Where the proxy takes its pod's outgoing requests, `IP:PORT`."""
        return f"{self._clients[proxy].outbound_ip}:{OUTBOUND_HTTP_PORT}"

    def pid(self, proxy: str) -> int:
        """The process whose CPU is counted: the proxy itself, not the agent that watches over an Envoy."""
        pod = self._clients[proxy]
        agent = self._processes[pod.name].pid
        if pod.proxy != "envoy":
            return agent
        found = envoy_below(agent)
        if found is None:
            raise NotReady("there is no Envoy below its agent")
        return found

    @property
    def backend_pid(self) -> int:
        """The backend's process."""
        return self._processes["backend"].pid

    @property
    def all_pids(self) -> list[int]:
        """Every process of this mesh, the Envoy below its agent included."""
        return [pid for process in self._processes.values() for pid in family(process.pid)]

    def access_log(self, proxy: str) -> Path:
        """The file that the proxy's access log goes to."""
        return self._home.proxy_log(self._clients[proxy].name)

    @property
    def _pods(self) -> list[Pod]:
        return [*self._clients.values(), *self._backends]

    def _start(self) -> None:
        self._home.create()
        self._start_backend()
        self._home.mesh_config_file.write_text(MESH_CONFIG)
        self._start_control_plane("controlplane", self._home, registry_documents(self._pods, self._subnet, 8080))
        self._put(self._subnet.control_plane_url, "controlplane", self._rules())
        for pod in self._clients.values():
            self._start_proxy(pod)
        self._await_proxies()

    def _check_vacant(self) -> None:
        """Raises NotReady where another mesh has the subnet: this one would put its resources into that one's store."""
        for ip, port in self._own_addresses():
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have ended do not count
                try:
                    probe.bind((ip, port))
                except OSError as error:
                    raise NotReady(
                        f"{ip}:{port} is not free ({error.strerror}): another mesh runs in {self._subnet.prefix}; "
                        "choose a subnet that nobody uses, such as --subnet 127.61"
                    ) from error

    def _own_addresses(self) -> list[tuple[str, int]]:
        """Where the control plane and the proxies will listen."""
        ip = self._subnet.control_plane_ip
        planes = [(ip, CONTROL_PLANE_HTTP_PORT), (ip, CONTROL_PLANE_XDS_PORT)]
        return [*planes, *((pod.ip, ADMIN_PORT) for pod in self._clients.values())]

    def _start_backend(self) -> None:
        self._run("backend", "loadtests.backend", [f"{pod.ip}:9080" for pod in self._backends])

    def _start_control_plane(
        self, name: str, home: Home, registry: list[dict[str, Any]], arguments: Sequence[str] = ()
    ) -> None:
        """One that reads the mesh config in `home`; later `arguments` win over the lab's own."""
        home.registry_file.write_text(yaml.safe_dump_all(registry))
        spawned = spawn.control_plane(home, self._subnet, home.mesh_config_file, "warning")
        self._run(name, "controlplane", [*spawned.argv, *arguments])

    def _rules(self) -> list[dict[str, Any]]:
        """The resources of the mesh: a Sidecar for each client, and RULES."""
        sidecars = [sidecar_resource(pod, self._pods) for pod in self._clients.values()]
        return [*sidecars, *yaml.safe_load_all(RULES)]

    def _put(self, url: str, name: str, documents: Sequence[dict[str, Any]]) -> None:
        """Give resources to the control plane at `url`, which runs as process `name`, once it is ready."""
        client = Client(url)
        self._await(name, client.is_ready)
        if not self._knows_us(url):
            raise NotReady(f"the control plane at {url} is another mesh's: choose a subnet that nobody uses")
        for document in documents:
            group = document["apiVersion"].partition("/")[0]
            client.create(group, PLURALS[document["kind"]], document["metadata"]["namespace"], document)
        client.close()

    def _knows_us(self, url: str) -> bool:
        """Whether it is ours: a mesh that was started at the same moment may have won the address."""
        with urllib.request.urlopen(f"{url}/apis/lugsail.io/v1/workloads", timeout=5) as answer:
            known = {item["name"] for item in json.load(answer)["items"]}
        return known >= {pod.name for pod in self._clients.values()}

    def _start_proxy(self, pod: Pod, module: str = "sidecar", log_service: str = "", discovery: str = "") -> None:
        self._home.proxy_dir(pod.name).mkdir(parents=True, exist_ok=True)
        arguments = spawn.proxy(pod, self._home, "warning", log_service).argv
        self._run(pod.name, module, [*arguments, *(("--discovery", discovery) if discovery else ())])

    def _await_proxies(self) -> None:
        for pod in self._clients.values():
            self._await(pod.name, lambda pod=pod: answers(pod.outbound_ip, OUTBOUND_HTTP_PORT))

    def _run(self, name: str, module: str, argv: Sequence[str]) -> None:
        log = self._home.proxy_log(name) if name.startswith("bench-") else self._home.log(name)
        environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(source_root()), environment.get("PYTHONPATH")]))
        with log.open("ab") as stream:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", module, *argv], env=environment, stdout=stream, stderr=stream
            )

    def _await(self, name: str, ready: Any) -> None:
        """Wait until `ready()`; raises NotReady when the process ends or the time is up."""
        process = self._processes[name]
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            # The process first: what answers when it has ended is somebody else's.
            if process.poll() is not None:
                break
            with suppress(Unreachable, OSError):
                if ready() and process.poll() is None:
                    return
            time.sleep(0.05)
        log = self._home.proxy_log(name) if name.startswith("bench-") else self._home.log(name)
        how = f"exited with {process.returncode}" if process.poll() is not None else f"not after {READY_TIMEOUT_S:g} s"
        tail = "\n    ".join(log.read_text(errors="replace").splitlines()[-8:])
        raise NotReady(f"{name} is not ready: {how}; its log ends with:\n    {tail}")

    def _stop(self) -> None:
        refs = [reference(process.pid) for process in self._processes.values() if process.poll() is None]
        stop_all([ref for ref in refs if ref is not None], grace_s=8.0)
        for process in self._processes.values():
            process.wait()


def answers(ip: str, port: int) -> bool:
    """Whether the proxy's outgoing side leads to the backend: two 200s, with and without the variant's header."""
    connection = http.client.HTTPConnection(ip, port, timeout=2)
    try:
        name, _, value = VARIANT.partition(": ")
        for headers in ({}, {name: value}):
            connection.request("GET", PATH, headers={"Host": HOST, **headers})
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                return False
    except http.client.HTTPException:
        return False
    finally:
        connection.close()
    return True
