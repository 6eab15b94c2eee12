"""A gateway's route configurations: VirtualServices of one host merge here, oldest first."""

from typing import Any

from controlplane.model.destination_rule import MergedRule
from controlplane.model.names import virtual_host_name
from controlplane.model.service import Service
from controlplane.model.virtual_service import VirtualServiceConfig
from controlplane.translate.built import BuiltResource, built
from controlplane.translate.gateway import (
    GatewayServer,
    hosts_in_common,
    merged_servers,
    specificity,
    virtual_services_for,
)
from controlplane.translate.route import route_configuration, routes_of, virtual_host
from controlplane.translate.route_action import RouteContext, has_hash
from controlplane.translate.route_match import is_catch_all
from controlplane.translate.view import View

REQUIRE_TLS_ALL = 2  # VirtualHost.TlsRequirementType.ALL


class _Host:
    """A virtual host while VirtualServices are merged into it. `groups` are shared lists of routes."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.groups: list[tuple[Any, ...]] = []
        self.redirects = False


def gateway_route(view: View, name: str) -> BuiltResource | None:
    """The named route configuration, or None when no server of the proxy has it."""
    servers = [server for server in merged_servers(view) if server.route_name == name]
    if not servers:
        return None
    bound = {server.gateway: virtual_services_for(view, server.gateway) for server in servers}
    virtual_services = {v: None for found in bound.values() for v in found}
    services = _services(view, virtual_services)
    rules = {host: rule for host, s in services.items() if has_hash(rule := view.rule(s)) and rule is not None}
    labels = view.relevant_labels(key for v in virtual_services for key in v.source_label_keys)
    key = (
        "gateway-rds",
        name,
        tuple(servers),
        tuple((gateway, found) for gateway, found in bound.items()),
        tuple(services.items()),
        tuple(rules.items()),
        labels,
        view.proxy.namespace,
        view.mesh,
    )
    return view.memo.get(key, lambda: _build(view, name, servers, bound, services, dict(rules)))


def _services(view: View, virtual_services: dict[VirtualServiceConfig, None]) -> dict[str, Service]:
    """The services that the routes send to: of the VirtualService's own namespace when there are several."""
    out: dict[str, Service] = {}
    for virtual_service in virtual_services:
        for host, _ in virtual_service.destinations():
            candidates = view.snapshot.services_for_host(host)
            own = next((s for s in candidates if s.namespace == virtual_service.namespace), None)
            service = own or view.service(host)
            if service is not None:
                out.setdefault(host, service)
    return out


def _build(
    view: View,
    name: str,
    servers: list[GatewayServer],
    bound: dict[str, tuple[VirtualServiceConfig, ...]],
    services: dict[str, Service],
    rules: dict[str, MergedRule | None],
) -> BuiltResource:
    hosts: dict[str, _Host] = {}
    made: dict[tuple[str, VirtualServiceConfig], tuple[Any, ...]] = {}
    for server in servers:
        redirects = server.server.tls is not None and server.server.tls.https_redirect
        for virtual_service in bound[server.gateway]:
            common = hosts_in_common(server, virtual_service)
            if not common:
                continue
            key = (server.gateway, virtual_service)
            if key not in made:
                context = RouteContext(view.mesh, server.port, services, rules, tls=server.terminates)
                made[key] = tuple(
                    routes_of(
                        virtual_service, context, server.gateway, view.proxy.label_map, view.proxy.namespace
                    )
                )
            if not made[key]:
                continue
            for host in common:
                entry = hosts.setdefault(host, _Host(server.port))
                entry.groups.append(made[key])
                entry.redirects = entry.redirects or redirects
        if redirects:
            for host in server.hosts:
                hosts.setdefault(host.rpartition("/")[2], _Host(server.port)).redirects = True
    if not hosts:
        blackhole = virtual_host(virtual_host_name("blackhole", servers[0].port), ["*"], [])
        blackhole.include_request_attempt_count = False
        return built(name, route_configuration(name, [blackhole]))
    return built(name, route_configuration(name, _virtual_hosts(hosts)))


def _virtual_hosts(hosts: dict[str, _Host]) -> list[Any]:
    """Hosts with the very same routes share one virtual host, called after the most specific of them."""
    collapsed: dict[tuple[Any, ...], tuple[str, list[str], _Host]] = {}
    for host in sorted(hosts, key=specificity):
        entry = hosts[host]
        key = (tuple(id(group) for group in entry.groups), entry.redirects)
        if entry.groups and key in collapsed:
            collapsed[key][1].append(host)
        else:
            collapsed[key if entry.groups else (host,)] = (host, [host], entry)
    out = []
    for first, domains, entry in collapsed.values():
        routes = [route for group in entry.groups for route in group]
        ordered = [r for r in routes if not is_catch_all(r.match)] + [r for r in routes if is_catch_all(r.match)]
        made = virtual_host(virtual_host_name(first, entry.port), domains, ordered)
        if entry.redirects:
            made.require_tls = REQUIRE_TLS_ALL
        out.append(made)
    return sorted(out, key=lambda made: str(made.name))
