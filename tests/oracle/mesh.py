"""One control plane, two sidecars and two gateways (Python and Envoy of each), and the backends, for a whole run."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import yaml

from lugsail.api.kinds import find_kind
from tests.oracle.backends import Backend, Record

REPO = Path(__file__).resolve().parents[2]
SUBNET = "127.44"
CONTROL = f"{SUBNET}.0.1"
PROXIES = ("python", "envoy")
POD = {
    ("sidecar", "python"): 1,
    ("sidecar", "envoy"): 2,
    ("gateway", "python"): 3,
    ("gateway", "envoy"): 4,
}
#: service → its endpoints: name, address, version; all on port 9000
SERVICES: dict[str, list[tuple[str, str, str]]] = {
    "app": [("v1", "9.1", "v1"), ("v2", "9.2", "v2")],
    "ring": [(f"r{n}", f"8.{n}", f"r{n}") for n in range(1, 6)],
    "half": [("half-dead", "7.2", "v1"), ("half-alive", "7.3", "v2")],
    "dead": [("dead", "7.1", "v1")],
    "empty": [],
    "two": [("two", "9.3", "v1")],
}
NOT_LISTENING = {"dead", "half-dead"}
#: Answers outside the registry, for ServiceEntries.
OUTSIDE = f"{SUBNET}.6.1"


def registry() -> str:
    """The registry file."""
    documents: list[dict[str, Any]] = []
    for number, (service, endpoints) in enumerate(SERVICES.items(), start=1):
        ports = [(9000, "http")] + ([(9001, "http-alt")] if service == "two" else [])
        documents.append(_service(service, "default", number, ports, {"app": service}))
        for name, address, version in endpoints:
            documents.append(_workload(name, "default", f"{SUBNET}.{address}", {"app": service, "version": version}))
    gateway = {"istio": "ingressgateway"}
    documents.append(
        _service("istio-ingressgateway", "istio-system", 99, [(80, "http", 8080), (81, "http-b", 8081)], gateway)
    )
    for (kind, proxy), number in POD.items():
        name, namespace, labels = workload(kind, proxy)
        documents.append(_workload(name, namespace, f"{SUBNET}.{number}.1", labels))
    return yaml.safe_dump_all(documents)


def workload(kind: str, proxy: str) -> tuple[str, str, dict[str, str]]:
    """(name, namespace, labels) of a proxy's pod; both proxies of a kind have the same labels."""
    if kind == "gateway":
        return f"gateway-{proxy}", "istio-system", {"istio": "ingressgateway", "app": "istio-ingressgateway"}
    return f"client-{proxy}", "default", {"app": "client", "version": "v1"}


def _meta(kind: str, name: str, namespace: str, spec: dict[str, Any]) -> dict[str, Any]:
    version = "networking.istio.io/v1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def _service(name: str, namespace: str, number: int, ports: list[Any], selector: dict[str, str]) -> dict[str, Any]:
    listed = [{"number": p[0], "name": p[1], "protocol": "HTTP", "targetPort": p[-1] if len(p) > 2 else p[0]}
              for p in ports]  # fmt: skip
    spec = {
        "hosts": [f"{name}.{namespace}.svc.cluster.local"],
        "addresses": [f"{SUBNET}.255.{number}"],
        "ports": listed,
        "location": "MESH_INTERNAL",
        "resolution": "STATIC",
        "workloadSelector": {"labels": selector},
    }
    return _meta("ServiceEntry", name, namespace, spec)


def _workload(name: str, namespace: str, address: str, labels: dict[str, str]) -> dict[str, Any]:
    return _meta("WorkloadEntry", name, namespace, {"address": address, "labels": labels, "serviceAccount": "default"})


def _egress(proxy: str) -> dict[str, Any]:
    name, namespace, _ = workload("sidecar", proxy)
    number = POD[("sidecar", proxy)]
    egress = {
        "port": {"number": 15080, "protocol": "HTTP_PROXY", "name": "http-proxy"},
        "bind": f"{SUBNET}.{number}.2",
        "captureMode": "NONE",
        "hosts": ["*/*"],
    }
    # The label is the pod's own: what is common to both proxies may not choose between them.
    spec = {
        "workloadSelector": {"labels": {"pod": name}},
        "egress": [egress],
        "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"},
    }
    return _meta("Sidecar", name, namespace, spec)


