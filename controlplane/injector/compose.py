"""Puts a mesh around the services of a compose document: each becomes a pod of four containers.

    S-pod     owns the network namespace: names in the network, published ports, and the labels of the workload
    S-init    writes the rules of interception into it and exits
    S-proxy   the sidecar, as the one user whose traffic the rules leave alone
    S         the app as it was, in the pod's network

Pure: a document in, a document out. What is injected already stays as it is, so injecting twice is injecting once.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from controlplane.injector.compose_images import IMAGE_PREFIX, context_of, with_builds
from controlplane.injector.compose_mesh import (
    DISCOVERY,
    MESH_SERVICES,
    PROXY_SWITCH,
    STORE_VOLUME,
    mesh_services,
)
from controlplane.injector.compose_observers import ACCESS_LOG_SERVICE, TRACES_VOLUME
from controlplane.injector.compose_values import (
    BadCompose,
    check_size,
    health_check,
    links_to_pods,
    mapping,
    networks_of,
    string_map,
    waits_for,
)
from controlplane.injector.settings import PROXY_UID, InjectionSettings, proxy_arguments, workload_labels

__all__ = ("BadCompose", "Choices", "Injection", "inject")

Document = dict[str, Any]

ROLE, POD = "lugsail.io/role", "lugsail.io/pod"
PROXY_KIND = "lugsail.io/proxy"
# What belongs to the owner of a network namespace. Docker refuses most of it beside `network_mode: service:…`.
OF_THE_NETWORK = (
    *("networks", "ports", "expose", "hostname", "domainname", "dns", "dns_search", "dns_opt", "extra_hosts"),
    *("links", "external_links", "mac_address", "sysctls"),
)


@dataclass(frozen=True)
class Choices:
    """What `lugsail inject` was asked for. Without `proxy` the generated file asks ${LUGSAIL_PROXY} at `up`."""

    proxy: str | None = None
    proxy_for: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Injection:
    """The meshed document, how many pods it gained, the comment of each new service, and lines for people.

    `notes` say why a service was left alone, or what it lacks.
    """

    document: Document
    comments: Mapping[str, str]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    pods: int


def inject(document: Any, source: str, choices: Choices | None = None) -> Injection:
    """`document` with the mesh around it. `source` names the file in errors. Raises BadCompose and BadAnnotation."""
    choices = choices or Choices()
    services = _services(document, source)
    _check_choices(services, choices, source)
    read = {name: _Read.of(name, service, source, choices) for name, service in services.items()}
    captured = [name for name, one in read.items() if not one.why_not and one.host is None]
    made: dict[str, Document] = {}
    comments: dict[str, str] = {}
    for name, one in read.items():
        if name in captured:
            _check(one, services)
            for member, (body, comment) in _pod(one, choices, captured).items():
                made[member], comments[member] = body, comment
        elif one.host in captured and not one.why_not:
            made[name] = _guest(one, read[str(one.host)])
        else:
            made[name] = one.service
    notes = tuple(note for one in read.values() for note in _notes(one, read))
    warnings = tuple(text for one in read.values() for text in one.settings.warnings)
    if not captured:
        return Injection(document, comments, notes, warnings, 0)
    for name in MESH_SERVICES:
        if name in read and ROLE not in read[name].labels:
            raise BadCompose(f"{read[name].where}: the mesh needs this name for a service of its own; rename this one.")
    networks = dict.fromkeys(network for name in captured for network in made[f"{name}-pod"]["networks"])
    for member, (body, comment) in mesh_services(list(networks), choices.proxy, context_of(made)).items():
        if member not in made:
            made[member], comments[member] = body, comment
    volumes = {**mapping(document.get("volumes"), f"{source}: volumes"), STORE_VOLUME: {}, TRACES_VOLUME: {}}
    whole = {**document, "services": with_builds(made), "volumes": volumes}
    return Injection(whole, comments, notes, warnings, len(captured))


@dataclass(frozen=True)
class _Read:
    """One service of the document, and what its labels ask for."""

    name: str
    service: Document
    where: str
    labels: dict[str, str]
    settings: InjectionSettings

    @classmethod
    def of(cls, name: str, service: Document, source: str, choices: Choices) -> _Read:
        where = f"{source}: services.{name}"
        labels = string_map(service.get("labels"), f"{where}.labels")
        return cls(name, service, where, labels, _settings(name, labels, where, choices))

    @property
    def host(self) -> str | None:
        """The service whose network this one shares already."""
        mode = str(self.service.get("network_mode", ""))
        return mode.removeprefix("service:") if mode.startswith("service:") else None

    @property
    def why_not(self) -> str:
        """Why this service is left alone; nothing where it is not."""
        if self.labels.get(ROLE):
            return f"is injected already ({ROLE}: {self.labels[ROLE]})"
        if self.settings.inject is False:
            return 'stays without a sidecar: a label says sidecar.istio.io/inject: "false"'
        mode = str(self.service.get("network_mode", ""))
        if mode == "host":
            return "stays without a sidecar: network_mode: host is the machine's own network"
        if mode and not mode.startswith("service:"):
            return f"stays without a sidecar: network_mode: {mode} is no network of this file"
        return ""


def _services(document: Any, source: str) -> dict[str, Document]:
    """A copy of the services, each a mapping."""
    check_size(document, source)
    services = document.get("services") if isinstance(document, dict) else None
    if not isinstance(services, dict) or not services:
        raise BadCompose(f"{source}: there is no `services` mapping; expected a compose file.")
    return {
        str(name): copy.deepcopy(mapping(service, f"{source}: services.{name}")) for name, service in services.items()
    }


def _check_choices(services: Mapping[str, Document], choices: Choices, source: str) -> None:
    for name in choices.proxy_for:
        if name not in services:
            raise BadCompose(f"--proxy-for {name}: {source} has no such service; it has {', '.join(services)}.")


def _settings(name: str, labels: Mapping[str, str], where: str, choices: Choices) -> InjectionSettings:
    """A choice for this workload is stronger than its label, the label stronger than the choice for all."""
    defaults = {"proxy": choices.proxy} if choices.proxy else {}
    settings = InjectionSettings.from_annotations(labels, f"{where}.labels", **defaults)
    chosen = choices.proxy_for.get(name)
    return replace(settings, proxy=chosen) if chosen else settings  # type: ignore[arg-type]


def _notes(one: _Read, read: Mapping[str, _Read]) -> list[str]:
    """What people should know of a service: why it is left alone, or what it lacks."""
    place = f"services.{one.name}"
    if one.labels.get(ROLE) in ("pod", "init", "proxy"):
        return []  # its app says it
    host = read.get(str(one.host))
    if one.why_not:
        return [f"{place}: {one.why_not}"]
    if one.host is not None:
        if host is None:
            raise BadCompose(f"{one.where}.network_mode: there is no service {one.host} in this file.")
        if host.why_not:
            return [f"{place}: stays as it is with {one.host}, whose network it shares"]
        return []
    if not one.labels.get("lugsail.io/ports"):
        return [f"{place}: has no label lugsail.io/ports: a client, which nothing in the mesh calls"]
    return []


def _guest(one: _Read, host: _Read) -> Document:
    """One more container of another service's pod: it joins the network where that service's own went."""
    waits = {f"{host.name}-init": "service_completed_successfully"} if host.settings.needs_init else {}
    return {
        **one.service,
        "network_mode": f"service:{host.name}-pod",
        "depends_on": waits_for(one.service, waits, one.where),
        "labels": {**one.labels, ROLE: "app", POD: host.name},
    }


def _check(one: _Read, services: Mapping[str, Document]) -> None:
    """Raises BadCompose for what cannot be a pod."""
    name, service, where = one.name, one.service, one.where
    for other in _members(name):
        if other in services:
            raise BadCompose(f"{where}: its pod needs the name {other}, which another service has; rename that one.")
    if "extends" in service:
        raise BadCompose(f"{where}.extends: write the service out; `docker compose config` prints it so.")
    if str(service.get("user", "")).split(":", 1)[0] == str(PROXY_UID):
        raise BadCompose(
            f"{where}.user: {PROXY_UID} is the sidecar's own user, whose traffic is not captured; choose another."
        )
    deploy = service.get("deploy")
    copies = service.get("scale", deploy.get("replicas") if isinstance(deploy, dict) else None)
    if copies not in (None, 1, "1"):
        raise BadCompose(
            f"{where}: {copies} copies would share one network namespace; write a service for each, "
            f"{name}-2 and so on, with the same labels."
        )


def _members(name: str) -> tuple[str, str, str]:
    return f"{name}-pod", f"{name}-init", f"{name}-proxy"


def _pod(one: _Read, choices: Choices, captured: Collection[str]) -> dict[str, tuple[Document, str]]:
    """The four services of one pod, each with its comment, in the order in which they start."""
    name, service, settings, where = one.name, dict(one.service), one.settings, one.where
    pod, init, proxy = _members(name)
    labels = {"app": name, **one.labels}
    common: Document = {"profiles": service["profiles"]} if "profiles" in service else {}
    shared = {**common, "network_mode": f"service:{pod}"}
    owner: Document = {"image": f"{IMAGE_PREFIX}base", "command": ["pause"], **common}
    owner |= {key: service.pop(key) for key in OF_THE_NETWORK if key in service}
    if "links" in owner:
        owner["links"] = links_to_pods(owner["links"], captured, f"{where}.links")
    owner["networks"] = networks_of(owner.get("networks"), name, f"{where}.networks")
    owner |= {"restart": "unless-stopped", "labels": {**labels, ROLE: "pod", POD: name}}
    made = {pod: (owner, f"{name}: a pod. This container owns its network, its names and its labels.")}
    waits = {}
    if settings.needs_init:
        made[init] = (_init(shared, settings, name), "Writes the rules that lead the traffic through the sidecar.")
        waits[init] = "service_completed_successfully"
    made[proxy] = (_proxy(shared, settings, labels, name, choices), "The sidecar.")
    if settings.hold_application_until_proxy_starts:
        waits[proxy] = "service_healthy"
    service.pop("labels", None)
    app = {**service, "network_mode": f"service:{pod}", "depends_on": waits_for(service, waits, where)}
    app = {"restart": "unless-stopped", **app, "labels": {ROLE: "app", POD: name}}
    made[name] = ({key: app[key] for key in (*service, *app) if app[key] != {}}, "The app.")
    return made


def _init(shared: Document, settings: InjectionSettings, name: str) -> Document:
    return {
        "image": f"{IMAGE_PREFIX}planes",
        "command": ["python", "-m", "sidecar.agent.interception", *settings.init_arguments()],
        **shared,
        "user": "root",
        "cap_drop": ["ALL"],
        "cap_add": ["NET_ADMIN", "NET_RAW"],
        "restart": "no",
        "labels": {ROLE: "init", POD: name},
    }


def _proxy(
    shared: Document, settings: InjectionSettings, labels: Mapping[str, str], name: str, choices: Choices
) -> Document:
    fixed = choices.proxy or choices.proxy_for.get(name) or PROXY_KIND in labels
    kind = settings.proxy if fixed else PROXY_SWITCH
    arguments = proxy_arguments(
        settings,
        workload=labels.get("lugsail.io/workload") or name,
        namespace=labels.get("lugsail.io/namespace") or "default",
        labels=workload_labels(labels),
        service_account=labels.get("lugsail.io/service-account") or "default",
        discovery=DISCOVERY,
        access_log_service=ACCESS_LOG_SERVICE,
    )
    arguments[arguments.index("--proxy") + 1] = kind
    waits = {"control-plane": {"condition": "service_started"}}
    if settings.needs_init:
        waits = {f"{name}-init": {"condition": "service_completed_successfully"}, **waits}
    hold = settings.hold_application_until_proxy_starts
    return {
        "image": settings.proxy_image or f"{IMAGE_PREFIX}{kind}",
        "command": ["python", "-m", "sidecar", *arguments],
        **shared,
        "user": f"{PROXY_UID}:{PROXY_UID}",
        "cap_drop": ["ALL"],
        "depends_on": waits,
        # An app that waits for its sidecar waits for the first check that passes.
        "healthcheck": health_check(15021, "/healthz/ready", interval_s=1 if hold else 5),
        "restart": "unless-stopped",
        "labels": {ROLE: "proxy", POD: name},
    }
