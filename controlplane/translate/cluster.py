"""Services to clusters (CDS): one for each port and subset, those of the workload itself, and Istio's fixed ones."""

from functools import partial
from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import address_pb2
from envoy.extensions.network.dns_resolver.cares.v3 import cares_dns_resolver_pb2

from controlplane.model.config import Config
from controlplane.model.destination_rule import EffectivePolicy, MergedRule
from controlplane.model.endpoint import Endpoint
from controlplane.model.mesh_config import MeshConfig
from controlplane.model.mesh_snapshot import Conflict
from controlplane.model.names import (
    BLACK_HOLE_CLUSTER,
    INBOUND_PASSTHROUGH_CLUSTER,
    PASSTHROUGH_CLUSTER,
    inbound_cluster,
    outbound_cluster,
)
from controlplane.model.service import Port, Service
from controlplane.translate import inbound_ports, locality
from controlplane.translate.built import BuiltResource, built
from controlplane.translate.endpoint import assignment
from controlplane.translate.protos import ads, any_of, duration, metadata, uint32
from controlplane.translate.traffic_policy import (
    HTTP_PROTOCOL_OPTIONS,
    apply_connection_pool,
    apply_http2,
    apply_load_balancer,
    apply_outlier_detection,
    cluster_policy,
    http_options,
    passthrough_http_options,
    set_http_options,
)
from controlplane.translate.upstream_tls import apply_proxy_protocol, apply_tls
from controlplane.translate.view import View

_Cluster = cluster_pb2.Cluster
# Istio lets sidecars reach their own application from this address, which its redirection leaves alone.
INBOUND_SOURCE_ADDRESS = "127.0.0.6"
# An original-destination cluster of the own workload is never cleaned up (the longest duration Envoy takes).
NEVER_S = 9_223_372_035.0
DNS_JITTER_S = 0.1


def clusters(view: View) -> dict[str, BuiltResource]:
    """Every cluster of the proxy by name."""
    out = {resource.name: resource for resource in _fixed(view)}
    if not view.proxy.is_router:
        for port in inbound_ports.inbound_ports(view):
            resource = _inbound(view, port)
            out.setdefault(resource.name, resource)
    outbound, conflicts = _outbound(view)
    view.conflicts.extend(conflicts)
    return {**outbound, **out}


_Outbound = tuple[dict[str, BuiltResource], tuple[Conflict, ...]]


def _outbound(view: View) -> _Outbound:
    """The clusters of the scope's services, shared by all proxies to whom they look the same."""
    services = view.scope.services
    rules = tuple(view.rule(service) for service in services)
    resolved = tuple(view.snapshot.endpoints_for(service) for service in services if service.is_dns)
    stances = tuple(locality.stance(view, rule) for rule in rules if rule is not None)
    key = ("clusters", services, rules, resolved, stances, view.proxy.is_router, _is_bound(view), view.mesh)
    return view.memo.get(key, lambda: _build_all_outbound(view, rules))


def _build_all_outbound(view: View, rules: tuple[MergedRule | None, ...]) -> _Outbound:
    out: dict[str, BuiltResource] = {}
    conflicts: list[Conflict] = []
    for service, rule in zip(view.scope.services, rules, strict=True):
        subsets = ("", *(subset.name for subset in rule.subsets)) if rule is not None else ("",)
        for port in service.ports:
            for subset in subsets:
                resource, problem = _outbound_cluster(view, service, port, rule, subset)
                out.setdefault(resource.name, resource)
                if problem is not None and rule is not None:
                    conflicts.append(Conflict(rule.config.key, problem))
    return out, tuple(conflicts)


def _outbound_cluster(
    view: View, service: Service, port: Port, rule: MergedRule | None, subset: str
) -> tuple[BuiltResource, str | None]:
    policy = cluster_policy(rule, port.number, subset)
    preference = locality.preference(view, policy)
    endpoints = view.snapshot.endpoints_for(service) if service.is_dns else None
    # A gateway's connections have no original destination to go on to, so Istio gives it (empty) EDS instead.
    original_dst = service.is_original_dst and not view.proxy.is_router
    unbind = service.external and _is_bound(view)
    key = ("cluster", service, port, rule, subset, preference, endpoints, original_dst, unbind, view.mesh)
    parts = (service, port, rule, subset, policy, preference, endpoints, original_dst, unbind)
    return view.memo.get(key, lambda: _build_outbound(view.mesh, *parts))


