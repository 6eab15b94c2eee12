"""Two chains, client sidecar → server sidecar → app: one of the Python sidecar, one of stock Envoys, and who counts."""

from __future__ import annotations

import http.client
import http.server
import itertools
import json
import os
import re
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from sidecar.agent.envoy import EnvoyNotFound, find_envoy

PROXIES = ("python", "envoy")
_LINE = re.compile(r"^(\w+)\{(.*)\} (\S+)$")
_PAIR = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_number = itertools.count(1)


class App(http.server.BaseHTTPRequestHandler):
    """Answers /status/N with N, and a body of as many bytes as it took."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0)) or b"hello"
        self.send_response(int(self.path.rpartition("/")[2]))
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        pass


class Calls(grpc.GenericRpcHandler):
    """Any method, as a stream: every message comes back twice."""

    def service(self, details: Any) -> Any:
        def twice(messages: Any, context: Any) -> Any:
            for message in messages:
                yield message
                yield message

        return grpc.stream_stream_rpc_method_handler(twice)


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(65536):
            self.request.sendall(data)


def document(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


class Chains:
    """Starts everything on entering, ends it on leaving. Addresses differ between processes and instances."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.net = f"127.50.{1 + (os.getpid() + 40 * next(_number)) % 250}"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.metrics: subprocess.Popen[bytes] | None = None
        self.servers: list[Any] = []
        self.calls: grpc.Server | None = None
        self.api = f"http://{self.net}.1:8080"
        self.metrics_url = f"http://{self.net}.3:9090"

    def __enter__(self) -> Chains:
        try:
            binary = find_envoy()
        except EnvoyNotFound as error:
            pytest.skip(str(error))
        assert binary
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.processes:
            try:
                process.wait(8)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self.calls is not None:
            self.calls.stop(0)
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def ip(self, proxy: str, side: str) -> str:
        return f"{self.net}.{10 * (1 + PROXIES.index(proxy)) + (2 if side == 'server' else 1)}"

    def host(self, proxy: str) -> str:
        return f"web-{proxy}.default.svc.cluster.local"

    def _start(self) -> None:
        app = http.server.ThreadingHTTPServer(("127.0.0.1", 0), App)
        socketserver.ThreadingTCPServer.allow_reuse_address = True
        echo = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)
        echo.daemon_threads = app.daemon_threads = True
        self.servers = [app, echo]
        self.calls = grpc.server(ThreadPoolExecutor(4), handlers=[Calls()])
        calls = self.calls.add_insecure_port("127.0.0.1:0")
        self.calls.start()
        for server in self.servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        registry = [one for proxy in PROXIES for one in self._registry(proxy)]
        registry.append(self._metrics_service())
        (self.folder / "registry.yaml").write_text("\n---\n".join(json.dumps(one) for one in registry))
        (self.folder / "mesh.yaml").write_text(
            "enableEnvoyAccessLogService: true\nenableTracing: false\naccessLogFile: /dev/null\n"
        )
        self.run(
            "controlplane", *("--registry", self.folder / "registry.yaml"), *("--store", self.folder / "s.db"),
            *("--address", f"{self.net}.1"), *("--mesh-config", self.folder / "mesh.yaml"),
        )  # fmt: skip
        wait("the control plane", lambda: status(f"{self.api}/ready") == 200)
        for proxy in PROXIES:
            for resource in self._resources(proxy, app.server_address[1], echo.server_address[1], calls):
                self.apply(resource)
        self.start_metrics()
        for proxy in PROXIES:
            for side in ("client", "server"):
                self._sidecar(proxy, side)
        for proxy in PROXIES:
            for side in ("client", "server"):
                url = f"http://{self.ip(proxy, side)}:15021/healthz/ready"
                wait(f"{side} {proxy}", lambda url=url: status(url) == 200)
        for proxy in PROXIES:  # both listeners lead to the app; counted, as what all tests begin from
            wait(f"{proxy} chain", lambda proxy=proxy: self.get(proxy, "/status/200") == 200)

    def start_metrics(self) -> None:
        self.metrics = self.run(
            "services.metrics", "--control-plane", self.api, "--address", f"{self.net}.3", "--interval", "1"
        )
        wait("metrics", lambda: status(f"{self.metrics_url}/ready") == 200)

    def run(self, module: str, *arguments: Any) -> subprocess.Popen[bytes]:
        with (self.folder / f"{module}.log").open("ab") as log:
            command = [sys.executable, "-m", module, *map(str, arguments)]
            process = subprocess.Popen(command, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def _sidecar(self, proxy: str, side: str) -> None:
        labels = {"app": side, "version": "v1", "pod": f"{side}-{proxy}"}
        more = ["--access-log-service", f"{self.net}.3:9091"] if proxy == "envoy" else []
        self.run(
            "sidecar", "--workload", f"{side}-{proxy}-v1", "--ip", self.ip(proxy, side), "--proxy", proxy,
            *("--labels", ",".join(f"{k}={v}" for k, v in labels.items()), "--discovery", f"{self.net}.1:15010"),
            *("--state-dir", self.folder / f"{side}-{proxy}", *more),
        )  # fmt: skip

    def _metrics_service(self) -> dict[str, Any]:
        ports = [
            {"number": 9091, "name": "grpc-als", "protocol": "GRPC"},
            {"number": 9090, "name": "http", "protocol": "HTTP"},
        ]
        spec = {
            "hosts": ["metrics.istio-system.svc.cluster.local"],
            "location": "MESH_INTERNAL",
            "resolution": "STATIC",
            "ports": ports,
            "endpoints": [{"address": f"{self.net}.3"}],
        }
        made = document("ServiceEntry", "metrics", spec)
        made["metadata"]["namespace"] = "istio-system"
        return made

    def _registry(self, proxy: str) -> list[dict[str, Any]]:
        ports = [
            {"number": 8000, "name": "http", "protocol": "HTTP", "targetPort": 8000},
            {"number": 9000, "name": "tcp", "protocol": "TCP", "targetPort": 9000},
            {"number": 7000, "name": "grpc", "protocol": "GRPC", "targetPort": 7000},
        ]
        entry = {"location": "MESH_INTERNAL", "resolution": "STATIC", "ports": ports}
        made = [
            document("ServiceEntry", f"{name}-{proxy}", {
                "hosts": [f"{name}-{proxy}.default.svc.cluster.local"], "addresses": [f"{self.net}.{number}"], **entry,
                "workloadSelector": {"labels": {"pod": f"{pod}-{proxy}"}},
            })
            for name, number, pod in (("web", 200 + PROXIES.index(proxy), "server"), ("empty", 210, "nobody"))
        ]  # fmt: skip
        made[1]["spec"]["addresses"] = [f"{self.net}.{210 + PROXIES.index(proxy)}"]
        for side in ("client", "server"):
            labels = {"app": side, "version": "v1", "pod": f"{side}-{proxy}"}
            spec = {"address": self.ip(proxy, side), "labels": labels, "serviceAccount": side}
            made.append(document("WorkloadEntry", f"{side}-{proxy}-v1", spec))
        return made

    def _resources(self, proxy: str, app: int, echo: int, calls: int) -> list[dict[str, Any]]:
        ip = self.ip(proxy, "client")
        everywhere = {"bind": ip, "captureMode": "NONE", "hosts": ["*/*"]}
        client = {
            "workloadSelector": {"labels": {"pod": f"client-{proxy}"}},
            "egress": [
                {"port": {"number": 15080, "protocol": "HTTP_PROXY", "name": "p"}, **everywhere},
                {
                    "port": {"number": 9000, "protocol": "TCP", "name": "tcp"},
                    **everywhere,
                    "hosts": [f"default/{self.host(proxy)}"],
                },
                {"port": {"number": 7000, "protocol": "GRPC", "name": "grpc"}, **everywhere},
            ],
            "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"},
        }
        bound = {"bind": self.ip(proxy, "server"), "captureMode": "NONE"}
        server = {
            "workloadSelector": {"labels": {"pod": f"server-{proxy}"}},
            "ingress": [
                {
                    "port": {"number": 8000, "protocol": "HTTP", "name": "http"},
                    **bound,
                    "defaultEndpoint": f"127.0.0.1:{app}",
                },
                {
                    "port": {"number": 9000, "protocol": "TCP", "name": "tcp"},
                    **bound,
                    "defaultEndpoint": f"127.0.0.1:{echo}",
                },
                {
                    "port": {"number": 7000, "protocol": "GRPC", "name": "grpc"},
                    **bound,
                    "defaultEndpoint": f"127.0.0.1:{calls}",
                },
            ],
            "egress": [
                {"port": {"number": 15081, "protocol": "HTTP_PROXY", "name": "p"}, **everywhere, "bind": bound["bind"]}
            ],
        }  # fmt: skip
        fault = {"abort": {"httpStatus": 418, "percentage": {"value": 100}}}
        route = [{"destination": {"host": self.host(proxy)}}]
        rule = {
            "hosts": [self.host(proxy)],
            "http": [{"match": [{"uri": {"prefix": "/fault"}}], "fault": fault, "route": route}, {"route": route}],
        }
        return [
            document("Sidecar", f"client-{proxy}", client),
            document("Sidecar", f"server-{proxy}", server),
            document("VirtualService", f"web-{proxy}", rule),
        ]

    def apply(self, resource: dict[str, Any]) -> None:
        plural = {"Sidecar": "sidecars", "VirtualService": "virtualservices"}[resource["kind"]]
        name = resource["metadata"]["name"]
        url = f"{self.api}/apis/networking.istio.io/v1/namespaces/default/{plural}/{name}"
        data = json.dumps(resource).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method="PUT")
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status in (200, 201)

    def get(self, proxy: str, path: str, host: str = "", body: bytes | None = None) -> int:
        """Through the client's sidecar; the status."""
        connection = http.client.HTTPConnection(self.ip(proxy, "client"), 15080, timeout=10)
        try:
            host = host or self.host(proxy)
            method = "POST" if body else "GET"
            connection.request(method, f"http://{host}:8000{path}", body, headers={"host": f"{host}:8000"})
            answer = connection.getresponse()
            answer.read()
            return answer.status
        except OSError:
            return 0
        finally:
            connection.close()

    def talk(self, proxy: str, size: int) -> None:
        """One TCP connection with so many bytes there and back."""
        with socket.create_connection((self.ip(proxy, "client"), 9000), timeout=10) as connection:
            connection.sendall(b"x" * size)
            got = 0
            while got < size:
                got += len(connection.recv(65536))

    def call(self, proxy: str, messages: int) -> int:
        """One gRPC call with so many messages, through the client's sidecar; how many came back."""
        options = (("grpc.default_authority", f"{self.host(proxy)}:7000"), ("grpc.enable_http_proxy", 0))
        with grpc.insecure_channel(f"{self.ip(proxy, 'client')}:7000", options) as channel:
            method = channel.stream_stream("/echo.Echo/Twice")
            return sum(1 for _ in method(iter([b"message"] * messages), timeout=10))

    def samples(self, proxy: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
        """Istio's counters and `_count`s, by name and labels, as if both proxies had the same names."""
        if proxy == "envoy":
            pages = [fetch(f"{self.metrics_url}/metrics?scope=envoy")]
        else:
            pages = [fetch(f"http://{self.ip(proxy, side)}:15090/stats/prometheus") for side in ("client", "server")]
        return parse("\n".join(pages), proxy)


def parse(text: str, proxy: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    ours = {"instance", "proxy", "job", "workload", "namespace", "pod", "app", "version"}
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for line in text.split("\n"):
        match = _LINE.match(line)
        if match is None or not line.startswith("istio_") or "_bucket" in match[1]:
            continue
        labels = tuple(sorted((k, v.replace(f"-{proxy}", "-X")) for k, v in _PAIR.findall(match[2]) if k not in ours))
        series = found.setdefault(match[1], {})
        series[labels] = series.get(labels, 0.0) + float(match[3])
    return found


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def wait(what: str, condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come about in {seconds} s"
        time.sleep(0.1)
