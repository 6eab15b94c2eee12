"""Which xDS types can differ between two snapshots: what is not named here need not be built for any proxy.

Erring is allowed in one direction only: a type that differs must be named.
"""

from collections.abc import Iterable

from controlplane.model.mesh_snapshot import MeshSnapshot
from controlplane.model.virtual_service import VirtualServiceConfig
from controlplane.translate.name_table import names_differ
from controlplane.translate.protos import (
    CLUSTER_TYPE,
    ENDPOINT_TYPE,
    LISTENER_TYPE,
    NAME_TABLE_TYPE,
    ROUTE_TYPE,
    WORKLOAD_TYPE,
)
from controlplane.translate.workloads import workloads_differ

#: What follows from rules: the name table too, where the services that a proxy knows differ.
RULE_TYPES = frozenset({CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE, NAME_TABLE_TYPE})
ALL_TYPES = RULE_TYPES | {WORKLOAD_TYPE}
PROXY_TYPES = RULE_TYPES - {NAME_TABLE_TYPE}
NO_TYPES: frozenset[str] = frozenset()


def affected_types(before: MeshSnapshot | None, after: MeshSnapshot) -> frozenset[str]:
    """The type URLs whose resources can differ for any proxy, at most. `before` None: all of them."""
    if before is None or before.mesh != after.mesh:
        return ALL_TYPES
    types = _types_of_rules(before, after)
    return types | {WORKLOAD_TYPE} if workloads_differ(before, after) else types


def _types_of_rules(before: MeshSnapshot, after: MeshSnapshot) -> frozenset[str]:
    if before.sidecars != after.sidecars:
        return RULE_TYPES
    if _differs_at_large(before, after):
        scopes_differ = _reach(before.virtual_services) != _reach(after.virtual_services)
        return RULE_TYPES if scopes_differ or names_differ(before, after) else PROXY_TYPES
    types = NO_TYPES
    if before.telemetries != after.telemetries:
        types |= {LISTENER_TYPE}
    if before.gateways != after.gateways:
        types |= {LISTENER_TYPE, ROUTE_TYPE}
    if before.virtual_services != after.virtual_services:
        if _reach(before.virtual_services) != _reach(after.virtual_services):
            return RULE_TYPES
        types |= {ROUTE_TYPE}
        if _layer4(before.virtual_services) != _layer4(after.virtual_services):
            types |= {LISTENER_TYPE}
    return types


def _differs_at_large(before: MeshSnapshot, after: MeshSnapshot) -> bool:
    """Whether something differs that reaches into every type of a proxy's. Unchanged parts are the same objects."""
    return (
        before.services != after.services
        or before.workloads != after.workloads
        or before.endpoints != after.endpoints
        or before.envoy_filters != after.envoy_filters
        or before.destination_rules.configs != after.destination_rules.configs
    )


def _reach(virtual_services: Iterable[VirtualServiceConfig]) -> list[tuple[object, ...]]:
    """What decides on the services that a proxy knows: who imports each VirtualService, and to where it sends."""
    return [
        (
            v.namespace,
            v.hosts,
            v.for_mesh,
            tuple(v.config.spec.export_to),
            frozenset(host for host, _ in v.destinations()),
        )
        for v in virtual_services
    ]


def _layer4(virtual_services: Iterable[VirtualServiceConfig]) -> list[VirtualServiceConfig]:
    """Those with rules that become filter chains."""
    return [v for v in virtual_services if v.tls or v.tcp]
