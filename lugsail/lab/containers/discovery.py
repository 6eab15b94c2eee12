"""From Docker's list of containers to meshes, workloads and their parts. Pure: it reads what the engine answered.

A pod is a container that owns a network namespace; who else is in it is told by `network_mode: container:ID`. The
gateway, a client without a sidecar and a program of `lugsail run` are pods of which the head is the app itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
NUMBER_LABEL = "com.docker.compose.container-number"
ROLE_LABEL = "lugsail.io/role"
WORKLOAD_LABEL = "lugsail.io/workload"
NAMESPACE_LABEL = "lugsail.io/namespace"
PROXY_LABEL = "lugsail.io/proxy"
INJECTED_LABEL = "lugsail.io/injected-by"
# What watches the mesh: role → the port of its page and the path there, in the order in which people are told.
OBSERVERS = {"tracing": (16686, "/"), "metrics": (9090, "/metrics"), "prometheus": (9090, "/"), "grafana": (3000, "/")}
CONTROL_PLANE, GATEWAY, POD, INIT, PROXY, APP = "control-plane", "gateway", "pod", "init", "proxy", "app"

_HEALTH = re.compile(r"\((?:health: )?(healthy|unhealthy|starting)\)")


@dataclass(frozen=True)
class Container:
    """One container as `GET /containers/json` tells it. `published` maps its ports to (address, port) of the host."""

    id: str
    name: str
    labels: Mapping[str, str]
    state: str  # created, running, paused, restarting, exited, dead
    health: str = ""  # healthy, unhealthy, starting; empty without a health check
    network_mode: str = ""
    addresses: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    published: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    image: str = ""
    command: str = ""
    detail: str = ""  # `Up 2 minutes (healthy)`, `Exited (137) 3 seconds ago`

    @classmethod
    def read(cls, item: Mapping[str, Any]) -> Container:
        networks = (item.get("NetworkSettings") or {}).get("Networks") or {}
        ports = {
            int(port["PrivatePort"]): (str(port["IP"]), int(port["PublicPort"]))
            for port in item.get("Ports") or ()
            if port.get("PublicPort") and port.get("IP") and port.get("Type", "tcp") == "tcp"
        }
        detail = str(item.get("Status", ""))
        health = _HEALTH.search(detail)
        return cls(
            id=str(item["Id"]),
            name=str((item.get("Names") or ["/"])[0]).lstrip("/"),
            labels=dict(item.get("Labels") or {}),
            state=str(item.get("State", "")),
            health=health[1] if health else "",
            network_mode=str((item.get("HostConfig") or {}).get("NetworkMode", "")),
            addresses=tuple(ip for each in networks.values() if (ip := each.get("IPAddress"))),
            networks=tuple(networks),
            published=ports,
            image=str(item.get("Image", "")),
            command=str(item.get("Command", "")),
            detail=detail,
        )

    @property
    def project(self) -> str:
        return self.labels.get(PROJECT_LABEL, "")

    @property
    def role(self) -> str:
        return self.labels.get(ROLE_LABEL, "")

    @property
    def is_running(self) -> bool:
        return self.state == "running"

    @property
    def shown_state(self) -> str:
        """One word: `ready` where it runs and nothing says that it is not well."""
        if self.state != "running":
            return self.state
        return "ready" if self.health in ("", "healthy") else self.health


@dataclass(frozen=True)
class Workload:
    """A pod's containers. `head` owns the network namespace and the labels; `app` or `proxy` may be the head itself."""

    name: str
    namespace: str
    head: Container
    app: Container | None
    proxy: Container | None
    init: Container | None

    @property
    def is_gateway(self) -> bool:
        return self.head.role == GATEWAY

    @property
    def ip(self) -> str:
        return self.head.addresses[0] if self.head.addresses else ""

    @property
    def parts(self) -> list[Container]:
        """Its containers that go on running, each once, the head first."""
        found = {each.id: each for each in (self.head, self.app, self.proxy) if each is not None}
        return list(found.values())

    @property
    def proxy_kind(self) -> str:
        """`python` or `envoy`; empty without a sidecar."""
        if self.proxy is None:
            return ""
        told = self.head.labels.get(PROXY_LABEL) or self.proxy.labels.get(PROXY_LABEL)
        match = re.search(r"--proxy[= ](python|envoy)\b", self.proxy.command)
        return match[1] if match else told or "python"

    @property
    def state(self) -> str:
        """`ready`, or the state of the first part that is not."""
        return next((each.shown_state for each in self.parts if each.shown_state != "ready"), "ready")


