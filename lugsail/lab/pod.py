"""A pod: a workload with the addresses and the identity it runs under."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lugsail.lab.addressing import OUTBOUND_HTTP_PORT, Subnet
from lugsail.lab.topology import ServicePort, Workload

WORKLOAD_LABEL = "lugsail.io/workload"
"""Tells two pods of the same app and version apart, so that each has its own Sidecar resource."""

GATEWAY_NAME = "istio-ingressgateway"
GATEWAY_NAMESPACE = "istio-system"


@dataclass(frozen=True, slots=True)
class Pod:
    """A workload placed in the lab as pod `number`.

    `app_ports` holds the private port of 127.0.0.1 for each of the workload's service ports, in their order.
    `proxy` is `python` or `envoy`; `kind` is `sidecar` or `router` (a gateway).
    """

    workload: Workload
    number: int
    subnet: Subnet
    proxy: str = "python"
    kind: str = "sidecar"
    app_ports: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return self.workload.name

    @property
    def namespace(self) -> str:
        return self.workload.namespace

    @property
    def proxy_name(self) -> str:
        """The proxy's name in the control plane: `reviews-v1.default`."""
        return f"{self.name}.{self.namespace}"

    @property
    def ip(self) -> str:
        return self.subnet.pod_ip(self.number)

    @property
    def outbound_ip(self) -> str:
        return self.subnet.outbound_ip(self.number)

    @property
    def labels(self) -> dict[str, str]:
        return {**self.workload.labels, WORKLOAD_LABEL: self.name}

    @property
    def app_port(self) -> int | None:
        """The private port of the first service port."""
        return self.app_ports[0] if self.app_ports else None


def gateway_workload() -> Workload:
    """The ingress gateway that the lab adds to every topology."""
    return Workload(
        name=GATEWAY_NAME,
        namespace=GATEWAY_NAMESPACE,
        labels={"app": GATEWAY_NAME, "istio": "ingressgateway"},
        service=GATEWAY_NAME,
        service_account=GATEWAY_NAME,
    )


def app_environment(pod: Pod, tcp: Mapping[str, tuple[str, int]] | None = None) -> dict[str, str]:
    """What a program of this pod finds in its environment so that its traffic goes through the pod's sidecar.

    `tcp` maps plain TCP services to the sidecar's listener for each: `LUGSAIL_TCP_<SERVICE>=IP:PORT`.
    """
    environment = dict(pod.workload.environment)
    environment["HOSTNAME"] = pod.name
    environment["LUGSAIL_WORKLOAD"] = pod.name
    if pod.kind == "sidecar":
        proxy = f"http://{pod.outbound_ip}:{OUTBOUND_HTTP_PORT}"
        environment |= {"http_proxy": proxy, "HTTP_PROXY": proxy}
        environment |= {"no_proxy": "127.0.0.1,localhost", "NO_PROXY": "127.0.0.1,localhost"}
    if pod.app_port is not None:
        environment |= {"BIND_ADDRESS": "127.0.0.1", "PORT": str(pod.app_port)}
    for service, (ip, port) in (tcp or {}).items():
        environment[f"LUGSAIL_TCP_{service.upper().replace('-', '_').replace('.', '_')}"] = f"{ip}:{port}"
    return environment


def next_pod_number(taken: Iterable[int]) -> int:
    """The lowest free pod number."""
    used = set(taken)
    number = 1
    while number in used:
        number += 1
    return number


def http_workload(
    *, name: str, namespace: str, app: str, version: str, port: int, service_account: str | None = None
) -> Workload:
    """A workload with one HTTP port: what `lugsail run` describes."""
    return Workload(
        name=name,
        namespace=namespace,
        labels={"app": app, "version": version},
        service=app,
        ports=(ServicePort("http", port),),
        service_account=service_account or app,
    )
