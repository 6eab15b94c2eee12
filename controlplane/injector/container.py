"""Which running containers get a sidecar, or why not, and what init container and sidecar then are. Pure.

A container asks with the label `lugsail.io/inject=true` (or `sidecar.istio.io/inject=true`). For all containers of a
network or of a compose project ask the label `istio-injection=enabled` on the network, or on any container of the
project: Compose gives projects no labels of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from controlplane.injector.compose_observers import ACCESS_LOG_SERVICE
from controlplane.injector.kube_pod import Images
from controlplane.injector.settings import (
    INJECT,
    OWN_INJECT,
    PROXY_UID,
    BadAnnotation,
    InjectionSettings,
    proxy_arguments,
    workload_labels,
)
from controlplane.sources.docker_containers import COMPOSE_SERVICE, PROJECT, Container, parse_container
from controlplane.sources.docker_labels import NAMESPACE, ROLE, ROLE_INIT, ROLE_PROXY, SERVICE_ACCOUNT, WORKLOAD

POD, INJECTED_BY, POD_STARTED = "lugsail.io/pod", "lugsail.io/injected-by", "lugsail.io/pod-started"
ENABLED_LABEL, ENABLED = "istio-injection", "enabled"
_COMPOSE = "com.docker.compose."
# Compose reads these of every container of a project; docker-compose 1.29 fails on one without them.
_COMPOSE_COPIED = (
    PROJECT,
    *(f"{_COMPOSE}{name}" for name in ("container-number", "version", "config-hash")),
    *(f"{_COMPOSE}project.{name}" for name in ("working_dir", "config_files")),
)
# Running, or about to run again by Docker's own restart policy.
_ALIVE = ("running", "paused", "restarting")


@dataclass(frozen=True, slots=True)
class Seen:
    """A container at one moment. `status` is Docker's: created, running, paused, restarting, exited, dead…"""

    container: Container
    status: str

    @property
    def injected_by(self) -> str:
        return self.container.label_map.get(INJECTED_BY, "")


