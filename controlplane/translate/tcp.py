"""TCP: the tcp_proxy filter, and the filter chains that tcp and tls rules of VirtualServices make."""

from collections.abc import Iterable, Sequence
from typing import Any

from envoy.config.core.v3 import address_pb2
from envoy.config.listener.v3 import listener_components_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from google.protobuf.wrappers_pb2 import UInt32Value

from controlplane.model.config import labels_match
from controlplane.model.destination_rule import MergedRule
from controlplane.model.names import MESH_GATEWAY, hosts_match, outbound_cluster, resolve_gateway
from controlplane.model.service import Port, Service
from controlplane.model.telemetry import CLIENT
from controlplane.model.virtual_service import VirtualServiceConfig
from controlplane.translate.access_log import tcp_access_logs
from controlplane.translate.protos import any_of, duration, metadata
from controlplane.translate.route_action import destination_cluster
from controlplane.translate.view import View
from lugsail.api.scalars import parse_duration
from lugsail.api.virtual_service import L4MatchAttributes, RouteDestination, TLSMatchAttributes

NAME = "envoy.filters.network.tcp_proxy"
CONNECT_TIMEOUT_S = 15.0

_PROXY = tcp_proxy_pb2.TcpProxy


def tcp_proxy(view: View, side: str, cluster: str, logged: bool = True) -> Any:
    """The filter that forwards all bytes to one cluster. `side`: CLIENT or SERVER, for whom it logs."""
    proxy = _PROXY(stat_prefix=cluster, cluster=cluster)
    if logged:
        proxy.access_log.extend(tcp_access_logs(view, side))
    return _filter(proxy)


def _filter(proxy: Any) -> Any:
    return listener_components_pb2.Filter(name=NAME, typed_config=any_of(proxy))


def routed_tcp_proxy(
    view: View, virtual_service: VirtualServiceConfig, targets: Sequence[RouteDestination], port: int
) -> Any:
    """The filter that forwards by the weights of a tcp or tls rule."""
    services = {service.host: service for service in view.scope.services}
    clusters: list[tuple[str, int]] = []
    for target in targets:
        if target.destination is not None:
            name = destination_cluster(target.destination, virtual_service.namespace, services, port)
            clusters.append((name, target.weight))
    proxy = _PROXY()
    if len(clusters) == 1:
        proxy.stat_prefix = proxy.cluster = clusters[0][0]
        destination = targets[0].destination
        if destination is not None:
            host = virtual_service.destination_host(destination)
            _apply_rule(proxy, view.rule_for_host(host), port)
    else:
        proxy.stat_prefix = f"{virtual_service.name}.{virtual_service.namespace}"
        for name, weight in clusters:
            if weight > 0:
                proxy.weighted_clusters.clusters.add(name=name, weight=weight)
    proxy.access_log.extend(tcp_access_logs(view, CLIENT))
    return _filter(proxy)


def service_tcp_proxy(view: View, service: Service, port: Port) -> Any:
    """The filter of a service without a rule."""
    cluster = outbound_cluster(service.host, port.number)
    proxy = _PROXY(stat_prefix=cluster, cluster=cluster)
    _apply_rule(proxy, view.rule(service), port.number)
    proxy.access_log.extend(tcp_access_logs(view, CLIENT))
    return _filter(proxy)


def _apply_rule(proxy: Any, rule: MergedRule | None, port: int) -> None:
    """What a DestinationRule says that only the TCP proxy can do: idle timeout and hashing."""
    policy = rule.traffic_policy if rule is not None else None
    if policy is None:
        return
    tcp = policy.connection_pool.tcp if policy.connection_pool is not None else None
    if tcp is not None and tcp.idle_timeout is not None:
        proxy.idle_timeout.CopyFrom(duration(parse_duration(tcp.idle_timeout)))
    balancer = policy.load_balancer
    if balancer is not None and balancer.consistent_hash is not None and balancer.consistent_hash.use_source_ip:
        proxy.hash_policy.add().source_ip.SetInParent()


