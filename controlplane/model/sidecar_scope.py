"""What one proxy may know: its Sidecar resource, or the default of everything that is exported to its namespace."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from controlplane.model.config import Config, labels_match, visible
from controlplane.model.names import host_within, hosts_match
from controlplane.model.service import Port, Service
from controlplane.model.virtual_service import VirtualServiceConfig
from lugsail.api.sidecar import IstioEgressListener, SidecarSpec

HTTP_PROXY = "HTTP_PROXY"

T = TypeVar("T")


class Keep(Protocol):
    """A memo: the result for the key, built when it is not known."""

    def __call__(self, key: Hashable, build: Callable[[], T], /) -> T: ...


def keep_nothing(_key: Hashable, build: Callable[[], T], /) -> T:
    """A memo that remembers nothing."""
    return build()


@dataclass(frozen=True, eq=False, slots=True)
class EgressListener:
    """One egress listener and what it imports. `spec` is None for the default of a proxy without a Sidecar."""

    spec: IstioEgressListener | None
    services: tuple[Service, ...]
    virtual_services: tuple[VirtualServiceConfig, ...]

    @property
    def port(self) -> int:
        """The port it opens; 0 for the listener of all other ports."""
        return self.spec.port.number if self.spec is not None and self.spec.port is not None else 0

    @property
    def protocol(self) -> str:
        return self.spec.port.protocol.upper() if self.spec is not None and self.spec.port is not None else ""


@dataclass(frozen=True, eq=False, slots=True)
class SidecarScope:
    """The proxy's view of the mesh. Identity as for Config: it stays while what it was made of does."""

    sidecar: Config[SidecarSpec] | None
    egress: tuple[EgressListener, ...]
    services: tuple[Service, ...]
    allow_any: bool
    _by_host: dict[str, Service] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_host", {service.host: service for service in self.services})

    def egress_for_port(self, port: int) -> EgressListener | None:
        """The listener whose routes are called `port`: the one on that port, else the one of all other ports."""
        named = next((listener for listener in self.egress if listener.port == port), None)
        return named or next((listener for listener in self.egress if listener.port == 0), None)

    def service(self, host: str) -> Service | None:
        return self._by_host.get(host)


def select_sidecar(
    sidecars: Iterable[Config[SidecarSpec]], namespace: str, labels: dict[str, str], root_namespace: str
) -> Config[SidecarSpec] | None:
    """The Sidecar of a workload: one that selects it, else its namespace's default, else the mesh's. Oldest first."""
    own_default: Config[SidecarSpec] | None = None
    mesh_default: Config[SidecarSpec] | None = None
    for config in sidecars:
        selector = config.spec.workload_selector
        if config.namespace == namespace:
            if selector is not None and selector.labels:
                if labels_match(selector.labels, labels):
                    return config
            else:
                own_default = own_default or config
        elif config.namespace == root_namespace and (selector is None or not selector.labels):
            mesh_default = mesh_default or config
    return own_default or mesh_default


def build_scope(
    sidecar: Config[SidecarSpec] | None,
    namespace: str,
    services: tuple[Service, ...],
    virtual_services: tuple[VirtualServiceConfig, ...],
    mesh_allow_any: bool,
    keep: Keep = keep_nothing,
) -> SidecarScope:
    """The scope of a proxy of `namespace` with that Sidecar. Services and VirtualServices come oldest first.

    `keep`: Sidecars that differ by workload and import the same share what they import.
    """
    services = tuple(s for s in services if visible(s.export_to, s.namespace, namespace))
    virtual_services = tuple(
        v
        for v in virtual_services
        if v.for_mesh and visible(v.config.spec.export_to, v.namespace, namespace)
    )
    allow_any = mesh_allow_any
    if sidecar is not None and sidecar.spec.outbound_traffic_policy is not None:
        allow_any = sidecar.spec.outbound_traffic_policy.mode == "ALLOW_ANY"
    if sidecar is None or not sidecar.spec.egress:
        listener = EgressListener(None, _one_per_host(services, namespace), virtual_services)
        return SidecarScope(sidecar, (listener,), listener.services, allow_any)
    egress = tuple(
        _import(listener, namespace, services, virtual_services, keep) for listener in sidecar.spec.egress
    )
    imports = tuple((listener.services, listener.virtual_services) for listener in egress)
    known = keep(("union", imports, services, namespace), lambda: _union(egress, services, namespace))
    return SidecarScope(sidecar, egress, known, allow_any)