class Mesh:
    """Everything that runs, from the first case to the last."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = Record()
        self.outside_port = 0
        self.applied: list[str] = []
        self.processes: list[subprocess.Popen[bytes]] = []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in the loop of clients and backends."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def start(self) -> None:
        self.thread.start()
        self.run(self._backends())
        (self.folder / "registry.yaml").write_text(registry())
        options = ("--registry", str(self.folder / "registry.yaml"), "--store", str(self.folder / "store.db"))
        self._spawn("controlplane", "controlplane", *options, "--address", CONTROL)
        eventually(lambda: self._call("GET", "/ready")[0] == 200, "the control plane is ready")
        for proxy in PROXIES:
            self._create(_egress(proxy))
        for (kind, proxy), number in POD.items():
            self._start_proxy(kind, proxy, f"{SUBNET}.{number}")
        eventually(self._all_in_sync, "four proxies in sync")
        for proxy in PROXIES:
            eventually(lambda proxy=proxy: connects(self.address("sidecar", proxy)), f"{proxy} listens")

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(8)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)

    def address(self, kind: str, proxy: str, port: int = 8080) -> tuple[str, int]:
        """Where requests enter that proxy."""
        return f"{SUBNET}.{POD[(kind, proxy)]}.2", 15080 if kind == "sidecar" else port

    def apply(self, text: str) -> None:
        """Make these resources all that users applied, and wait until every proxy has taken them."""
        text = text.replace("OUTSIDE_PORT", str(self.outside_port)).replace("OUTSIDE", OUTSIDE)
        revision = 0
        for path in reversed(self.applied):
            revision = self._expect(200, "DELETE", path)
        self.applied = []
        for document in filter(None, yaml.safe_load_all(text)):
            revision = self._create(document)
            if document["kind"] != "Sidecar":
                self.applied.append(_path(document, name=True))
        if revision:
            self._distributed(revision)

    def admin(self, kind: str, proxy: str, path: str) -> str:
        """GET of a proxy's admin page."""
        connection = http.client.HTTPConnection(f"{SUBNET}.{POD[(kind, proxy)]}.1", 15000, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def log(self, kind: str, proxy: str) -> str:
        """What the proxy wrote to its standard output."""
        return (self.folder / f"{workload(kind, proxy)[0]}.out").read_text(errors="replace")

    async def _backends(self) -> None:
        for service, endpoints in SERVICES.items():
            for name, address, _ in endpoints:
                if name in NOT_LISTENING:
                    continue
                for port in (9000, 9001) if service == "two" else (9000,):
                    await Backend(f"{name}:{port}" if port == 9001 else name, self.record).start(
                        f"{SUBNET}.{address}", port
                    )
        await Backend("outside", self.record).start(OUTSIDE, 9000)
        self.outside_port = await Backend("local", self.record).start("127.0.0.1", 0)

    def _start_proxy(self, kind: str, proxy: str, base: str) -> None:
        name, namespace, labels = workload(kind, proxy)
        labels = {**labels, "pod": name}
        options = [
            *("--workload", name, "--namespace", namespace, "--ip", f"{base}.1", "--proxy", proxy),
            *("--labels", ",".join(f"{k}={v}" for k, v in labels.items())),
            *("--discovery", f"{CONTROL}:15010", "--state-dir", str(self.folder / name), "--log-level", "warning"),
        ]
        if kind == "gateway":
            options += ["--type", "router", "--bind-address", f"{base}.2"]
        self._spawn(name, "sidecar", *options)

    def _spawn(self, name: str, module: str, *options: str) -> None:
        env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        with (self.folder / f"{name}.out").open("wb") as out, (self.folder / f"{name}.err").open("wb") as err:
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", module, *options], cwd=REPO, env=env, stdout=out, stderr=err
                )
            )

    def _all_in_sync(self) -> bool:
        found = json.loads(self._call("GET", "/debug/syncz")[2])
        wanted = ("cluster_status", "listener_status")
        # A gateway without a Gateway has no listeners, which some call NOT SENT.
        return len(found) == len(POD) and all(
            each[status] == "SYNCED" or (each["type"] == "router" and status == "listener_status")
            for each in found
            for status in wanted
        )

    def _create(self, document: dict[str, Any]) -> int:
        return self._expect(201, "POST", _path(document), document)

    def _expect(self, status: int, method: str, path: str, document: dict[str, Any] | None = None) -> int:
        found, headers, body = self._call(method, path, document)
        assert found == status, f"{method} {path}: {found} {body.decode()}"
        return int(headers["X-Lugsail-Revision"])

    def _distributed(self, revision: int) -> None:
        path = f"/apis/lugsail.io/v1/distribution?revision={revision}&timeout=10s"
        lines = [json.loads(line) for line in self._call("GET", path)[2].splitlines()]
        bad = [line for line in lines if line.get("state") in ("NACKED", "PENDING", "DISCONNECTED")]
        assert lines[-1].get("done"), lines
        assert not lines[-1]["pending"], lines
        assert not bad, bad

    def _call(self, method: str, path: str, document: dict[str, Any] | None = None) -> tuple[int, Any, bytes]:
        connection = http.client.HTTPConnection(CONTROL, 8080, timeout=15)
        try:
            body = json.dumps(document) if document is not None else None
            connection.request(method, path, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()


def _path(document: dict[str, Any], name: bool = False) -> str:
    meta = document["metadata"]
    plural = find_kind(document["kind"]).plural
    path = f"/apis/networking.istio.io/v1/namespaces/{meta.get('namespace', 'default')}/{plural}"
    return f"{path}/{meta['name']}" if name else path


def connects(address: tuple[str, int]) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(address) == 0


def eventually(check: Any, what: str, timeout_s: float = 20) -> Any:
    """Poll until `check` gives something true; connection errors count as not yet."""
    deadline = time.monotonic() + timeout_s
    last: Any = None
    while time.monotonic() < deadline:
        try:
            if last := check():
                return last
        except (OSError, http.client.HTTPException) as error:
            last = error
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout_s} s: {what}: {last!r}")


_LINE = re.compile(
    r'\[[^\]]*\] "(?P<request>[^"]*)" (?P<code>\d+) (?P<flags>\S+) (?P<details>\S+) (?P<terminated>\S+)'
    r' "(?P<failure>[^"]*)" (?P<received>\d+) (?P<sent>\d+) \d+ \S+ "[^"]*" "(?P<agent>[^"]*)" "[^"]*"'
    r' "(?P<authority>[^"]*)" "(?P<upstream>[^"]*)" (?P<cluster>\S+) \S+ \S+ \S+ (?P<sni>\S+) (?P<route>.*)'
)


def log_lines(text: str) -> dict[str, list[dict[str, str]]]:
    """Access-log lines of the mesh's format by user-agent, as fields."""
    out: dict[str, list[dict[str, str]]] = {}
    for line in text.splitlines():
        if found := _LINE.fullmatch(line.strip()):
            out.setdefault(found["agent"], []).append(found.groupdict())
    return out
