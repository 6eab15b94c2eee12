"""A sidecar's outbound route configurations: the services of a port, and what VirtualServices make of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from controlplane.model.destination_rule import MergedRule
from controlplane.model.mesh_snapshot import Conflict
from controlplane.model.names import (
    MESH_GATEWAY,
    alternative_domains,
    bracketed,
    host_within,
    hosts_match,
    is_wildcard,
    virtual_host_name,
)
from controlplane.model.service import Service
from controlplane.model.sidecar_scope import HTTP_PROXY, EgressListener
from controlplane.model.virtual_service import VirtualServiceConfig
from controlplane.translate.built import BuiltResource, built
from controlplane.translate.route import (
    catch_all_virtual_host,
    route_configuration,
    routes_of,
    service_route,
    virtual_host,
)
from controlplane.translate.route_action import RouteContext, has_hash
from controlplane.translate.view import View
from lugsail.api.base import ResourceKey

DEFAULT_HTTP_PORT = 80
_Result = tuple[BuiltResource, tuple[Conflict, ...]]


@dataclass(frozen=True, slots=True)
class _Group:
    """The virtual hosts that share routes on one port: of a VirtualService, or of one service without any."""

    port: int
    virtual_service: VirtualServiceConfig | None
    services: tuple[Service, ...]
    hosts: tuple[str, ...]  # hosts of the VirtualService that are no services
    routes: tuple[Any, ...]

    @property
    def key(self) -> ResourceKey:
        """The resource that it comes from."""
        return self.virtual_service.config.key if self.virtual_service is not None else self.services[0].config.key


def sidecar_route(view: View, name: str) -> BuiltResource | None:
    """The named route configuration (`9080`), or None when no egress listener has that port."""
    if not name.isdigit():
        return None
    listener = view.scope.egress_for_port(int(name))
    if listener is None:
        return None
    rules = _rules(view, listener)
    keys: set[str] = set()
    asks_namespace = False
    for virtual_service in listener.virtual_services:
        keys |= virtual_service.source_label_keys
        asks_namespace = asks_namespace or virtual_service.asks_namespace
    key = (
        "rds",
        name,
        listener.protocol == HTTP_PROXY,
        listener.services,
        listener.virtual_services,
        view.scope.allow_any,
        view.proxy.namespace,
        view.proxy.captures_dns,
        view.relevant_labels(keys),
        tuple(rules.items()),
        view.mesh,
    )
    result, conflicts = view.memo.get(key, lambda: _build(view, name, listener, rules))
    view.conflicts.extend(conflicts)
    return result


def _rules(view: View, listener: EgressListener) -> dict[str, MergedRule]:
    """The DestinationRules that routes depend on: those that balance by hash."""
    hosts = {service.host for service in listener.services}
    for virtual_service in listener.virtual_services:
        hosts.update(host for host, _ in virtual_service.destinations())
    found = ((host, view.rule_for_host(host)) for host in sorted(hosts))
    return {host: rule for host, rule in found if rule is not None and has_hash(rule)}


def _build(view: View, name: str, listener: EgressListener, rules: dict[str, MergedRule]) -> _Result:
    proxied = listener.protocol == HTTP_PROXY
    port = 0 if proxied else int(name)
    services = _services_on(listener.services, port)
    conflicts: list[Conflict] = []
    groups = _virtual_service_groups(view, listener, services, rules, port)
    taken = {service.host for group in groups for service in group.services}
    for service in services.values():
        if service.host not in taken:
            groups += [
                _Group(p.number, None, (service,), (), (service_route(view, service, p),))
                for p in service.ports
                if p.is_http
            ]
    hosts = _virtual_hosts(view, groups, proxied, conflicts)
    hosts.sort(key=lambda host: str(host.name))
    hosts.append(catch_all_virtual_host(view.scope.allow_any))
    # Envoy strips the port before it looks at domains when told to ignore it, which would make the `host:port`
    # domains of an HTTP proxy listener unreachable.
    return built(name, route_configuration(name, hosts, ignore_port=not proxied)), tuple(conflicts)


def _services_on(services: Iterable[Service], port: int) -> dict[str, Service]:
    """Services by host, showing only that port; for an HTTP proxy (port 0) all their ports."""
    out: dict[str, Service] = {}
    for service in services:
        if port == 0:
            out[service.host] = service
            continue
        found = service.port(port)
        if found is not None:
            out[service.host] = service.with_ports((found,))
    return out


def _virtual_service_groups(
    view: View,
    listener: EgressListener,
    services: dict[str, Service],
    rules: dict[str, MergedRule],
    port: int,
) -> list[_Group]:
    owners = _wildcard_owners(listener.virtual_services, services)
    out: list[_Group] = []
    claimed: set[tuple[str, int]] = set()
    for virtual_service in listener.virtual_services:
        hosts, matched = _split_hosts(virtual_service, services, owners)
        if port != DEFAULT_HTTP_PORT and not matched:
            continue
        by_port: dict[int, list[Service]] = {}
        for service in matched:
            for service_port in service.ports:
                if service_port.is_http:
                    by_port.setdefault(service_port.number, []).append(service)
        if not by_port and port == DEFAULT_HTTP_PORT:
            by_port[DEFAULT_HTTP_PORT] = []
        for number, members in sorted(by_port.items()):
            # As in Istio, only services of the called port are known here: a destination without a port that is
            # not among them is called on that same port.
            context = RouteContext(view.mesh, number, services, dict(rules))
            routes = routes_of(
                virtual_service, context, MESH_GATEWAY, view.proxy.label_map, view.proxy.namespace
            )
            if routes:
                out.append(_Group(number, virtual_service, tuple(members), hosts, tuple(routes)))
                claimed.update((member.host, number) for member in members)
    return _with_unclaimed_ports(view, out, services, claimed)


def _with_unclaimed_ports(
    view: View, groups: list[_Group], services: dict[str, Service], claimed: set[tuple[str, int]]
) -> list[_Group]:
    """Ports of a service whose VirtualService has no rule for them keep their default route."""
    hosts = {host for host, _ in claimed}
    for host in sorted(hosts & services.keys()):
        service = services[host]
        groups += [
            _Group(p.number, None, (service,), (), (service_route(view, service, p),))
            for p in service.ports
            if p.is_http and (host, p.number) not in claimed
        ]
    return groups


def _wildcard_owners(
    virtual_services: Iterable[VirtualServiceConfig], services: dict[str, Service]
) -> dict[str, VirtualServiceConfig]:
    """For each service that only wildcard hosts cover, the VirtualService with the longest of them (oldest first)."""
    out: dict[str, tuple[int, VirtualServiceConfig]] = {}
    for virtual_service in virtual_services:
        for pattern in virtual_service.hosts:
            if not is_wildcard(pattern):
                continue
            for host in services:
                if host_within(host, pattern) and (host not in out or len(pattern) > out[host][0]):
                    out[host] = (len(pattern), virtual_service)
    exact = {host for virtual_service in virtual_services for host in virtual_service.hosts}
    return {host: owner for host, (_, owner) in out.items() if host not in exact}


def _split_hosts(
    virtual_service: VirtualServiceConfig, services: dict[str, Service], owners: dict[str, VirtualServiceConfig]
) -> tuple[tuple[str, ...], list[Service]]:
    """The hosts of a VirtualService that are no services, and the services that it is for."""
    others: list[str] = []
    matched: list[Service] = []
    for host in virtual_service.hosts:
        if host in services:
            matched.append(services[host])
        elif not is_wildcard(host):
            others.append(host)
        elif any(hosts_match(host, known) for known in services):
            matched += [s for name, s in services.items() if owners.get(name) is virtual_service and s not in matched]
        else:
            others.append(host)
    return tuple(others), matched


def _virtual_hosts(view: View, groups: list[_Group], proxied: bool, conflicts: list[Conflict]) -> list[Any]:
    """Virtual hosts in order of precedence; a name or domain that an earlier one has is left to it."""
    fqdns = {service.host for group in groups for service in group.services}
    names: dict[str, _Group] = {}
    domains: dict[str, _Group] = {}
    out: list[Any] = []
    for group in groups:
        members: list[tuple[str, Service | None]] = [(host, None) for host in group.hosts]
        members += [(service.host, service) for service in group.services]
        for host, service in members:
            name = virtual_host_name(host, group.port)
            wanted = _domains(view, host, service, group.port, proxied, fqdns)
            free = [domain for domain in wanted if domain not in domains]
            if name in names or not free:
                winner = names.get(name) or domains[wanted[0]]
                conflicts.append(
                    Conflict(group.key, f"host {host} is already routed by {winner.key}; the oldest wins")
                )
                continue
            names[name] = group
            domains.update(dict.fromkeys(free, group))
            out.append(virtual_host(name, free, list(group.routes)))
    return out


def _domains(
    view: View, host: str, service: Service | None, port: int, proxied: bool, fqdns: set[str]
) -> list[str]:
    """The domains of a host: all the names by which a client in the proxy's namespace may call it."""
    names = [bracketed(host)]
    if service is not None:
        names.append(f"{host}.")
        short = alternative_domains(host, view.proxy.namespace, view.mesh.domain_suffix)
        names += [name for name in short if name not in fqdns]
        names += [bracketed(address) for address in service.addresses_for(view.proxy) if "/" not in address]
    if not proxied:
        return names
    with_port = [f"{name}:{port}" for name in names]
    return names + with_port if port == DEFAULT_HTTP_PORT else with_port


