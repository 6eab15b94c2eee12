"""The mesh that the cost of telemetry is measured in: each state of each kind of proxy side by side, one backend.

All proxies have the same rules and endpoints; a Telemetry resource for each says what it logs and traces. Whether a
stock Envoy sends its access log to the metrics service is a matter of the whole mesh, so there are two control planes
over the same pods: one with the lab's own mesh config, and a quiet one for the states without metrics.
"""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Any

import yaml

from loadtests.datapath_mesh import DataPathMesh, backends_after
from loadtests.telemetry_cost.states import BY_NAME, KINDS, STATES, State
from lugsail.lab import spawn
from lugsail.lab.addressing import ADMIN_PORT, CONTROL_PLANE_HTTP_PORT, CONTROL_PLANE_XDS_PORT, Subnet
from lugsail.lab.mesh_config import SHIPPED
from lugsail.lab.observers import METRICS, TRACING, access_log_service, observer_documents
from lugsail.lab.paths import Home, shipped
from lugsail.lab.pod import WORKLOAD_LABEL, Pod
from lugsail.lab.resources import registry_documents, service_entry, service_port
from lugsail.lab.topology import Workload

QUIET_HOST, SINK_HOST = 5, 6  # beside what else has an observer's address
ZIPKIN_PORT = 9411
NAMES = (METRICS.name, TRACING.name)


def plan(subnet: Subnet) -> dict[str, Pod]:
    """`KIND-STATE` → its pod."""
    names = [(f"{kind}-{state.name}", kind) for kind in KINDS for state in STATES]
    pods = {}
    for number, (name, kind) in enumerate(names, start=1):
        workload = Workload(name=f"bench-{name}", labels={"app": f"bench-{name}", "version": "v1"})
        pods[name] = Pod(workload, number, subnet, kind)
    return pods


def telemetry_resource(pod: Pod, state: State) -> dict[str, Any]:
    """What a proxy logs and traces in a state."""
    if state.sampling is None:
        tracing: dict[str, Any] = {"disableSpanReporting": True}
    else:
        tracing = {"providers": [{"name": state.provider}], "randomSamplingPercentage": state.sampling}
    spec: dict[str, Any] = {"selector": {"matchLabels": {WORKLOAD_LABEL: pod.name}}, "tracing": [tracing]}
    if not state.log:
        spec["accessLogging"] = [{"disabled": True}]
    return {
        "apiVersion": "telemetry.istio.io/v1",
        "kind": "Telemetry",
        "metadata": {"name": pod.name, "namespace": pod.namespace},
        "spec": spec,
    }


def mesh_config(metrics: bool) -> dict[str, Any]:
    """The shipped mesh config with the sink beside its tracing provider; without the Envoys' metrics where told."""
    config: dict[str, Any] = yaml.safe_load(shipped(SHIPPED).read_text(encoding="utf-8"))
    zipkin = next(each["zipkin"] for each in config["extensionProviders"] if each["name"] == TRACING.name)
    sink = {**zipkin, "service": "sink.istio-system.svc.cluster.local"}
    config["extensionProviders"].append({"name": "sink", "zipkin": sink})
    config["enableEnvoyAccessLogService"] = metrics
    return config


def sink_documents(subnet: Subnet) -> list[dict[str, Any]]:
    """The sink in the registry."""
    ports = [service_port("http-zipkin", ZIPKIN_PORT, "HTTP")]
    entry = service_entry("sink", "istio-system", subnet.service_ip(255 - SINK_HOST), ports, {})
    del entry["spec"]["workloadSelector"]
    entry["spec"]["endpoints"] = [{"address": subnet.observer_ip(SINK_HOST)}]
    return [entry]


class TelemetryMesh(DataPathMesh):
    """As DataPathMesh, with a proxy for each state of each kind, `KIND-STATE`."""

    def __init__(self, folder: Path, subnet: Subnet) -> None:
        super().__init__(folder, subnet)
        self._clients = plan(subnet)
        self._backends = backends_after(len(self._clients), subnet)

    @property
    def observer_pids(self) -> list[int]:
        """What watches."""
        return [self._processes[name].pid for name in (*NAMES, "sink")]

    def stats(self, proxy: str, prefix: str) -> dict[str, int]:
        """The counters of a proxy whose names begin with `prefix`, from its admin page."""
        connection = http.client.HTTPConnection(self._clients[proxy].ip, ADMIN_PORT, timeout=5)
        try:
            connection.request("GET", "/stats")
            lines = connection.getresponse().read().decode().splitlines()
        finally:
            connection.close()
        pairs = (line.split(": ", 1) for line in lines if line.startswith(prefix))
        return {name: int(value) for name, value in pairs if value.isdecimal()}

    def _own_addresses(self) -> list[tuple[str, int]]:
        observers = [(TRACING.ip(self._subnet), ZIPKIN_PORT), (METRICS.ip(self._subnet), METRICS.page_port)]
        others = [(QUIET_HOST, CONTROL_PLANE_HTTP_PORT), (SINK_HOST, ZIPKIN_PORT)]
        return [
            *super()._own_addresses(),
            *observers,
            *((self._subnet.observer_ip(host), port) for host, port in others),
        ]

    def _start(self) -> None:
        subnet = self._subnet
        self._home.create()
        self._start_backend()
        self._run("sink", "loadtests.telemetry_cost.sink", [f"{subnet.observer_ip(SINK_HOST)}:{ZIPKIN_PORT}"])
        quiet_ip = subnet.observer_ip(QUIET_HOST)
        self._start_plane("controlplane", self._home, subnet.control_plane_ip, metrics=True)
        self._start_plane("quiet", Home(self._home.root / "quiet"), quiet_ip, metrics=False)
        tracing = spawn.tracing(self._home, TRACING.ip(subnet), "warning")
        metrics = spawn.metrics(self._home, METRICS.ip(subnet), subnet, "warning")
        self._run(TRACING.name, "services.tracing", tracing.argv)
        self._run(METRICS.name, "services.metrics", metrics.argv)
        for name, pod in self._clients.items():
            state = BY_NAME[name.partition("-")[2]]
            if state.metrics:
                self._start_proxy(pod, log_service=access_log_service(NAMES, subnet))
            else:
                module = "sidecar" if pod.proxy == "envoy" else "loadtests.telemetry_cost.uncounted"
                self._start_proxy(pod, module, discovery=f"{quiet_ip}:{CONTROL_PLANE_XDS_PORT}")
        self._await_proxies()
        for observer in (TRACING, METRICS):
            self._await(observer.name, lambda one=observer: says_ready(one.ip(subnet), one.page_port, one.ready_path))

    def _start_plane(self, name: str, home: Home, ip: str, *, metrics: bool) -> None:
        home.create()
        home.mesh_config_file.write_text(yaml.safe_dump(mesh_config(metrics)), encoding="utf-8")
        registry = registry_documents(self._pods, self._subnet, 8080)
        registry += [*observer_documents(NAMES, self._subnet), *sink_documents(self._subnet)]
        self._start_control_plane(name, home, registry, ("--address", ip))
        telemetries = [
            telemetry_resource(pod, BY_NAME[proxy.partition("-")[2]]) for proxy, pod in self._clients.items()
        ]
        self._put(f"http://{ip}:{CONTROL_PLANE_HTTP_PORT}", name, [*self._rules(), *telemetries])


def says_ready(ip: str, port: int, path: str) -> bool:
    """Whether a GET is answered with 200. Raises OSError where nobody listens."""
    connection = http.client.HTTPConnection(ip, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except http.client.HTTPException:
        return False
    finally:
        connection.close()