def _is_bound(view: View) -> bool:
    """Whether it is an Envoy on a machine shared with other pods, whose bootstrap binds it to its loopback address."""
    proxy = view.proxy
    return proxy.is_stock_envoy and not proxy.captures and proxy.addresses[0].startswith("127.")


def _build_outbound(
    mesh: MeshConfig,
    service: Service,
    port: Port,
    rule: MergedRule | None,
    subset: str,
    policy: EffectivePolicy,
    preference: locality.Preference,
    endpoints: tuple[Endpoint, ...] | None,
    original_dst: bool,
    unbind: bool,
) -> tuple[BuiltResource, str | None]:
    name = outbound_cluster(service.host, port.number, subset)
    cluster = _Cluster(name=name, alt_stat_name=name, connect_timeout=duration(mesh.connect_timeout_s))
    _set_discovery(cluster, service, port, mesh, original_dst)
    if endpoints is not None:
        chosen = rule.subset(subset) if rule is not None and subset else None
        labels = chosen.labels if chosen is not None else {}
        cluster.load_assignment.CopyFrom(
            assignment(name, port, endpoints, labels, mesh.cluster_id, preference)
        )
    # Off: Istio does not send traffic to endpoints that are known to be bad, however few are left.
    cluster.common_lb_config.healthy_panic_threshold.SetInParent()
    options = http_options()
    apply_connection_pool(cluster, options, policy.connection_pool, policy.retry_budget)
    apply_http2(options, port.is_http2, policy.connection_pool)
    apply_outlier_detection(cluster, policy.outlier_detection)
    apply_load_balancer(cluster, policy.load_balancer)
    if preference.distribute or (preference.failover and policy.load_balancer and policy.outlier_detection):
        cluster.common_lb_config.locality_weighted_lb_config.SetInParent()
    http2 = options.explicit_http_config.HasField("http2_protocol_options")
    problem = apply_tls(cluster, options, policy.tls, http2, mesh.system_ca_file)
    apply_proxy_protocol(cluster, policy.proxy_protocol)
    set_http_options(cluster, options)
    if unbind:
        # From any address, against the bootstrap: nothing outside of 127.0.0.0/8 can be reached from an address in it.
        bind = cluster.upstream_bind_config
        bind.source_address.CopyFrom(address_pb2.SocketAddress(address="0.0.0.0", port_value=0))  # noqa: S104
        bind.extra_source_addresses.add().address.CopyFrom(address_pb2.SocketAddress(address="::", port_value=0))
    cluster.metadata.CopyFrom(_metadata((service,), rule, subset, service.external))
    return built(name, cluster), problem


def _set_discovery(cluster: Any, service: Service, port: Port, mesh: MeshConfig, original_dst: bool) -> None:
    if original_dst:
        cluster.type = _Cluster.ORIGINAL_DST
        if port.target != port.number:
            cluster.original_dst_lb_config.upstream_port_override.value = port.target
        return
    if not service.is_dns:
        cluster.type = _Cluster.EDS
        cluster.eds_cluster_config.CopyFrom(
            _Cluster.EdsClusterConfig(eds_config=ads(), service_name=cluster.name)
        )
        return
    cluster.type = _Cluster.STRICT_DNS if service.resolution == "DNS" else _Cluster.LOGICAL_DNS
    cluster.dns_lookup_family = _Cluster.V4_ONLY
    cluster.dns_refresh_rate.CopyFrom(duration(mesh.dns_refresh_rate_s))
    cluster.respect_dns_ttl = True
    cluster.dns_jitter.CopyFrom(duration(DNS_JITTER_S))
    cluster.typed_dns_resolver_config.name = "envoy.network.dns_resolver.cares"
    cluster.typed_dns_resolver_config.typed_config.CopyFrom(
        any_of(
            cares_dns_resolver_pb2.CaresDnsResolverConfig(
                udp_max_queries=uint32(100)
            )
        )
    )


