"""The name table (NDS): what the agent of a proxy answers its workload's DNS queries from.

One resource per proxy: every host of its scope with the addresses by which it is reached. Short forms of a mesh
service's name (`reviews`, `reviews.default`, `reviews.default.svc`) are the agent's business, as in Istio: the entry
says service and namespace. Source: Istio's pkg/dns/server/name_table.go.
"""

from controlplane.model.endpoint import Endpoint
from controlplane.model.mesh_snapshot import MeshSnapshot
from controlplane.model.names import is_ip
from controlplane.model.service import Service
from controlplane.translate.built import BuiltResource, built
from controlplane.translate.name_table_proto import NameTable
from controlplane.translate.view import View

RESOURCE_NAME = "name-table"

# Registries in Istio's words: agents make short names of the first kind only.
_KUBERNETES, _EXTERNAL = "Kubernetes", "External"


def name_tables(view: View) -> dict[str, BuiltResource]:
    """The proxy's name table, under its only name. Endpoints count only where a service has no address."""
    services = view.scope.services
    headless = tuple(view.snapshot.endpoints_for(s) if is_headless(s) else () for s in services)
    key = ("nds", services, headless, view.proxy.captures_dns, view.mesh.domain_suffix)
    return {RESOURCE_NAME: view.memo.get(key, lambda: _build(view, services, headless))}


def is_headless(service: Service) -> bool:
    """Whether its clients call the endpoints themselves: no address is, or can be made, its own."""
    return not service.addresses and not service.automatic_address


def names_differ(before: MeshSnapshot, after: MeshSnapshot) -> bool:
    """Whether a name table can differ by services, or by those endpoints that stand in one."""
    if before.services != after.services:
        return True
    return before.endpoints != after.endpoints and any(
        is_headless(s) and before.endpoints_for(s) != after.endpoints_for(s) for s in after.services
    )


def _build(view: View, services: tuple[Service, ...], headless: tuple[tuple[Endpoint, ...], ...]) -> BuiltResource:
    message = NameTable()
    for service, endpoints in zip(services, headless, strict=True):
        addresses = service.addresses_for(view.proxy) or tuple(e.address for e in endpoints)
        # Networks and DNS names are nothing that a name can be answered with.
        ips = tuple(dict.fromkeys(address for address in addresses if is_ip(address)))
        if not ips:
            continue
        info = message.table[service.host]
        info.ips.extend(ips)
        name = _cluster_name(service.host, view.mesh.domain_suffix)
        info.registry = _KUBERNETES if name else _EXTERNAL
        if name:
            info.shortname, info.namespace = name
    return built(RESOURCE_NAME, message)


def _cluster_name(host: str, domain_suffix: str) -> tuple[str, str] | None:
    """Service and namespace of `name.namespace.svc.<suffix>`; None for any other host."""
    stem = host.removesuffix(f".svc.{domain_suffix}")
    name, _, namespace = stem.partition(".")
    if stem == host or not name or not namespace or "." in namespace or "*" in name:
        return None
    return name, namespace
