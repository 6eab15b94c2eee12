"""ClusterLoadAssignment to `sidecar.config.endpoints.Endpoints`."""

from __future__ import annotations

import ipaddress
from typing import Any

from sidecar.compiler.addresses import endpoint_address
from sidecar.compiler.ignored import check
from sidecar.compiler.istio_metadata import transport_labels_of, workload_of
from sidecar.config.endpoints import Endpoint, Endpoints, Health, Locality, LocalityEndpoints
from sidecar.config.protos import fraction, wrapped
from sidecar.config.rejected import At

#: envoy.config.core.v3.HealthStatus by number: UNKNOWN, HEALTHY, UNHEALTHY, DRAINING, TIMEOUT; not DEGRADED.
_HEALTH: tuple[Health, ...] = ("healthy", "healthy", "unhealthy", "draining", "unhealthy")
_MAX_PRIORITY = 128
_MAX_WEIGHT_SUM = 0xFFFFFFFF


def compile_endpoints(proto: Any, at: At | None = None, names: bool = False) -> Endpoints:
    """envoy.config.endpoint.v3.ClusterLoadAssignment. Raises Rejected.

    `names`: addresses may be DNS names (clusters of type STRICT_DNS and LOGICAL_DNS).
    """
    at = at or At(proto.cluster_name)
    check(proto, ("cluster_name", "endpoints", "policy"), at)
    if not proto.cluster_name:
        at.field("cluster_name").reject("empty; name the cluster the endpoints belong to")
    policy, place = proto.policy, at.field("policy")
    check(policy, ("overprovisioning_factor", "drop_overloads"), place)
    localities = tuple(
        _locality(group, at.field("endpoints", index), names) for index, group in enumerate(proto.endpoints)
    )
    _check_priorities(localities, at)
    return Endpoints(
        cluster_name=proto.cluster_name,
        localities=localities,
        overprovisioning=wrapped(policy, "overprovisioning_factor", 140) / 100,
        drop_fractions=tuple((drop.category, fraction(drop.drop_percentage)) for drop in policy.drop_overloads),
    )


def _locality(group: Any, at: At, names: bool) -> LocalityEndpoints:
    check(group, ("locality", "lb_endpoints", "load_balancing_weight", "priority"), at)
    if group.priority > _MAX_PRIORITY:
        at.field("priority").reject(f"{group.priority} is more than {_MAX_PRIORITY}")
    locality = group.locality
    endpoints = tuple(
        _endpoint(endpoint, at.field("lb_endpoints", index), names) for index, endpoint in enumerate(group.lb_endpoints)
    )
    if sum(endpoint.weight for endpoint in endpoints) > _MAX_WEIGHT_SUM:
        at.reject(f"the weights of its endpoints sum up to more than {_MAX_WEIGHT_SUM}")
    return LocalityEndpoints(
        endpoints=endpoints,
        locality=Locality(region=locality.region, zone=locality.zone, sub_zone=locality.sub_zone),
        priority=group.priority,
        weight=wrapped(group, "load_balancing_weight", None),
    )


def _endpoint(entry: Any, at: At, names: bool) -> Endpoint:
    check(entry, ("endpoint", "health_status", "metadata", "load_balancing_weight"), at)
    place = at.field("endpoint")
    check(entry.endpoint, ("address", "hostname"), place)
    address, port = endpoint_address(entry.endpoint.address, place.field("address"))
    if port and not names:
        try:
            address = str(ipaddress.ip_address(address))
        except ValueError:
            place.field("address").reject(
                f"malformed IP address: {address!r}; names belong in a cluster of type STRICT_DNS or LOGICAL_DNS"
            )
    if entry.health_status >= len(_HEALTH):
        at.field("health_status").reject("DEGRADED is not supported; use HEALTHY in a locality of lower priority")
    weight = wrapped(entry, "load_balancing_weight", 1)
    if weight < 1:
        at.field("load_balancing_weight").reject("must be 1 or more")
    metadata = entry.metadata.filter_metadata
    hash_key = ""
    if "envoy.lb" in metadata and "hash_key" in metadata["envoy.lb"].fields:
        hash_key = metadata["envoy.lb"].fields["hash_key"].string_value
    return Endpoint(
        address=address,
        port=port,
        weight=weight,
        health=_HEALTH[entry.health_status],
        hostname=entry.endpoint.hostname or (address if names else ""),
        hash_key=hash_key,
        workload=workload_of(entry.metadata),
        transport_labels=transport_labels_of(entry.metadata),
    )


def _check_priorities(localities: tuple[LocalityEndpoints, ...], at: At) -> None:
    """Priorities are numbered without gaps, as Envoy asks."""
    known = {locality.priority for locality in localities}
    if known and known != set(range(max(known) + 1)):
        at.field("endpoints").reject(f"priorities {sorted(known)} have gaps; number them 0, 1, 2 …")
