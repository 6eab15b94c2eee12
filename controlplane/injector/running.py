"""What injection did, or would do, with containers that are there: for people. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from controlplane.injector.container import POD, Rules, Seen, World, decide
from controlplane.sources.docker_labels import (
    PREFIX,
    ROLE,
    ROLE_CONTROL_PLANE,
    ROLE_GATEWAY,
    ROLE_INIT,
    ROLE_POD,
    ROLE_PROXY,
)

_OF_THE_MESH = (ROLE_INIT, ROLE_PROXY, ROLE_GATEWAY, ROLE_CONTROL_PLANE)


def describe(world: World, names: Collection[str] = ()) -> Iterator[tuple[str, bool, str]]:
    """(container, has a sidecar, why) of the named ones, else of all workloads that the mesh has to do with."""
    for seen in sorted(world.containers, key=lambda each: each.container.name):
        if names and seen.container.name not in names:
            continue
        if not names and not _concerns(seen, world):
            continue
        yield _describe(seen, world)


def _concerns(seen: Seen, world: World) -> bool:
    """Whether it is a workload (a pod by its owner alone) with labels of the mesh, or one that asks for a sidecar."""
    container = seen.container
    if container.role in _OF_THE_MESH or container.owner:
        return False
    marked = any(name.startswith((PREFIX, "sidecar.istio.io/")) for name in container.label_map)
    return marked or decide(container, world, Rules("")).inject


def _describe(seen: Seen, world: World) -> tuple[str, bool, str]:
    container = seen.container
    if container.role in _OF_THE_MESH:
        return container.name, container.role != ROLE_INIT, f"it is of the mesh itself: label {ROLE}={container.role}"
    home = container.owner or container.id
    proxies = [
        each
        for each in world.containers
        if each.container.owner == home and each.container.role == ROLE_PROXY and each.status in ("running", "paused")
    ]
    if proxies:
        by = " (automatic)" if proxies[0].injected_by else ""
        return container.name, True, f"its sidecar is container {proxies[0].container.name}{by}"
    if container.role == ROLE_POD or container.label_map.get(POD):
        return container.name, False, "it is a pod whose sidecar does not run: see `docker compose ps -a`"
    verdict = decide(container, world, Rules(""))
    if not verdict.inject:
        return container.name, False, verdict.reason
    if seen.status not in ("running", "paused"):
        return container.name, False, f"{verdict.reason}, but it does not run"
    hint = "is there a control plane with --inject, and what does its log say?"
    return container.name, False, f"{verdict.reason}, but it has none yet; {hint}"
