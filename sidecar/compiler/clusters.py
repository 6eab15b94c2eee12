"""Cluster to `sidecar.config.clusters.Cluster`."""

from __future__ import annotations

import ipaddress
from typing import Any

from sidecar.compiler.cluster_health import compile_circuit_breakers, compile_outlier_detection
from sidecar.compiler.cluster_protocol import compile_auto_tls, compile_dns, compile_http_options, compile_keepalive
from sidecar.compiler.endpoints import compile_endpoints
from sidecar.compiler.ignored import check
from sidecar.compiler.istio_metadata import resource_of, services_of
from sidecar.compiler.upstream_tls import compile_transport_socket
from sidecar.config.clusters import Cluster, ClusterType, LbKind, LoadBalancing, TransportSocketMatch
from sidecar.config.endpoints import Endpoints
from sidecar.config.protos import duration_ms, wrapped
from sidecar.config.rejected import At

_FIELDS = (
    "name",
    "alt_stat_name",
    "type",
    "eds_cluster_config",
    "connect_timeout",
    "per_connection_buffer_limit_bytes",
    "lb_policy",
    "load_assignment",
    "circuit_breakers",
    "outlier_detection",
    "max_requests_per_connection",
    "typed_extension_protocol_options",
    "dns_refresh_rate",
    "dns_jitter",
    "dns_failure_refresh_rate",
    "dns_lookup_family",
    "upstream_bind_config",
    "ring_hash_lb_config",
    "maglev_lb_config",
    "original_dst_lb_config",
    "least_request_lb_config",
    "round_robin_lb_config",
    "common_lb_config",
    "transport_socket",
    "transport_socket_matches",
    "metadata",
    "upstream_connection_options",
)
#: Cluster.DiscoveryType and Cluster.LbPolicy by name.
_TYPES: dict[str, ClusterType] = {
    "STATIC": "static",
    "STRICT_DNS": "strict_dns",
    "LOGICAL_DNS": "logical_dns",
    "EDS": "eds",
    "ORIGINAL_DST": "original_dst",
}
_POLICIES: dict[str, LbKind] = {
    "ROUND_ROBIN": "round_robin",
    "LEAST_REQUEST": "least_request",
    "RING_HASH": "ring_hash",
    "RANDOM": "random",
    "MAGLEV": "maglev",
    "CLUSTER_PROVIDED": "cluster_provided",
}
_MAX_RING = 8 * 1024 * 1024
_MAX_MAGLEV = 5_000_011


def compile_cluster(proto: Any) -> Cluster:
    """envoy.config.cluster.v3.Cluster. Raises Rejected."""
    at = At(proto.name)
    if not proto.name:
        at.field("name").reject("empty; name the cluster")
    check(proto, _FIELDS, at)
    type_name = _enum(proto, "type")
    kind = _TYPES.get(type_name)
    if kind is None:
        at.field("type").reject(f"{type_name} is not supported")
    connect_ms = duration_ms(proto, "connect_timeout", at, 5_000.0)
    if not connect_ms:
        at.field("connect_timeout").reject("must be more than 0s")
    services = services_of(proto.metadata)
    tls = None
    if proto.HasField("transport_socket"):
        tls = compile_transport_socket(proto.transport_socket, at.field("transport_socket"))
    tls = compile_auto_tls(proto, tls, services, at)
    return Cluster(
        name=proto.name,
        type=kind,
        stat_name=proto.alt_stat_name.rstrip(";") or proto.name,
        eds_service_name=_eds_service_name(proto, kind, at),
        connect_timeout_ms=connect_ms,
        buffer_limit_bytes=wrapped(proto, "per_connection_buffer_limit_bytes", 1024 * 1024),
        lb=_load_balancing(proto, kind, at),
        endpoints=_endpoints(proto, kind, at),
        circuit_breakers=compile_circuit_breakers(proto.circuit_breakers, at.field("circuit_breakers")),
        outlier=(
            compile_outlier_detection(proto.outlier_detection, at.field("outlier_detection"))
            if proto.HasField("outlier_detection")
            else None
        ),
        http=compile_http_options(proto, at),
        tls=tls,
        transport_matches=_transport_matches(proto, at),
        keepalive=compile_keepalive(proto, at),
        bind_address=_bind_address(proto, at),
        dns=compile_dns(proto, at),
        services=services,
        source=resource_of(proto.metadata),
    )


def _enum(message: Any, field: str) -> str:
    number: int = getattr(message, field)
    value = message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number.get(number)
    return str(number) if value is None else str(value.name)


def _eds_service_name(proto: Any, kind: ClusterType, at: At) -> str:
    if kind != "eds":
        return ""
    config, place = proto.eds_cluster_config, at.field("eds_cluster_config")
    source = config.eds_config.WhichOneof("config_source_specifier")
    if source != "ads":
        place.field("eds_config").reject(f"endpoints come over ads only, not {source or 'from nowhere'}")
    return str(config.service_name or proto.name)


