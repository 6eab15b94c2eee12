"""LISTENER, LISTENER_FILTER, FILTER_CHAIN, NETWORK_FILTER and HTTP_FILTER patches."""

from collections.abc import Iterable
from typing import Any

from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

from controlplane.translate.envoy_filter.lists import patch_list, replace_all
from controlplane.translate.envoy_filter.merge import merge, parse
from controlplane.translate.envoy_filter.routes import ROUTE_KINDS, patch_routes
from controlplane.translate.envoy_filter.select import GATEWAY, INBOUND, OUTBOUND, Patch
from controlplane.translate.http_connection_manager import NAME as HTTP_MANAGER
from controlplane.translate.protos import any_of
from lugsail.api.envoy_filter import FilterMatch

VIRTUAL_INBOUND = "virtualInbound"
INBOUND_DIRECTION = 1


def context_of(listener: Any, router: bool) -> str:
    """The context that a listener belongs to."""
    if router:
        return GATEWAY
    return INBOUND if listener.traffic_direction == INBOUND_DIRECTION else OUTBOUND


def added_listeners(patches: Iterable[Patch], router: bool) -> list[Any]:
    """The listeners that ADD brings. Raises BadPatch."""
    contexts = ("ANY", GATEWAY) if router else ("ANY", INBOUND, OUTBOUND)
    return [
        parse(listener_pb2.Listener, patch.value)
        for patch in patches
        if patch.spec.apply_to == "LISTENER" and patch.operation == "ADD" and patch.match.context in contexts
    ]


def patch_listener(listener: Any, patches: Iterable[Patch], router: bool) -> bool:
    """Apply the patches to one listener; False when it is removed. Raises BadPatch."""
    context = context_of(listener, router)
    fitting = [patch for patch in patches if patch.in_context(context)]
    own = [patch for patch in fitting if _is_listener(patch, listener)]
    for patch in (p for p in own if p.spec.apply_to == "LISTENER"):
        if patch.operation == "REMOVE":
            return False
        if patch.operation == "MERGE":
            merge(listener, parse(listener_pb2.Listener, patch.value))
    filters = [patch for patch in own if patch.spec.apply_to == "LISTENER_FILTER"]
    if filters:
        items = patch_list(
            [*listener.listener_filters], filters, listener_components_pb2.ListenerFilter, _is_listener_filter
        )
        replace_all(listener.listener_filters, items)
    chains = [patch for patch in own if patch.spec.apply_to == "FILTER_CHAIN"]
    if chains:
        items = patch_list(
            [*listener.filter_chains],
            chains,
            listener_components_pb2.FilterChain,
            lambda patch, chain: _is_chain(patch, listener, chain),
        )
        replace_all(listener.filter_chains, items)
    for chain in listener.filter_chains:
        _patch_chain([p for p in own if _is_chain(p, listener, chain)], chain)
    routes = [patch for patch in fitting if patch.spec.apply_to in ROUTE_KINDS]
    for chain in listener.filter_chains if routes else ():
        _patch_inline_routes(routes, chain, context)
    return True


def _patch_chain(patches: list[Patch], chain: Any) -> None:
    network = [patch for patch in patches if patch.spec.apply_to == "NETWORK_FILTER"]
    if network:
        replace_all(
            chain.filters,
            patch_list([*chain.filters], network, listener_components_pb2.Filter, _is_network_filter),
        )
    http = [patch for patch in patches if patch.spec.apply_to == "HTTP_FILTER"]
    for network_filter in chain.filters if http else ():
        mine = [patch for patch in http if _filter_name(patch) in ("", network_filter.name)]
        if network_filter.name != HTTP_MANAGER or not mine:
            continue
        manager = http_connection_manager_pb2.HttpConnectionManager()
        network_filter.typed_config.Unpack(manager)
        items = patch_list(
            [*manager.http_filters], mine, http_connection_manager_pb2.HttpFilter, _is_http_filter
        )
        replace_all(manager.http_filters, items)
        network_filter.typed_config.CopyFrom(any_of(manager))


def _patch_inline_routes(patches: list[Patch], chain: Any, context: str) -> None:
    """Inbound routes are inside their connection manager."""
    for network_filter in chain.filters:
        if network_filter.name != HTTP_MANAGER:
            continue
        manager = http_connection_manager_pb2.HttpConnectionManager()
        network_filter.typed_config.Unpack(manager)
        if manager.HasField("route_config"):
            patch_routes(manager.route_config, patches, context)
            network_filter.typed_config.CopyFrom(any_of(manager))


def _is_listener(patch: Patch, listener: Any) -> bool:
    """By name and port. On virtualInbound the port is the original destination's, which chains are matched by."""
    wanted = patch.match.listener
    if wanted is None:
        return True
    if wanted.name and wanted.name != listener.name:
        return False
    if not wanted.port_number or listener.name == VIRTUAL_INBOUND:
        return True
    return bool(listener.address.socket_address.port_value == wanted.port_number)


def _is_chain(patch: Patch, listener: Any, chain: Any) -> bool:
    wanted = patch.match.listener
    if wanted is None:
        return True
    match = chain.filter_chain_match
    if (
        wanted.port_number
        and listener.name == VIRTUAL_INBOUND
        and match.destination_port.value != wanted.port_number
    ):
        return False
    want = wanted.filter_chain
    if want is None:
        return True
    if want.name and want.name != chain.name:
        return False
    if want.sni and want.sni not in match.server_names:
        return False
    if want.transport_protocol and want.transport_protocol != match.transport_protocol:
        return False
    if want.application_protocols and not set(want.application_protocols.split(",")) <= {*match.application_protocols}:
        return False
    return not want.destination_port or want.destination_port == match.destination_port.value


def _filter_match(patch: Patch) -> FilterMatch | None:
    wanted = patch.match.listener
    return wanted.filter_chain.filter if wanted is not None and wanted.filter_chain is not None else None


def _filter_name(patch: Patch) -> str:
    wanted = _filter_match(patch)
    return wanted.name if wanted is not None else ""


def _is_network_filter(patch: Patch, network_filter: Any) -> bool:
    return _filter_name(patch) in ("", network_filter.name)


def _is_http_filter(patch: Patch, http_filter: Any) -> bool:
    wanted = _filter_match(patch)
    name = wanted.sub_filter.name if wanted is not None and wanted.sub_filter is not None else ""
    return name in ("", http_filter.name)


def _is_listener_filter(patch: Patch, listener_filter: Any) -> bool:
    wanted = patch.match.listener
    name = wanted.listener_filter if wanted is not None else ""
    return name in ("", listener_filter.name)
