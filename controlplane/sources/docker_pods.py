"""Containers to pods: who shares a network namespace, on which address it serves, and what keeps it from serving. Pure.

A pod is a container with a network of its own and all those that joined it (`network_mode: service:…`). A container
alone is a pod of one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from controlplane.sources.docker_containers import Container
from controlplane.sources.docker_labels import (
    ENABLED,
    INJECT_LABELS,
    PORTS,
    PROJECT_INJECTION,
    ROLE_APP,
    ROLE_CONTROL_PLANE,
    ROLE_GATEWAY,
    ROLE_POD,
    ROLE_PROXY,
    WORKLOAD,
    BadLabel,
    Claim,
    LabelledPort,
    read_claim,
)

AGENT_PORT, GATEWAY_HEALTH_PORT = 15020, 15021


@dataclass(frozen=True, slots=True)
class Target:
    """What a pod must answer once before it gets traffic: by its agent (`http_port`), or on each port itself (0)."""

    address: str
    ports: tuple[int, ...]
    http_port: int = 0
    # Which starts of which containers it was asked of: the answer holds for these.
    generation: tuple[tuple[str, str], ...] = ()

    @property
    def path(self) -> str:
        query = f"?ports={','.join(map(str, self.ports))}" if self.ports else ""
        return f"/healthz/ready{query}"


@dataclass(frozen=True, slots=True)
class Pod:
    """A workload on Docker. `address` is "" without one to reach, `target` None without that or without its sidecar."""

    claim: Claim
    container: Container
    address: str
    target: Target | None
    serves: bool  # nothing that Docker knows keeps any of its containers from working


@dataclass(frozen=True, slots=True)
class Plan:
    """The pods that count, in the order of their age, and what was left out, a line each."""

    pods: tuple[Pod, ...]
    warnings: tuple[str, ...]

    @property
    def targets(self) -> frozenset[Target]:
        """Of every pod, also of one that is paused: what was found out about it holds when it goes on."""
        return frozenset(pod.target for pod in self.pods if pod.target is not None)

    @property
    def serving(self) -> frozenset[Target]:
        """Of the pods that can be asked now."""
        return frozenset(pod.target for pod in self.pods if pod.target is not None and pod.serves)


def plan_pods(
    containers: Iterable[Container], networks: Collection[str] | None, injected: bool = False
) -> Plan:
    """All pods of these containers. `networks`: ids of the networks within reach, None for all of them.

    `injected`: whoever asks for a sidecar by label is about to get one, and counts when it is there.
    """
    everything = [c for c in containers if not c.is_one_off]
    enabled = {c.project for c in everything if c.label_map.get(PROJECT_INJECTION) == ENABLED and c.project}
    members: dict[str, list[Container]] = {}
    for container in everything:
        if container.owner:
            members.setdefault(container.owner, []).append(container)
    warnings: list[str] = []
    pods: list[Pod] = []
    # Those that run come first: where two contradict, one that is gone does not silence one that serves.
    for container in sorted(everything, key=lambda c: (not c.is_running, c.created, c.id)):
        if container.owner or container.role == ROLE_CONTROL_PLANE:
            continue
        try:
            claim = read_claim(container.label_map, container.default_workload, container.number)
        except BadLabel as error:
            warnings.append(f"container {container.name}: {error}; it is left out")
            continue
        if claim is not None:
            waits = container.role == ROLE_POD or (injected and _asks_for_sidecar(container, enabled))
            pods.append(_pod(claim, container, members.get(container.id, []), networks, waits))
    accepted, conflicts = _without_conflicts(pods)
    return Plan(accepted, tuple(warnings + conflicts + _unreachable(accepted)))


def _asks_for_sidecar(container: Container, enabled_projects: Collection[str]) -> bool:
    if container.role:
        return False
    said = [value.lower() for name in INJECT_LABELS if (value := container.label_map.get(name))]
    return said[0] == "true" if said else container.project in enabled_projects


def _pod(
    claim: Claim,
    container: Container,
    members: Sequence[Container],
    networks: Collection[str] | None,
    waits_for_sidecar: bool,
) -> Pod:
    working = sorted((m for m in members if m.role in (ROLE_APP, ROLE_PROXY)), key=lambda c: c.id)
    address = _address(container, networks) if container.is_running else ""
    target = _target(claim, container, working, address, waits_for_sidecar) if address else None
    return Pod(claim, container, address, target, all(c.serves for c in (container, *working)))


def _target(
    claim: Claim, container: Container, working: Sequence[Container], address: str, waits_for_sidecar: bool
) -> Target | None:
    generation = tuple(c.generation for c in (container, *working))
    ports = tuple(port.target for port in claim.ports)
    if container.role == ROLE_GATEWAY:
        # Its ports open when a Gateway asks for them; what it listens on all the time is its readiness.
        return Target(address, (), GATEWAY_HEALTH_PORT, generation)
    if any(member.role == ROLE_PROXY for member in working):
        return Target(address, ports, AGENT_PORT, generation)
    if waits_for_sidecar:
        return None  # it has not come yet
    return Target(address, ports, 0, generation)


def _address(container: Container, networks: Collection[str] | None) -> str:
    """In the first network by name that is within reach: the one that Docker routes the default through."""
    for _, network, address in container.networks:
        if address and (networks is None or network in networks):
            return address
    return ""


def _without_conflicts(pods: Sequence[Pod]) -> tuple[tuple[Pod, ...], list[str]]:
    """Two pods may not have one name, and the pods of a service must agree on its ports: the first one counts."""
    accepted: list[Pod] = []
    warnings: list[str] = []
    names: dict[tuple[str, str], Pod] = {}
    services: dict[tuple[str, str], Pod] = {}
    for pod in pods:
        claim, name = pod.claim, pod.container.name
        namesake = names.get((claim.namespace, claim.workload))
        if namesake is not None:
            if pod.container.is_running:
                warnings.append(
                    f"container {name}: container {namesake.container.name} is workload {claim.workload} of namespace "
                    f"{claim.namespace} already; it is left out: give it a name of its own with label {WORKLOAD}"
                )
            continue
        first = services.setdefault((claim.namespace, claim.service), pod)
        if _numbers(first.claim.ports) != _numbers(claim.ports):
            warnings.append(
                f"container {name}: label {PORTS} gives service {claim.service} of namespace {claim.namespace} "
                f"{_shown(claim.ports)}, but container {first.container.name} {_shown(first.claim.ports)}; "
                "it is left out: make them agree"
            )
            continue
        names[claim.namespace, claim.workload] = pod
        accepted.append(pod)
    return tuple(accepted), warnings


def _unreachable(pods: Iterable[Pod]) -> list[str]:
    return [
        f"container {pod.container.name}: it has no address in a network that the control plane is in, and so gets no "
        "traffic: connect the two to one network"
        for pod in pods
        if pod.container.is_running and not pod.address
    ]


def _numbers(ports: Iterable[LabelledPort]) -> frozenset[tuple[str, int]]:
    """What the pods of a service must agree on; each may listen where it likes."""
    return frozenset((port.name, port.number) for port in ports)


def _shown(ports: Iterable[LabelledPort]) -> str:
    return ",".join(f"{port.name}:{port.number}" for port in ports)
