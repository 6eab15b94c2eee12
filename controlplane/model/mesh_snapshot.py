"""The mesh at one moment: immutable, with the indexes that translation needs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from controlplane.model.auto_addresses import address_key, allocate
from controlplane.model.config import Config
from controlplane.model.destination_rule import DestinationRules
from controlplane.model.endpoint import Endpoint, endpoints_of, is_healthy, workload_endpoint
from controlplane.model.mesh_config import MeshConfig
from controlplane.model.names import hosts_match
from controlplane.model.proxy import Proxy
from controlplane.model.service import Service, services_of
from controlplane.model.virtual_service import VirtualServiceConfig, prepare
from lugsail.api.base import ApiModel, Resource, ResourceKey
from lugsail.api.envoy_filter import EnvoyFilterSpec
from lugsail.api.gateway import GatewaySpec
from lugsail.api.service_entry import ServiceEntrySpec
from lugsail.api.sidecar import SidecarSpec
from lugsail.api.telemetry import TelemetrySpec
from lugsail.api.virtual_service import VirtualServiceSpec
from lugsail.api.workload_entry import WorkloadEntrySpec

S = TypeVar("S", bound=ApiModel)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Something in a valid resource that cannot take effect, and why."""

    key: ResourceKey
    message: str

    def __str__(self) -> str:
        return f"{self.key}: {self.message}"


@dataclass(frozen=True, slots=True)
class Instance:
    """A workload as a member of one service, whether or not it takes traffic now."""

    service: Service
    endpoint: Endpoint


@dataclass(frozen=True, eq=False)
class MeshSnapshot:
    """Everything oldest first. Parts that did not change are the same objects as in the snapshot before."""

    mesh: MeshConfig
    configs: Mapping[ResourceKey, Config[Any]]
    services: tuple[Service, ...]
    workloads: tuple[Config[WorkloadEntrySpec], ...]
    endpoints: Mapping[tuple[str, str], tuple[Endpoint, ...]]  # Service.key -> its endpoints
    virtual_services: tuple[VirtualServiceConfig, ...]
    destination_rules: DestinationRules
    gateways: tuple[Config[GatewaySpec], ...]
    sidecars: tuple[Config[SidecarSpec], ...]
    envoy_filters: tuple[Config[EnvoyFilterSpec], ...]
    telemetries: tuple[Config[TelemetrySpec], ...]
    warnings: tuple[Conflict, ...]
    _by_workload: Mapping[str, tuple[Instance, ...]] = field(repr=False, default_factory=dict)
    _by_address: Mapping[str, tuple[Instance, ...]] = field(repr=False, default_factory=dict)
    _by_host: Mapping[str, tuple[Service, ...]] = field(repr=False, default_factory=dict)

    def instances_of(self, proxy: Proxy) -> tuple[Instance, ...]:
        """What the proxy's workload is a member of.

        The WorkloadEntry of the proxy's name and namespace says so, and only without one the proxy's addresses: a
        container may get a new address under a living proxy, and another one its old address.
        """
        named = self._by_workload.get(proxy.id, ())
        addresses = dict.fromkeys(i.endpoint.address for i in named) or proxy.addresses
        there = (instance for address in addresses for instance in self._by_address.get(address, ()))
        return tuple(dict.fromkeys((*named, *there)))

    def services_of(self, proxy: Proxy) -> tuple[Service, ...]:
        """The services that the proxy's workload is a member of."""
        return tuple(dict.fromkeys(instance.service for instance in self.instances_of(proxy)))

    def locality_of(self, proxy: Proxy) -> str:
        """The locality that the registry gives the proxy's workload, "" when it gives none."""
        localities = (instance.endpoint.locality for instance in self.instances_of(proxy))
        return next(filter(None, localities), "")

    def services_for_host(self, host: str) -> tuple[Service, ...]:
        """The services of that host, one for each namespace that declares it."""
        return self._by_host.get(host, ())

    def endpoints_for(self, service: Service) -> tuple[Endpoint, ...]:
        return self.endpoints.get(service.key, ())


