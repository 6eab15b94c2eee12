"""Endpoints to ClusterLoadAssignment (EDS, and inside the clusters that Envoy resolves itself)."""

from collections.abc import Iterable
from typing import Any

from envoy.config.core.v3 import base_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2

from controlplane.model.config import labels_match
from controlplane.model.destination_rule import MergedRule
from controlplane.model.endpoint import Endpoint
from controlplane.model.names import parse_cluster
from controlplane.model.service import Port
from controlplane.translate import locality
from controlplane.translate.built import BuiltResource, built
from controlplane.translate.protos import metadata, socket_address, uint32
from controlplane.translate.traffic_policy import cluster_policy
from controlplane.translate.view import View


def load_assignments(view: View, names: Iterable[str]) -> dict[str, BuiltResource]:
    """The named assignments. A cluster of an unknown service or subset has no endpoints, which takes them away."""
    return {name: _load_assignment(view, name) for name in sorted(names)}


def _load_assignment(view: View, name: str) -> BuiltResource:
    parts = parse_cluster(name)
    service = view.service(parts.host) if parts is not None else None
    port = service.port(parts.port) if service is not None and parts is not None else None
    if parts is None or service is None or port is None:
        return view.memo.get(("eds", name), lambda: built(name, _empty(name)))
    rule = view.rule(service)
    endpoints = view.snapshot.endpoints_for(service)
    key = ("eds", name, port, rule, endpoints, locality.stance(view, rule), view.mesh.cluster_id)
    return view.memo.get(key, lambda: _build(view, name, port, rule, endpoints))


def _build(
    view: View, name: str, port: Port, rule: MergedRule | None, endpoints: tuple[Endpoint, ...]
) -> BuiltResource:
    parts = parse_cluster(name)
    assert parts is not None
    subset = rule.subset(parts.subset) if rule is not None and parts.subset else None
    if parts.subset and subset is None:
        return built(name, _empty(name))
    preference = locality.preference(view, cluster_policy(rule, parts.port, parts.subset))
    labels = subset.labels if subset is not None else {}
    return built(name, assignment(name, port, endpoints, labels, view.mesh.cluster_id, preference))


def _empty(name: str) -> Any:
    return endpoint_pb2.ClusterLoadAssignment(cluster_name=name)


def assignment(
    cluster_name: str,
    port: Port,
    endpoints: Iterable[Endpoint],
    labels: dict[str, str],
    cluster_id: str,
    preference: locality.Preference,
) -> Any:
    """ClusterLoadAssignment of the endpoints that carry the labels, one group a locality, in order of locality."""
    groups: dict[str, list[Endpoint]] = {}
    for endpoint in endpoints:
        if labels_match(labels, endpoint.label_map):
            groups.setdefault(endpoint.locality, []).append(endpoint)
    out = endpoint_pb2.ClusterLoadAssignment(cluster_name=cluster_name)
    for placed in preference.place(groups):
        region, zone, sub_zone = (*placed.locality.split("/"), "", "", "")[:3]
        out.endpoints.append(
            endpoint_components_pb2.LocalityLbEndpoints(
                locality=base_pb2.Locality(region=region, zone=zone, sub_zone=sub_zone),
                lb_endpoints=[_lb_endpoint(e, port, cluster_id) for e in placed.endpoints],
                load_balancing_weight=uint32(placed.weight),
                priority=placed.priority,
            )
        )
    return out


def _lb_endpoint(endpoint: Endpoint, port: Port, cluster_id: str) -> Any:
    return endpoint_components_pb2.LbEndpoint(
        endpoint=endpoint_components_pb2.Endpoint(address=socket_address(endpoint.address, endpoint.port_for(port))),
        metadata=metadata(istio={"workload": endpoint.description(cluster_id)}),
        load_balancing_weight=uint32(endpoint.weight),
    )
