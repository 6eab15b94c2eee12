"""A gateway's listeners: one for each address and port that its servers open."""

from typing import Any

from envoy.config.listener.v3 import listener_pb2

from controlplane.model.mesh_snapshot import Conflict
from controlplane.translate.gateway import (
    GatewayServer,
    hosts_in_common,
    merged_servers,
    virtual_services_for,
)
from controlplane.translate.http_connection_manager import gateway_manager
from controlplane.translate.listener import tls_inspector
from controlplane.translate.protos import socket_address, uint32
from controlplane.translate.tcp import filter_chain, l4_match_applies, routed_tcp_proxy
from controlplane.translate.view import View

OUTBOUND = 2
NO_CERTIFICATES = "the mesh fetches no certificates yet, so TLS cannot end here; the server is left out"


def gateway_listeners(view: View) -> dict[str, Any]:
    """Listener messages by name. A server for which there is nothing to forward to opens no port."""
    by_listener: dict[str, list[GatewayServer]] = {}
    for server in merged_servers(view):
        by_listener.setdefault(server.listener_name, []).append(server)
    out: dict[str, Any] = {}
    for name, servers in by_listener.items():
        chains = _chains(view, name, servers)
        if not chains:
            continue
        listener = listener_pb2.Listener(
            name=name,
            address=socket_address(servers[0].bind, servers[0].target),
            filter_chains=chains,
            traffic_direction=OUTBOUND,
            max_connections_to_accept_per_socket_event=uint32(1),
        )
        if any(not server.is_http and server.server.tls is not None for server in servers):
            listener.listener_filters.append(tls_inspector())
        out[name] = listener
    return out


def _chains(view: View, name: str, servers: list[GatewayServer]) -> list[Any]:
    if servers[0].is_http:
        return [filter_chain([gateway_manager(view, f"outbound_{name}", servers[0].route_name)])]
    out: list[Any] = []
    taken: set[str] = set()
    for server in servers:
        if server.passes_through:
            out += _passthrough_chains(view, server, taken)
            continue
        if server.terminates:
            # A port that was meant for TLS is never opened without it.
            view.conflicts.append(Conflict(server.config.key, f"servers[{server.index}].tls: {NO_CERTIFICATES}"))
            continue
        filters = _tcp_filters(view, server)
        if filters:
            out.append(filter_chain(filters))
    return out


def _tcp_filters(view: View, server: GatewayServer) -> list[Any]:
    """The proxy of the first tcp rule that is for this server."""
    for virtual_service in virtual_services_for(view, server.gateway):
        if not hosts_in_common(server, virtual_service):
            continue
        for rule in virtual_service.tcp:
            matches = rule.match
            if not matches or any(
                l4_match_applies(match, server.port, server.gateway, virtual_service.namespace, view)
                for match in matches
            ):
                return [routed_tcp_proxy(view, virtual_service, rule.route, server.port)]
    return []


def _passthrough_chains(view: View, server: GatewayServer, taken: set[str]) -> list[Any]:
    """A chain for each tls rule that is for this server; a server name belongs to the first rule that names it."""
    out: list[Any] = []
    for virtual_service in virtual_services_for(view, server.gateway):
        if not hosts_in_common(server, virtual_service):
            continue
        for rule in virtual_service.tls:
            for match in rule.match:
                if not l4_match_applies(match, server.port, server.gateway, virtual_service.namespace, view):
                    continue
                if taken & set(match.sni_hosts):
                    view.conflicts.append(
                        Conflict(
                            virtual_service.config.key,
                            f"sniHosts {sorted(taken & set(match.sni_hosts))} are already routed on {server.gateway}",
                        )
                    )
                    continue
                taken.update(match.sni_hosts)
                proxy = routed_tcp_proxy(view, virtual_service, rule.route, server.port)
                out.append(
                    filter_chain([proxy], sni_hosts=match.sni_hosts, config_path=virtual_service.config.path)
                )
    return out