def _metadata(services: tuple[Service, ...], rule: MergedRule | None, subset: str = "", external: bool = False) -> Any:
    istio: dict[str, Any] = {
        "services": [{"host": s.host, "name": s.host, "namespace": s.namespace} for s in services]
    }
    if subset:
        istio["subset"] = subset
    if rule is not None:
        istio["config"] = rule.config.path
    if external:
        istio["external"] = True
    return metadata(istio=istio)


def _inbound(view: View, port: inbound_ports.InboundPort) -> BuiltResource:
    """The cluster of the workload's own application behind one inbound port."""
    rule = view.rule(port.service) if port.service is not None else None
    services = tuple(
        s for s in view.snapshot.services_of(view.proxy) if _serves(s, port)
    )
    sidecar = view.scope.sidecar
    key = ("inbound", port, rule, services, sidecar, view.proxy.captures, view.mesh)
    return view.memo.get(key, lambda: _build_inbound(view, port, rule, services, sidecar))


def _serves(service: Service, port: inbound_ports.InboundPort) -> bool:
    return any(p.target == port.target or p.number == port.number for p in service.ports)


def _build_inbound(
    view: View,
    port: inbound_ports.InboundPort,
    rule: MergedRule | None,
    services: tuple[Service, ...],
    sidecar: Config[Any] | None,
) -> BuiltResource:
    name = inbound_cluster(port.target)
    cluster = _Cluster(name=name, alt_stat_name=name, connect_timeout=duration(view.mesh.connect_timeout_s))
    if port.app_address:
        cluster.type = _Cluster.STATIC
        cluster.load_assignment.cluster_name = name
        endpoint = cluster.load_assignment.endpoints.add().lb_endpoints.add().endpoint
        endpoint.address.CopyFrom(inbound_ports.app_socket(port))
    else:
        cluster.type = _Cluster.ORIGINAL_DST
        cluster.lb_policy = _Cluster.CLUSTER_PROVIDED
        cluster.cleanup_interval.CopyFrom(duration(NEVER_S))
        _from_loopback(cluster)
    pool = cluster_policy(rule, port.number, "").connection_pool
    if sidecar is not None:
        pool = port.connection_pool or sidecar.spec.inbound_connection_pool or pool
    options = http_options()
    apply_connection_pool(cluster, options, pool)
    apply_http2(options, port.is_http2, None)
    set_http_options(cluster, options)
    cluster.common_lb_config.SetInParent()
    cluster.metadata.CopyFrom(_metadata(services, None))
    return built(name, cluster)


def _from_loopback(cluster: Any) -> None:
    cluster.upstream_bind_config.source_address.CopyFrom(
        address_pb2.SocketAddress(address=INBOUND_SOURCE_ADDRESS, port_value=0)
    )


def _fixed(view: View) -> list[BuiltResource]:
    """Where traffic goes that must go nowhere, or to wherever it was going."""
    names = [BLACK_HOLE_CLUSTER]
    if not view.proxy.is_router:
        names += [PASSTHROUGH_CLUSTER, INBOUND_PASSTHROUGH_CLUSTER]
    return [view.memo.get(("fixed", name, view.mesh), partial(_build_fixed, name, view.mesh)) for name in names]


def _build_fixed(name: str, mesh: MeshConfig) -> BuiltResource:
    cluster = _Cluster(name=name, alt_stat_name=name, connect_timeout=duration(mesh.connect_timeout_s))
    if name == BLACK_HOLE_CLUSTER:
        cluster.type = _Cluster.STATIC
        return built(name, cluster)
    cluster.type = _Cluster.ORIGINAL_DST
    cluster.lb_policy = _Cluster.CLUSTER_PROVIDED
    apply_connection_pool(cluster, http_options(), None)
    cluster.typed_extension_protocol_options[HTTP_PROTOCOL_OPTIONS].CopyFrom(any_of(passthrough_http_options()))
    if name == INBOUND_PASSTHROUGH_CLUSTER:
        _from_loopback(cluster)
    return built(name, cluster)
