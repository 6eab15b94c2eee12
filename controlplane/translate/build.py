"""The translator: xDS resources of one type for one proxy, from a snapshot, with everything shared that can be."""

from collections.abc import Iterable, Mapping

from controlplane.model.mesh_snapshot import Conflict, MeshSnapshot
from controlplane.model.proxy import Proxy
from controlplane.model.virtual_service import VirtualServiceConfig
from controlplane.translate.built import BuiltResource, Memo, built
from controlplane.translate.cluster import clusters
from controlplane.translate.endpoint import load_assignments
from controlplane.translate.envoy_filter import patched
from controlplane.translate.gateway import merged_servers
from controlplane.translate.gateway_listener import gateway_listeners
from controlplane.translate.gateway_route import gateway_route
from controlplane.translate.inbound import inbound_listeners
from controlplane.translate.inbound_ports import inbound_ports
from controlplane.translate.listener import outbound_listeners
from controlplane.translate.name_table import name_tables
from controlplane.translate.protos import (
    CLUSTER_TYPE,
    ENDPOINT_TYPE,
    LISTENER_TYPE,
    NAME_TABLE_TYPE,
    ROUTE_TYPE,
    WORKLOAD_TYPE,
)
from controlplane.translate.sidecar_route import sidecar_route
from controlplane.translate.tracing import telemetry_services
from controlplane.translate.view import View, view_of
from controlplane.translate.workloads import workload_resources

# In the order in which they are pushed: clusters before what names them, names after what serves them.
TYPES = (CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE, NAME_TABLE_TYPE, WORKLOAD_TYPE)


class Translator:
    """Keeps what it built by the inputs it was built from, over proxies and snapshots. Not thread-safe."""

    def __init__(self, memo_limit: int = 20_000) -> None:
        """`memo_limit`: how many intermediate and finished resources to keep."""
        self.memo = Memo(memo_limit)
        self._conflicts: dict[tuple[Proxy, str], tuple[Conflict, ...]] = {}

    def build(
        self, snapshot: MeshSnapshot, proxy: Proxy, type_url: str, names: frozenset[str] | None
    ) -> Mapping[str, BuiltResource]:
        """The resources of a type by name. `names` None: all of them (not of routes and endpoints).

        For routes and endpoints only the named ones: an unknown route configuration is left out, the endpoints of an
        unknown cluster are an empty assignment. An unknown type has no resources.
        """
        view = view_of(snapshot, proxy, self.memo)
        out = self._build(view, type_url, names)
        if view.conflicts:
            self._conflicts[proxy, type_url] = tuple(dict.fromkeys(view.conflicts))
        else:
            self._conflicts.pop((proxy, type_url), None)
        return out

    def conflicts(self, proxy: Proxy) -> tuple[Conflict, ...]:
        """What could not take effect in this proxy's latest builds."""
        found = [conflict for type_url in TYPES for conflict in self._conflicts.get((proxy, type_url), ())]
        return tuple(dict.fromkeys(found))

    def forget(self, proxy: Proxy) -> None:
        """Drop what is kept for one proxy alone, when it has disconnected."""
        for type_url in TYPES:
            self._conflicts.pop((proxy, type_url), None)

    def _build(self, view: View, type_url: str, names: frozenset[str] | None) -> Mapping[str, BuiltResource]:
        if type_url == CLUSTER_TYPE:
            return _only(patched(view, type_url, clusters(view)), names)
        if type_url == LISTENER_TYPE:
            return _only(patched(view, type_url, listeners(view)), names)
        if type_url == ENDPOINT_TYPE:
            return load_assignments(view, names or ())
        if type_url == ROUTE_TYPE:
            return patched(view, type_url, route_configurations(view, names or ()))
        if type_url == NAME_TABLE_TYPE:
            return _only(name_tables(view), names)
        if type_url == WORKLOAD_TYPE:
            return _only(workload_resources(view), names)
        return {}


def _only(resources: dict[str, BuiltResource], names: frozenset[str] | None) -> dict[str, BuiltResource]:
    if names is None:
        return resources
    return {name: resource for name, resource in resources.items() if name in names}


def listeners(view: View) -> dict[str, BuiltResource]:
    """All listeners of the proxy."""
    l4 = tuple(v for v in view.snapshot.virtual_services if v.tcp or v.tls)
    conflicts: tuple[Conflict, ...]
    if view.proxy.is_router:
        key: tuple[object, ...] = ("lds", view.proxy, merged_servers(view), l4, view.snapshot.services, view.mesh)
    else:
        key = (
            "lds",
            view.proxy,
            view.scope.sidecar,
            tuple(listener.services for listener in view.scope.egress),
            inbound_ports(view),
            l4,
            view.scope.allow_any,
            view.mesh,
        )
    key += (_tcp_rules(view, l4), view.telemetry, telemetry_services(view))
    result, conflicts = view.memo.get(key, lambda: _build_listeners(view))
    view.conflicts.extend(conflicts)
    return result


def _tcp_rules(view: View, l4: tuple[VirtualServiceConfig, ...]) -> tuple[object, ...]:
    """DestinationRules of what TCP proxies forward to: some of their settings reach into the listener."""
    services = [s for s in view.scope.services if any(not port.is_http for port in s.ports)]
    rules = [view.rule(service) for service in services]
    rules += [view.rule_for_host(host) for virtual_service in l4 for host, _ in virtual_service.destinations()]
    return tuple(rules)


def _build_listeners(view: View) -> tuple[dict[str, BuiltResource], tuple[Conflict, ...]]:
    before = len(view.conflicts)
    view.conflicts.extend(Conflict(config.key, problem) for config, problem in view.telemetry.problems)
    if view.proxy.is_router:
        messages = gateway_listeners(view)
    else:
        messages = {**inbound_listeners(view)}
        for name, message in outbound_listeners(view).items():
            messages.setdefault(name, message)
    return {name: built(name, message) for name, message in messages.items()}, tuple(view.conflicts[before:])


def route_configurations(view: View, names: Iterable[str]) -> dict[str, BuiltResource]:
    """The named route configurations; unknown ones are left out."""
    make = gateway_route if view.proxy.is_router else sidecar_route
    found = ((name, make(view, name)) for name in sorted(names))
    return {name: resource for name, resource in found if resource is not None}