@dataclass(frozen=True)
class View:
    """A mesh at one moment."""

    project: str
    control_plane: Container | None
    workloads: tuple[Workload, ...]
    containers: tuple[Container, ...]

    @property
    def observers(self) -> list[Container]:
        """What watches the mesh, in the order of OBSERVERS."""
        return [each for role in OBSERVERS for each in self.containers if each.role == role]

    def workload(self, name: str) -> Workload | None:
        """By name, or by `name.namespace`."""
        for each in self.workloads:
            if name in (each.name, f"{each.name}.{each.namespace}"):
                return each
        return None

    @property
    def gateway(self) -> Workload | None:
        """The gateway that a browser reaches: the one that publishes 8080; the ingress one rather than another."""
        found = [each for each in self.workloads if each.is_gateway and 8080 in each.head.published]
        return next((each for each in found if "ingress" in each.name), found[0] if found else None)


def view(project: str, containers: Sequence[Container]) -> View:
    """The mesh of one project, from its containers (and those that were injected for it)."""
    members: dict[str, list[Container]] = {}
    for each in containers:
        if each.network_mode.startswith("container:"):
            members.setdefault(each.network_mode.removeprefix("container:"), []).append(each)
    heads = [each for each in containers if _is_head(each, each.id in members or each.name in members)]
    control = [each for each in containers if each.role == CONTROL_PLANE]
    workloads = [_workload(head, members.get(head.id, []) + members.get(head.name, [])) for head in heads]
    return View(
        project,
        next((each for each in control if each.is_running), control[0] if control else None),
        tuple(sorted(workloads, key=lambda each: (each.is_gateway, each.namespace, each.name))),
        tuple(containers),
    )


def meshes(containers: Iterable[Container]) -> dict[str, bool]:
    """Project → whether its control plane runs, from containers of the role control-plane."""
    found: dict[str, bool] = {}
    for each in containers:
        if each.role == CONTROL_PLANE and each.project:
            found[each.project] = found.get(each.project, False) or each.is_running
    return found


def workload_name(container: Container) -> str:
    """`lugsail.io/workload`, else the compose service's name without `-pod`, with `-N` for copy N of it."""
    if told := container.labels.get(WORKLOAD_LABEL):
        return told
    name = container.labels.get(SERVICE_LABEL, container.name).removesuffix("-pod")
    number = container.labels.get(NUMBER_LABEL, "1")
    return name if number in ("", "1") else f"{name}-{number}"


def _is_head(container: Container, has_members: bool) -> bool:
    """A pod, a gateway, or a container of the mesh in a network of its own: labelled as one, or given a sidecar."""
    if container.role in (POD, GATEWAY):
        return True
    if container.role in (CONTROL_PLANE, INIT, PROXY, *OBSERVERS) or container.network_mode.startswith("container:"):
        return False
    return container.role == APP or has_members or bool(container.labels.get("app"))


def _workload(head: Container, members: Sequence[Container]) -> Workload:
    def of(role: str) -> Container | None:
        found = [each for each in members if (each.role or APP) == role]
        return next((each for each in found if each.is_running), found[0] if found else None)

    app, proxy = of(APP), of(PROXY)
    if head.role == GATEWAY:
        proxy = head
    elif head.role != POD:
        app = head
    namespace = head.labels.get(NAMESPACE_LABEL) or ("istio-system" if head.role == GATEWAY else "default")
    return Workload(workload_name(head), namespace, head, app, proxy, of(INIT))
