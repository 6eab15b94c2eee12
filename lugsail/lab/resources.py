"""Says the lab in Istio's own resources: the registry, and one Sidecar per pod.

The registry (ServiceEntry and WorkloadEntry) is what the control plane's static-file source reads; the Sidecar
resources are ordinary ones in its store, where `lugsail get sidecar` shows them. Shapes are Istio's
`networking.istio.io/v1`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lugsail.lab.addressing import OUTBOUND_HTTP_PORT, Subnet
from lugsail.lab.pod import GATEWAY_NAME, GATEWAY_NAMESPACE, WORKLOAD_LABEL, Pod
from lugsail.lab.topology import LABEL_PREFIX, ServicePort, Workload

API_VERSION = "networking.istio.io/v1"
SERVICE_LABEL = f"{LABEL_PREFIX}service"
HTTPS_PORT_OFFSET = 363  # 8080 → 8443, and the same step for any other --port

Document = dict[str, Any]


def host_of(service: str, namespace: str) -> str:
    """The service's name in the mesh: `reviews.default.svc.cluster.local`."""
    return f"{service}.{namespace}.svc.cluster.local"


def registry_documents(pods: Sequence[Pod], subnet: Subnet, gateway_port: int) -> list[Document]:
    """Every service and every pod of the lab, services first. `gateway_port` is where the gateway listens."""
    services = _services(pods)
    documents: list[Document] = []
    for position, ((namespace, service), members) in enumerate(services.items(), start=1):
        ports = [service_port(port.name, port.number, port.protocol) for port in members[0].workload.ports]
        selector = _selector(service, members, pods)
        documents.append(service_entry(service, namespace, subnet.service_ip(position), ports, selector))
    if any(pod.kind == "router" for pod in pods):
        documents.append(_gateway_service(subnet.service_ip(254), gateway_port))
    selected_by_label = {
        member.proxy_name
        for (_, service), members in services.items()
        if SERVICE_LABEL in _selector(service, members, pods)
        for member in members
    }
    documents.extend(_workload_entry(pod, pod.proxy_name in selected_by_label) for pod in pods)
    return documents


def sidecar_resource(pod: Pod, pods: Sequence[Pod]) -> Document:
    """The Sidecar of one pod: its inbound ports on its own address, one HTTP proxy port for everything outbound."""
    ingress = [
        {
            "port": {"number": port.number, "protocol": port.protocol, "name": port.name},
            "bind": pod.ip,
            "captureMode": "NONE",
            "defaultEndpoint": f"127.0.0.1:{private}",
        }
        for port, private in zip(pod.workload.ports, pod.app_ports, strict=True)
    ]
    egress: list[Document] = [
        {
            "port": {"number": OUTBOUND_HTTP_PORT, "protocol": "HTTP_PROXY", "name": "http-proxy"},
            "bind": pod.outbound_ip,
            "captureMode": "NONE",
            "hosts": ["*/*"],
        }
    ]
    for (service, namespace, port), number in tcp_egress_ports(pods).items():
        egress.append(
            {
                "port": {"number": number, "protocol": port.protocol, "name": f"{port.name}-{service}"},
                "bind": pod.outbound_ip,
                "captureMode": "NONE",
                "hosts": [f"{namespace}/{host_of(service, namespace)}"],
            }
        )
    spec: Document = {"workloadSelector": {"labels": {WORKLOAD_LABEL: pod.name}}}
    if ingress:
        spec["ingress"] = ingress
    spec["egress"] = egress
    # Without interception there is no original destination that unknown traffic could be passed through to.
    spec["outboundTrafficPolicy"] = {"mode": "REGISTRY_ONLY"}
    return {
        "apiVersion": API_VERSION,
        "kind": "Sidecar",
        "metadata": {
            "name": pod.name,
            "namespace": pod.namespace,
            "labels": {f"{LABEL_PREFIX}generated-by": "lab"},
        },
        "spec": spec,
    }


