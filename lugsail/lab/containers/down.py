"""Removes a mesh of containers by its labels: needs no compose file, and finds what was injected at run time too."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from lugsail.lab.containers import discovery, engine
from lugsail.lab.containers.discovery import Container
from lugsail.lab.containers.mesh import injected, list_containers, list_meshes, several
from lugsail.lab.errors import LabError, NotRunning

if TYPE_CHECKING:
    from docker import APIClient

GRACE_S = 7  # a sidecar drains for up to 5 s
PARALLEL = 8


@dataclass
class Removed:
    """What became of a mesh."""

    containers: int = 0
    kept_volumes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def choose(project: str | None) -> tuple[APIClient, str] | None:
    """The mesh to remove, running or not; None where there is none. Raises NotRunning and LabError."""
    client = engine.connect()
    known = list_meshes(client)
    if project is not None:
        if project not in known and not list_containers(client, f"{discovery.PROJECT_LABEL}={project}"):
            names = ", ".join(sorted(known)) or "none"
            raise NotRunning(f"There is no mesh of containers named {project}; there are: {names}.")
        return client, project
    chosen = sorted(name for name, runs in known.items() if runs) or sorted(known)
    if len(chosen) > 1:
        raise LabError(several(chosen), 64)
    return (client, chosen[0]) if chosen else None


def remove_project(client: APIClient, project: str, volumes: bool, grace_s: int = GRACE_S) -> Removed:
    """Stop and remove the containers, then the networks, then, with `volumes`, the volumes of the project.

    The control plane goes first, for it would put back sidecars that it misses; apps and gateways go before the
    sidecars that carry their last requests; the pods, who own the namespaces, go last.
    """
    result = Removed()
    own = list_containers(client, f"{discovery.PROJECT_LABEL}={project}")
    control = [each for each in own if each.role == discovery.CONTROL_PLANE]
    _remove(client, control, grace_s, result)
    own = [each for each in own if each.role != discovery.CONTROL_PLANE]
    everything = [*own, *injected(client, own)]
    last = [each for each in everything if each.role in (discovery.POD, discovery.INIT)]
    proxies = [each for each in everything if each.role == discovery.PROXY]
    first = [each for each in everything if each not in last and each not in proxies]
    members = [each for each in first if each.network_mode.startswith("container:")]
    _stop(client, first, grace_s)
    _remove(client, members, grace_s, result)
    _remove(client, proxies, grace_s, result)
    _remove(client, [each for each in first if each not in members], 0, result)
    _remove(client, last, 0, result)
    filters = {"label": [f"{discovery.PROJECT_LABEL}={project}"]}
    for network in client.networks(filters=filters):
        _try(partial(client.remove_network, network["Id"]), result)
    for volume in client.volumes(filters=filters).get("Volumes") or ():
        if volumes:
            _try(partial(client.remove_volume, volume["Name"], force=True), result)
        else:
            result.kept_volumes.append(volume["Name"])
    return result


def _stop(client: APIClient, containers: Iterable[Container], grace_s: int) -> None:
    def stop(container: Container) -> None:
        ignored = Removed()
        if container.state in ("running", "restarting"):
            _try(partial(client.stop, container.id, timeout=grace_s), ignored)

    with ThreadPoolExecutor(PARALLEL) as pool:
        list(pool.map(stop, containers))


def _remove(client: APIClient, containers: list[Container], grace_s: int, result: Removed) -> None:
    """Stop each in order within `grace_s` (0: at once), and remove it with its anonymous volumes."""

    def remove(container: Container) -> bool:
        if grace_s and container.state in ("running", "restarting"):
            _try(partial(client.stop, container.id, timeout=grace_s), Removed())
        return _try(partial(client.remove_container, container.id, v=True, force=True), result)

    with ThreadPoolExecutor(PARALLEL) as pool:
        result.containers += sum(pool.map(remove, containers))


def _try(action: Callable[[], object], result: Removed) -> bool:
    """Whether it was done; what is gone already, or going, is as good as done."""
    from docker.errors import APIError, DockerException

    try:
        action()
    except APIError as problem:
        if problem.status_code in (404, 409) and "in use" not in str(problem.explanation):
            return problem.status_code == 409
        result.failures.append(str(engine.failure(problem)))
        return False
    except (DockerException, OSError) as problem:
        result.failures.append(str(engine.failure(problem)))
        return False
    return True