def _one_per_host(services: Iterable[Service], namespace: str) -> tuple[Service, ...]:
    """Of several services for one host, the one of the proxy's own namespace, else the oldest."""
    chosen: dict[str, Service] = {}
    for service in services:
        known = chosen.get(service.host)
        if known is None or (known.namespace != namespace and service.namespace == namespace):
            chosen[service.host] = service
    return tuple(chosen.values())


def _import(
    spec: IstioEgressListener,
    namespace: str,
    services: tuple[Service, ...],
    virtual_services: tuple[VirtualServiceConfig, ...],
    keep: Keep,
) -> EgressListener:
    hosts = tuple(spec.hosts)
    picked, imported = keep(
        ("picked", hosts, namespace, services, virtual_services),
        lambda: _pick(hosts, namespace, services, virtual_services),
    )
    shown = tuple(shown for service in picked if (shown := _matching_ports(service, spec)) is not None)
    return EgressListener(spec, shown, imported)


def _pick(
    hosts: tuple[str, ...],
    namespace: str,
    services: tuple[Service, ...],
    virtual_services: tuple[VirtualServiceConfig, ...],
) -> tuple[tuple[Service, ...], tuple[VirtualServiceConfig, ...]]:
    """What `hosts` of an egress listener (`namespace/dnsName`) picks."""
    wanted: list[tuple[str, str]] = []
    for host in hosts:
        where, _, pattern = host.partition("/")
        wanted.append((namespace if where == "." else where, pattern.lower()))
    picked = [
        s
        for s in services
        if any(_in_namespace(where, s.namespace) and host_within(s.host, pattern) for where, pattern in wanted)
    ]
    imported = tuple(
        v
        for v in virtual_services
        if any(
            _in_namespace(where, v.namespace) and any(hosts_match(host, pattern) for host in v.hosts)
            for where, pattern in wanted
        )
    )
    return _one_per_host(picked, namespace), imported


def _in_namespace(wanted: str, namespace: str) -> bool:
    return wanted == "*" or wanted == namespace


def _matching_ports(service: Service, spec: IstioEgressListener) -> Service | None:
    """A listener with a port shows only that port of a service, or its only port whatever the number."""
    if spec.port is None or spec.port.number == 0 or spec.port.protocol.upper() == HTTP_PROXY:
        return service
    port = service.port(spec.port.number)
    if port is not None:
        return service.with_ports((port,))
    return service if len(service.ports) == 1 else None


def _union(
    egress: tuple[EgressListener, ...], all_services: tuple[Service, ...], namespace: str
) -> tuple[Service, ...]:
    """Every imported service with all of its imported ports, and those that imported VirtualServices send to."""
    ports: dict[str, list[Port]] = {}
    chosen: dict[str, Service] = {}
    for listener in egress:
        for service in listener.services:
            chosen.setdefault(service.host, service)
            known = ports.setdefault(service.host, [])
            known.extend(port for port in service.ports if port not in known)
    merged = {host: service.with_ports(tuple(ports[host])) for host, service in chosen.items()}
    by_host = {s.host: s for s in _one_per_host(all_services, namespace)}
    for listener in egress:
        for virtual_service in listener.virtual_services:
            for host, _destination in virtual_service.destinations():
                if host not in merged and host in by_host:
                    merged[host] = by_host[host]
    return tuple(merged.values())