def tcp_egress_ports(pods: Iterable[Pod]) -> dict[tuple[str, str, ServicePort], int]:
    """Each plain TCP port of a service and the port that sidecars listen on for it.

    Istio rejects a Sidecar in which two listeners share a port, so a second service on 3306 gets the next free one.
    """
    taken = {OUTBOUND_HTTP_PORT}
    chosen: dict[tuple[str, str, ServicePort], int] = {}
    for (namespace, service), members in _services(pods).items():
        for port in members[0].workload.ports:
            if port.is_http:
                continue
            number = port.number
            while number in taken:
                number += 1
            taken.add(number)
            chosen[(service, namespace, port)] = number
    return chosen


def tcp_environment(pod: Pod, pods: Sequence[Pod]) -> dict[str, tuple[str, int]]:
    """Service name → where in this pod the sidecar listens for it."""
    return {service: (pod.outbound_ip, number) for (service, _, _), number in tcp_egress_ports(pods).items()}


def _services(pods: Iterable[Pod]) -> dict[tuple[str, str], list[Pod]]:
    """(namespace, service) → its pods, in the order in which they were first named."""
    services: dict[tuple[str, str], list[Pod]] = {}
    for pod in pods:
        if pod.workload.ports:
            services.setdefault((pod.namespace, pod.workload.service), []).append(pod)
    return services


def _selector(service: str, members: Sequence[Pod], pods: Sequence[Pod]) -> dict[str, str]:
    """`app: NAME` where that says the same pods, else a label of the lab's own."""
    apps = {member.workload.app for member in members}
    if len(apps) == 1:
        app = next(iter(apps))
        namespace = members[0].namespace
        with_app = [pod for pod in pods if pod.namespace == namespace and pod.workload.app == app]
        if len(with_app) == len(members):
            return {"app": app}
    return {SERVICE_LABEL: service}


def service_port(name: str, number: int, protocol: str, target: int | None = None) -> Document:
    """One port of a ServiceEntry."""
    return {"number": number, "name": name, "protocol": protocol, "targetPort": target or number}


def service_entry(
    service: str, namespace: str, address: str, ports: list[Document], selector: dict[str, str]
) -> Document:
    """A service of the mesh whose workloads the labels select."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ServiceEntry",
        "metadata": {"name": service, "namespace": namespace},
        "spec": {
            "hosts": [host_of(service, namespace)],
            "addresses": [address],
            "ports": ports,
            "location": "MESH_INTERNAL",
            "resolution": "STATIC",
            "workloadSelector": {"labels": selector},
        },
    }


def _gateway_service(address: str, gateway_port: int) -> Document:
    # Istio's chart names port 80 http2; the Python proxy speaks HTTP/1.1, so nobody is told to use HTTP/2 to it.
    ports = [
        service_port("http", 80, "HTTP", gateway_port),
        service_port("http-alt", 8080, "HTTP", gateway_port),
    ]
    if gateway_port + HTTPS_PORT_OFFSET <= 65535:
        ports.append(service_port("https", 443, "HTTPS", gateway_port + HTTPS_PORT_OFFSET))
    return service_entry(GATEWAY_NAME, GATEWAY_NAMESPACE, address, ports, {"istio": "ingressgateway"})


def _workload_entry(pod: Pod, with_service_label: bool) -> Document:
    labels = pod.labels
    if with_service_label:
        labels[SERVICE_LABEL] = pod.workload.service
    return {
        "apiVersion": API_VERSION,
        "kind": "WorkloadEntry",
        "metadata": {"name": pod.name, "namespace": pod.namespace},
        "spec": {"address": pod.ip, "labels": labels, "serviceAccount": pod.workload.service_account},
    }


def service_of(workload: Workload) -> str:
    """The host that the mesh knows the workload's service by."""
    return host_of(workload.service, workload.namespace)
