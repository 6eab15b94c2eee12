"""What watches the mesh from beside it: spans, metrics, and Prometheus where it is asked for.

Proxies send to them and nobody waits for them: a dead one costs what it would have recorded, and no request. Each has
an address of its own in the lab, and is a service of the mesh's own namespace, so that a mesh config can name it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lugsail.lab.addressing import Subnet
from lugsail.lab.pod import GATEWAY_NAMESPACE
from lugsail.lab.resources import API_VERSION, service_entry, service_port
from lugsail.lab.topology import ServicePort

NAMESPACE = GATEWAY_NAMESPACE
ACCESS_LOG_PORT = 9091


@dataclass(frozen=True, slots=True)
class Observer:
    """One of them. `host` is the last octet of its address; `page_port` has what people look at, and `ready_path`.

    The ports' names are those that the control plane looks for when it tells Prometheus whom to scrape.
    """

    name: str
    host: int
    ports: tuple[ServicePort, ...]
    page_port: int
    page_path: str
    ready_path: str

    def ip(self, subnet: Subnet) -> str:
        return subnet.observer_ip(self.host)

    def url(self, subnet: Subnet) -> str:
        return f"http://{self.ip(subnet)}:{self.page_port}{self.page_path}"


TRACING = Observer(
    "tracing",
    2,
    (
        ServicePort("http-zipkin", 9411),
        ServicePort("grpc-otlp", 4317),
        ServicePort("http-otlp", 4318),
        ServicePort("ui", 16686),
    ),
    16686,
    "/",
    "/ready",
)
METRICS = Observer(
    "metrics", 3, (ServicePort("tcp-als", ACCESS_LOG_PORT), ServicePort("http", 9090)), 9090, "/metrics", "/ready"
)
PROMETHEUS = Observer("prometheus", 4, (ServicePort("http", 9090),), 9090, "/", "/-/ready")

OBSERVERS = {each.name: each for each in (TRACING, METRICS, PROMETHEUS)}
DEFAULT_OBSERVERS = (TRACING.name, METRICS.name)


def chosen(names: Sequence[str]) -> list[Observer]:
    """Those of these names, in the order of OBSERVERS."""
    return [each for name, each in OBSERVERS.items() if name in names]


def access_log_service(names: Sequence[str], subnet: Subnet) -> str:
    """`host:port` of where a stock Envoy sends its records; "" without the metrics service."""
    return f"{METRICS.ip(subnet)}:{ACCESS_LOG_PORT}" if METRICS.name in names else ""


def observer_documents(names: Sequence[str], subnet: Subnet) -> list[dict[str, Any]]:
    """Their services and workloads for the registry; their virtual addresses are below the gateway's."""
    documents = []
    for each in chosen(names):
        ports = [service_port(port.name, port.number, port.protocol) for port in each.ports]
        address = subnet.service_ip(255 - each.host)
        documents.append(service_entry(each.name, NAMESPACE, address, ports, {"app": each.name}))
        documents.append(
            {
                "apiVersion": API_VERSION,
                "kind": "WorkloadEntry",
                "metadata": {"name": each.name, "namespace": NAMESPACE},
                "spec": {"address": each.ip(subnet), "labels": {"app": each.name}, "serviceAccount": each.name},
            }
        )
    return documents
