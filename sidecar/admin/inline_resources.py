"""What listeners and clusters carry inside them, which Envoy's config dump lists beside what was discovered.

Route configurations of connection managers without RDS are its static routes; the endpoints of clusters without EDS
are endpoints like any others. Resources are decoded one by one, as they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)

from sidecar.admin.render import to_dict
from sidecar.xds.resources import Accepted

_OVERPROVISIONING = 140


def inline_routes(listeners: Iterable[Accepted]) -> Iterator[tuple[dict[str, Any], float]]:
    """(route configuration as JSON data, when its listener was updated) of accepted listeners."""
    for held in listeners:
        listener = Listener()
        held.value.Unpack(listener)
        for chain in (*listener.filter_chains, listener.default_filter_chain):
            for entry in chain.filters:
                manager = HttpConnectionManager()
                if entry.typed_config.Unpack(manager) and manager.HasField("route_config"):
                    yield to_dict(manager.route_config), held.updated_s


def inline_endpoints(clusters: Iterable[Accepted]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(cluster, its endpoints as JSON data) of accepted clusters that are not of type EDS."""
    for held in clusters:
        cluster = Cluster()
        held.value.Unpack(cluster)
        if cluster.type != Cluster.EDS:
            yield cluster.name, {"cluster_name": cluster.name, **to_dict(cluster.load_assignment)}


def with_defaults(endpoints: dict[str, Any]) -> dict[str, Any]:
    """A ClusterLoadAssignment as Envoy shows it: tools look at the health, which it spells out."""
    for locality in endpoints.get("endpoints", ()):
        for endpoint in locality.get("lb_endpoints", ()):
            endpoint.setdefault("health_status", "HEALTHY")
            endpoint.setdefault("load_balancing_weight", 1)
    endpoints.setdefault("policy", {}).setdefault("overprovisioning_factor", _OVERPROVISIONING)
    return endpoints