def _endpoints(proto: Any, kind: ClusterType, at: At) -> Endpoints | None:
    place = at.field("load_assignment")
    if kind in ("eds", "original_dst"):
        if proto.HasField("load_assignment"):
            place.reject(f"a cluster of type {kind.upper()} has none")
        return None
    if not proto.HasField("load_assignment"):
        return Endpoints(cluster_name=proto.name)
    found = compile_endpoints(proto.load_assignment, place, names=kind != "static")
    if kind == "logical_dns" and sum(len(group.endpoints) for group in found.localities) != 1:
        place.reject("a cluster of type LOGICAL_DNS must have exactly one endpoint")
    return found


def _load_balancing(proto: Any, kind: ClusterType, at: At) -> LoadBalancing:
    policy = _enum(proto, "lb_policy")
    if policy not in _POLICIES:
        at.field("lb_policy").reject(f"{policy} is not supported; use one of {', '.join(_POLICIES)}")
    if (kind == "original_dst") != (policy == "CLUSTER_PROVIDED"):
        at.field("lb_policy").reject("CLUSTER_PROVIDED belongs to clusters of type ORIGINAL_DST, and to them alone")
    common, place = proto.common_lb_config, at.field("common_lb_config")
    check(
        common,
        ("healthy_panic_threshold", "zone_aware_lb_config", "locality_weighted_lb_config"),
        place,
    )
    check(common.zone_aware_lb_config, ("fail_traffic_on_panic",), place.field("zone_aware_lb_config"))
    # Set but empty is 0: never panic. Not set is 50 %.
    panic = common.healthy_panic_threshold.value / 100 if common.HasField("healthy_panic_threshold") else 0.5
    minimum, maximum, table = _hash_sizes(proto, at)
    choices, bias = _least_request(proto, at)
    original, place = proto.original_dst_lb_config, at.field("original_dst_lb_config")
    check(original, ("upstream_port_override", "use_http_header", "http_header_name"), place)
    header = original.http_header_name or "x-envoy-original-dst-host"
    return LoadBalancing(
        kind=_POLICIES[policy],
        panic_threshold=panic,
        fail_traffic_on_panic=common.zone_aware_lb_config.fail_traffic_on_panic,
        locality_weighted=common.HasField("locality_weighted_lb_config"),
        choice_count=choices,
        active_request_bias=bias,
        minimum_ring_size=minimum,
        maximum_ring_size=maximum,
        maglev_table_size=table,
        port_override=wrapped(original, "upstream_port_override", None),
        address_header=header.lower().encode() if original.use_http_header else None,
    )


def _hash_sizes(proto: Any, at: At) -> tuple[int, int, int]:
    """(smallest ring, largest ring, Maglev table)."""
    ring, place = proto.ring_hash_lb_config, at.field("ring_hash_lb_config")
    check(ring, ("minimum_ring_size", "maximum_ring_size", "hash_function"), place)
    if ring.hash_function != 0:
        place.field("hash_function").reject("only XX_HASH is supported")
    minimum = wrapped(ring, "minimum_ring_size", 1024)
    maximum = wrapped(ring, "maximum_ring_size", _MAX_RING)
    if not 1 <= minimum <= maximum <= _MAX_RING:
        place.reject(f"ring sizes must satisfy 1 <= minimum ({minimum}) <= maximum ({maximum}) <= {_MAX_RING}")
    place = at.field("maglev_lb_config.table_size")
    table = wrapped(proto.maglev_lb_config, "table_size", 65537)
    if not 2 < table <= _MAX_MAGLEV or not _is_prime(table):
        place.reject(f"The table size of maglev must be prime number up to {_MAX_MAGLEV}; {table} is not")
    return minimum, maximum, table


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def _least_request(proto: Any, at: At) -> tuple[int, float]:
    """(choices, active request bias)."""
    least, place = proto.least_request_lb_config, at.field("least_request_lb_config")
    check(least, ("choice_count", "active_request_bias"), place)
    check(proto.round_robin_lb_config, (), at.field("round_robin_lb_config"))
    choices = wrapped(least, "choice_count", 2)
    if choices < 2:
        place.field("choice_count").reject("must be 2 or more")
    bias = least.active_request_bias.default_value if least.HasField("active_request_bias") else 1.0
    if bias < 0:
        place.field("active_request_bias").reject("must be 0 or more")
    return choices, bias


def _transport_matches(proto: Any, at: At) -> tuple[TransportSocketMatch, ...]:
    matches = []
    for index, row in enumerate(proto.transport_socket_matches):
        place = at.field("transport_socket_matches", index)
        labels = {key: value.string_value for key, value in row.match.fields.items()}
        tls = compile_transport_socket(row.transport_socket, place.field("transport_socket"))
        matches.append(TransportSocketMatch(name=row.name, labels=labels, tls=tls))
    return tuple(matches)


def _bind_address(proto: Any, at: At) -> str:
    if not proto.HasField("upstream_bind_config"):
        return ""
    bind, place = proto.upstream_bind_config, at.field("upstream_bind_config")
    check(bind, ("source_address",), place)
    address: str = bind.source_address.address
    try:
        return str(ipaddress.ip_address(address)) if address else ""
    except ValueError:
        place.field("source_address.address").reject(f"malformed IP address: {address!r}")