def build_snapshot(
    resources: Iterable[Resource],
    registry: Iterable[Resource] = (),
    mesh_config: MeshConfig | None = None,
    previous: MeshSnapshot | None = None,
) -> MeshSnapshot:
    """The snapshot of applied resources and of what the registry's sources emit (ServiceEntry, WorkloadEntry).

    A resource that is in both counts as applied. `previous` lets unchanged parts keep their identity, so that
    whatever was derived from them stays valid.
    """
    mesh = mesh_config or (previous.mesh if previous is not None else MeshConfig())
    configs = _configs(resources, registry, previous)
    by_kind: dict[str, list[Config[Any]]] = {}
    for config in sorted(configs.values(), key=lambda c: c.age_order):
        by_kind.setdefault(config.key.kind, []).append(config)
    warnings: list[Conflict] = []
    services = _same(
        _services(by_kind.get("ServiceEntry", []), previous, warnings), previous.services if previous else None
    )
    workloads = _same(tuple(by_kind.get("WorkloadEntry", ())), previous.workloads if previous else None)
    virtual_services = _virtual_services(by_kind.get("VirtualService", []), previous, warnings)
    rules = DestinationRules(
        by_kind.get("DestinationRule", []),
        mesh.root_namespace,
        previous.destination_rules.merged if previous is not None else None,
    )
    _warn_unmatched_rules(rules, services, warnings)
    warnings.extend(Conflict(config.key, problem) for config, problem in rules.overlaps())
    if previous is not None and services is previous.services and workloads is previous.workloads:
        endpoints, by_host = previous.endpoints, previous._by_host
        by_workload, by_address = previous._by_workload, previous._by_address
    else:
        endpoints, by_host = _endpoints(services, workloads, previous), _index_hosts(services)
        by_workload, by_address = _index_instances(services, endpoints, workloads)
    return MeshSnapshot(
        mesh=mesh,
        configs=configs,
        services=services,
        workloads=workloads,
        endpoints=endpoints,
        virtual_services=_same(virtual_services, previous.virtual_services if previous else None),
        destination_rules=rules,
        gateways=_same(tuple(by_kind.get("Gateway", ())), previous.gateways if previous else None),
        sidecars=_same(tuple(by_kind.get("Sidecar", ())), previous.sidecars if previous else None),
        envoy_filters=_same(
            tuple(sorted(by_kind.get("EnvoyFilter", ()), key=lambda c: (c.spec.priority, c.age_order))),
            previous.envoy_filters if previous else None,
        ),
        telemetries=_same(tuple(by_kind.get("Telemetry", ())), previous.telemetries if previous else None),
        warnings=tuple(warnings),
        _by_workload=by_workload,
        _by_address=by_address,
        _by_host=by_host,
    )


def _same(new: tuple[Any, ...], old: tuple[Any, ...] | None) -> tuple[Any, ...]:
    return old if old is not None and old == new else new


def _configs(
    resources: Iterable[Resource], registry: Iterable[Resource], previous: MeshSnapshot | None
) -> dict[ResourceKey, Config[Any]]:
    out: dict[ResourceKey, Config[Any]] = {}
    for resource in (*registry, *resources):
        key = resource.key
        old = previous.configs.get(key) if previous is not None else None
        if old is not None and (old.resource is resource or _same_meaning(old.resource, resource)):
            out[key] = old
        else:
            out[key] = Config(key, resource.metadata.creation_timestamp, resource.spec, resource)
    return out


def _same_meaning(old: Resource, new: Resource) -> bool:
    """Whether nothing differs that translation reads (resourceVersion and generation are not)."""
    return (
        old.spec == new.spec
        and old.api_version == new.api_version
        and old.metadata.labels == new.metadata.labels
        and old.metadata.annotations == new.metadata.annotations
        and old.metadata.creation_timestamp == new.metadata.creation_timestamp
        and old.status == new.status
    )