@dataclass(frozen=True, slots=True)
class World:
    """All containers, and the ids of the networks that carry the label istio-injection=enabled."""

    containers: tuple[Seen, ...]
    enabled_networks: frozenset[str] = frozenset()

    @property
    def enabled_projects(self) -> frozenset[str]:
        return frozenset(
            seen.container.project
            for seen in self.containers
            if seen.container.project and seen.container.label_map.get(ENABLED_LABEL) == ENABLED
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a container gets a sidecar; `reason` says why it does or does not. `settings` where it does."""

    container: Container
    inject: bool
    reason: str
    settings: InjectionSettings | None = None
    # It wants a sidecar and cannot have one: people are told.
    problem: bool = False


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """A container to be made, in the terms of Docker's API. `role` is init or proxy."""

    role: str
    name: str
    image: str
    command: tuple[str, ...]
    user: str
    labels: Mapping[str, str]
    cap_add: tuple[str, ...]
    network_mode: str
    read_only: bool
    tmpfs: Mapping[str, str]
    restart: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now. `create`: apps without a sidecar; `remove`: what is left of injections that are over."""

    create: tuple[Verdict, ...]
    remove: tuple[Container, ...]
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """Who injects. `networks` are the ids of those within the control plane's reach; None: all of them.

    `project`: containers of this compose project alone; empty: all.
    """

    identity: str
    project: str = ""
    networks: frozenset[str] | None = None
    proxy: Literal["python", "envoy"] = "python"
    images: Images = field(default_factory=Images)


def see(data: Mapping[str, Any]) -> Seen:
    """From an inspection (`GET /containers/{id}/json`). Raises KeyError, TypeError or AttributeError for none."""
    return Seen(parse_container(data), str(data["State"].get("Status", "")))


def decide(container: Container, world: World, rules: Rules) -> Verdict:
    """Whether this container gets a sidecar."""
    labels, where = container.label_map, f"container {container.name}"
    if labels.get(ROLE):
        return Verdict(container, False, f"it is part of the mesh: label {ROLE}={labels[ROLE]}")
    if rules.project and container.project != rules.project:
        return Verdict(container, False, f"it is not of compose project {rules.project}")
    if container.owner:
        owner = next((s.container.name for s in world.containers if s.container.id == container.owner), "another")
        return Verdict(container, False, f"it shares the network of container {owner}, which its sidecar belongs to")
    try:
        settings = InjectionSettings.from_annotations(labels, where, proxy=rules.proxy)
    except BadAnnotation as error:
        return Verdict(container, False, str(error).removeprefix(f"{where}: "), problem=_asks(labels))
    asked = _reason(container, settings, world)
    if settings.inject is False:
        name = INJECT if INJECT in labels else OWN_INJECT
        return Verdict(container, False, f"it says so: label {name}={labels[name]}")
    if not asked:
        return Verdict(container, False, f"nothing asks for one; label {OWN_INJECT}=true would")
    if container.is_one_off:
        return Verdict(container, False, "`docker compose run` made it: it is no part of its service")
    if container.network_mode in ("host", "none"):
        why = "rules would capture the whole machine's traffic" if container.network_mode == "host" else "no network"
        return Verdict(container, False, f"its network is {container.network_mode}: {why}", problem=True)
    if rules.networks is not None and not any(network in rules.networks for _, network, _ in container.networks):
        hint = f"docker network connect NETWORK {container.name}"
        reason = f"it is in no network of the control plane, which its sidecar could not reach; connect it: {hint}"
        return Verdict(container, False, reason, problem=True)
    return Verdict(container, True, asked, settings)


def plan(world: World, rules: Rules, busy: Collection[str] = ()) -> Plan:
    """What is to be done; containers whose id is in `busy`, and their sidecars, are left to who works on them."""
    create: list[Verdict] = []
    remove: list[Container] = []
    verdicts: list[Verdict] = []
    running = {seen.container.id: seen for seen in world.containers if seen.status in _ALIVE}
    members = _members(world)
    for seen in world.containers:
        if seen.injected_by:
            continue
        app = seen.container
        verdict = decide(app, world, rules)
        verdicts.append(verdict)
        if app.id in busy:
            continue
        around = members.get(app.id, [])
        if not verdict.inject or seen.status not in ("running", "paused"):
            continue
        if any(member.container.role == ROLE_PROXY and not member.injected_by for member in around):
            continue  # somebody gave it one by hand
        if any(_serves(member, app) for member in around):
            continue
        create.append(verdict)
    for seen in world.containers:
        owner = seen.container.owner
        if seen.injected_by == rules.identity and owner not in busy and owner not in running:
            remove.append(seen.container)
    return Plan(tuple(create), tuple(remove), tuple(verdicts))


def leftovers(app: Container, world: World) -> list[Container]:
    """What earlier injections left: to be removed before the next one, whoever made it.

    That is of this container, or of one that had its name: Compose makes a container anew under the same.
    """
    names = {f"{app.name}-{role}" for role in (ROLE_INIT, ROLE_PROXY)}
    return [
        seen.container
        for seen in world.containers
        if seen.injected_by and (seen.container.owner == app.id or seen.container.name in names)
    ]


def containers_for(verdict: Verdict, rules: Rules, discovery: str) -> list[ContainerSpec]:
    """The init container (where there is interception) and the sidecar of an app that is to get them, in that order."""
    app, settings = verdict.container, verdict.settings
    assert settings is not None  # only verdicts that inject come here
    labels = app.label_map
    image = rules.images.for_proxy(settings)
    shared = {"image": image, "network_mode": f"container:{app.id}"}
    found = []
    if settings.needs_init:
        found.append(
            ContainerSpec(
                role=ROLE_INIT,
                name=f"{app.name}-init",
                command=("python", "-m", "sidecar.agent.interception", *settings.init_arguments()),
                user="0:0",
                labels=_labels(app, ROLE_INIT, rules),
                cap_add=("NET_ADMIN", "NET_RAW"),
                read_only=False,  # iptables keeps its lock in /run
                tmpfs={},
                restart="no",
                **shared,
            )
        )
    arguments = proxy_arguments(
        settings,
        workload=workload_of(app),
        namespace=labels.get(NAMESPACE) or "default",
        labels=workload_labels(labels),
        service_account=labels.get(SERVICE_ACCOUNT) or "default",
        discovery=discovery,
        access_log_service=ACCESS_LOG_SERVICE,
    )
    found.append(
        ContainerSpec(
            role=ROLE_PROXY,
            name=f"{app.name}-proxy",
            command=("python", "-m", "sidecar", *arguments),
            user=f"{PROXY_UID}:{PROXY_UID}",
            labels=_labels(app, ROLE_PROXY, rules),
            cap_add=(),
            read_only=True,
            tmpfs={"/tmp": "mode=1777,size=64m"},
            restart="on-failure",
            **shared,
        )
    )
    return found


def workload_of(app: Container) -> str:
    """`reviews-v1`, and `reviews-v1-2` for the second container of a scaled service: as discovery names it."""
    name = app.label_map.get(WORKLOAD) or app.default_workload
    return f"{name}-{app.number}" if app.number > 1 else name


def _labels(app: Container, role: str, rules: Rules) -> dict[str, str]:
    labels = app.label_map
    own = {ROLE: role, POD: workload_of(app), INJECTED_BY: rules.identity, POD_STARTED: app.started_at}
    if not app.project:
        return own
    copied = {name: labels[name] for name in _COMPOSE_COPIED if name in labels}
    service = f"{labels.get(COMPOSE_SERVICE) or app.name}-{role}"
    return {**copied, COMPOSE_SERVICE: service, f"{_COMPOSE}oneoff": "False", **own}


def _members(world: World) -> dict[str, list[Seen]]:
    found: dict[str, list[Seen]] = {}
    for seen in world.containers:
        if seen.container.owner:
            found.setdefault(seen.container.owner, []).append(seen)
    return found


def _serves(member: Seen, app: Container) -> bool:
    """Whether this is a sidecar of the app as it runs now: after a restart the app has another network namespace."""
    is_current = member.container.label_map.get(POD_STARTED) == app.started_at
    return member.container.role == ROLE_PROXY and is_current and member.status in _ALIVE


def _reason(container: Container, settings: InjectionSettings, world: World) -> str:
    """What asks for a sidecar; empty: nothing."""
    labels = container.label_map
    if settings.inject:
        name = INJECT if INJECT in labels else OWN_INJECT
        return f"label {name}={labels[name]}"
    for name, network, _ in container.networks:
        if network in world.enabled_networks:
            return f"network {name} has label {ENABLED_LABEL}={ENABLED}"
    if container.project and container.project in world.enabled_projects:
        return f"a container of project {container.project} has label {ENABLED_LABEL}={ENABLED}"
    return ""


def _asks(labels: Mapping[str, str]) -> bool:
    return any(name in labels for name in (INJECT, OWN_INJECT))


def enabled_networks(networks: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """The ids of networks (rows of `GET /networks`) that ask for sidecars."""
    return frozenset(
        str(network["Id"]) for network in networks if (network.get("Labels") or {}).get(ENABLED_LABEL) == ENABLED
    )