def filter_chain(
    filters: Iterable[Any],
    *,
    sni_hosts: Iterable[str] = (),
    subnets: Iterable[str] = (),
    config_path: str = "",
) -> Any:
    """A chain for these server names and destination subnets; for everything when there are none."""
    chain = listener_components_pb2.FilterChain(
        filters=filters, transport_socket_connect_timeout=duration(CONNECT_TIMEOUT_S)
    )
    names = [name for name in sni_hosts if name != "*"]
    if names:
        chain.filter_chain_match.server_names.extend(names)
    for subnet in subnets:
        chain.filter_chain_match.prefix_ranges.append(cidr_range(subnet))
    if config_path:
        chain.metadata.CopyFrom(metadata(istio={"config": config_path}))
    return chain


def cidr_range(subnet: str) -> Any:
    """envoy.config.core.v3.CidrRange of `10.0.0.0/8`, or of a lone address."""
    address, _, length = subnet.partition("/")
    default = 128 if ":" in address else 32
    return address_pb2.CidrRange(
        address_prefix=address, prefix_len=UInt32Value(value=int(length) if length else default)
    )


def l4_match_applies(
    match: L4MatchAttributes | TLSMatchAttributes, port: int, gateway: str, owner_namespace: str, view: View
) -> bool:
    """Conditions known before any connection: port, gateway, the proxy's labels and namespace."""
    if match.gateways and gateway not in {resolve_gateway(name, owner_namespace) for name in match.gateways}:
        return False
    if match.port and match.port != port:
        return False
    if not labels_match(match.source_labels, view.proxy.label_map):
        return False
    return not match.source_namespace or match.source_namespace == view.proxy.namespace


def service_chains(
    view: View,
    service: Service,
    port: Port,
    listen_port: int,
    virtual_services: Iterable[VirtualServiceConfig],
    wildcard_bind: bool,
    subnets: tuple[str, ...],
) -> list[Any]:
    """The chains of a service's TCP or TLS port in an outbound listener, VirtualServices (oldest first) considered."""
    relevant = [v for v in virtual_services if any(hosts_match(host, service.host) for host in v.hosts)]
    if port.is_tls:
        return _tls_chains(view, service, port, listen_port, relevant, wildcard_bind, subnets)
    return _tcp_chains(view, service, port, listen_port, relevant, subnets)


def _tls_chains(
    view: View,
    service: Service,
    port: Port,
    listen_port: int,
    virtual_services: list[VirtualServiceConfig],
    wildcard_bind: bool,
    subnets: tuple[str, ...],
) -> list[Any]:
    out: list[Any] = []
    handled: set[tuple[tuple[str, ...], tuple[str, ...]]] = set()
    for virtual_service in virtual_services:
        for rule in virtual_service.tls:
            for match in rule.match:
                if not l4_match_applies(match, listen_port, MESH_GATEWAY, virtual_service.namespace, view):
                    continue
                runtime = (match.sni_hosts, match.destination_subnets)
                if runtime in handled:
                    continue
                handled.add(runtime)
                out.append(
                    filter_chain(
                        [routed_tcp_proxy(view, virtual_service, rule.route, listen_port)],
                        sni_hosts=match.sni_hosts,
                        subnets=match.destination_subnets or subnets,
                        config_path=virtual_service.config.path,
                    )
                )
    if out:
        return out
    # On a wildcard address the server name is all that tells services apart; on an address of its own none is needed.
    names = (service.host,) if wildcard_bind or subnets else ()
    return [filter_chain([service_tcp_proxy(view, service, port)], sni_hosts=names, subnets=subnets)]


def _tcp_chains(
    view: View,
    service: Service,
    port: Port,
    listen_port: int,
    virtual_services: list[VirtualServiceConfig],
    subnets: tuple[str, ...],
) -> list[Any]:
    out: list[Any] = []
    for virtual_service in virtual_services:
        for rule in virtual_service.tcp:
            applying = [
                match
                for match in rule.match
                if l4_match_applies(match, listen_port, MESH_GATEWAY, virtual_service.namespace, view)
            ]
            if rule.match and not applying:
                continue
            proxy = routed_tcp_proxy(view, virtual_service, rule.route, listen_port)
            path = virtual_service.config.path
            wanted = [subnet for match in applying for subnet in match.destination_subnets]
            if not applying or any(not match.destination_subnets for match in applying):
                out.append(filter_chain([proxy], subnets=subnets, config_path=path))
                return out
            out.append(filter_chain([proxy], subnets=wanted, config_path=path))
    out.append(filter_chain([service_tcp_proxy(view, service, port)], subnets=subnets))
    return out