def _services(
    entries: list[Config[ServiceEntrySpec]], previous: MeshSnapshot | None, warnings: list[Conflict]
) -> tuple[Service, ...]:
    known: dict[tuple[str, int], Service] = {}
    if previous is not None:
        known = {(service.host, id(service.config)): service for service in previous.services}
    out: dict[tuple[str, str], Service] = {}
    for config in entries:
        for service in services_of(config):
            if service.key in out:
                warnings.append(
                    Conflict(config.key, f"host {service.host} is already declared by {out[service.key].config.key}")
                )
                continue
            out[service.key] = known.get((service.host, id(config)), service)
    return _with_automatic_addresses(
        tuple(sorted(out.values(), key=lambda s: (s.config.created, s.host, s.namespace)))
    )


def _with_automatic_addresses(services: tuple[Service, ...]) -> tuple[Service, ...]:
    """Oldest first, so that a new service never takes the address of one that was there before."""
    wanting = [address_key(s.namespace, s.host) for s in services if s.wants_automatic_address]
    found = allocate(wanting, {address for service in services for address in service.addresses})
    return tuple(s.with_automatic_address(found.get(address_key(s.namespace, s.host), "")) for s in services)


def _endpoints(
    services: tuple[Service, ...], workloads: tuple[Config[WorkloadEntrySpec], ...], previous: MeshSnapshot | None
) -> dict[tuple[str, str], tuple[Endpoint, ...]]:
    out: dict[tuple[str, str], tuple[Endpoint, ...]] = {}
    for service in services:
        new = endpoints_of(service, workloads)
        out[service.key] = _same(new, previous.endpoints.get(service.key) if previous is not None else None)
    return out


def _virtual_services(
    configs: list[Config[VirtualServiceSpec]], previous: MeshSnapshot | None, warnings: list[Conflict]
) -> tuple[VirtualServiceConfig, ...]:
    delegates = {(c.namespace, c.name): c for c in configs if not c.spec.hosts}
    known = {v.sources: v for v in previous.virtual_services} if previous is not None else {}
    out: list[VirtualServiceConfig] = []
    for config in configs:
        if not config.spec.hosts:
            continue
        prepared, problems = prepare(config, delegates)
        warnings.extend(Conflict(config.key, problem) for problem in problems)
        out.append(known.get(prepared.sources, prepared))
    return tuple(out)


def _warn_unmatched_rules(
    rules: DestinationRules, services: tuple[Service, ...], warnings: list[Conflict]
) -> None:
    for config, host in rules.hosts():
        if not any(hosts_match(host, service.host) for service in services):
            warnings.append(Conflict(config.key, f"host: no service is called {host}; the rule has no effect"))


def _index_instances(
    services: tuple[Service, ...],
    endpoints: Mapping[tuple[str, str], tuple[Endpoint, ...]],
    workloads: Iterable[Config[WorkloadEntrySpec]],
) -> tuple[dict[str, tuple[Instance, ...]], dict[str, tuple[Instance, ...]]]:
    """Instances by `workload.namespace` and by address; those that take no traffic now are among them."""
    by_workload: dict[str, list[Instance]] = {}
    by_address: dict[str, list[Instance]] = {}
    unhealthy = [workload for workload in workloads if not is_healthy(workload)]
    for service in services:
        resting = (e for e in (workload_endpoint(service, w) for w in unhealthy) if e is not None)
        for endpoint in (*endpoints[service.key], *resting):
            instance = Instance(service, endpoint)
            by_address.setdefault(endpoint.address, []).append(instance)
            if service.config.spec.workload_selector is not None:
                by_workload.setdefault(f"{endpoint.workload}.{endpoint.namespace}", []).append(instance)
    return _frozen(by_workload), _frozen(by_address)


def _frozen(index: Mapping[str, list[Instance]]) -> dict[str, tuple[Instance, ...]]:
    return {key: tuple(found) for key, found in index.items()}


def _index_hosts(services: tuple[Service, ...]) -> dict[str, tuple[Service, ...]]:
    index: dict[str, list[Service]] = {}
    for service in services:
        index.setdefault(service.host, []).append(service)
    return {host: tuple(found) for host, found in index.items()}
