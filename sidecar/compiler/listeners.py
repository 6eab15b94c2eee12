"""Listener to `sidecar.config.listeners.Listener`, with its filter chains."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from envoy.config.core.v3.base_pb2 import INBOUND, OUTBOUND
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager as HttpConnectionManagerProto,
)
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy as TcpProxyProto
from envoy.extensions.transport_sockets.raw_buffer.v3.raw_buffer_pb2 import RawBuffer

from sidecar.compiler.addresses import socket_address
from sidecar.compiler.http_connection_manager import compile_http_connection_manager
from sidecar.compiler.ignored import check
from sidecar.compiler.istio_metadata import resource_of
from sidecar.compiler.listener_filters import compile_listener_filters
from sidecar.compiler.tcp_proxy import compile_tcp_proxy
from sidecar.config.listeners import MOST_BACKLOG, FilterChain, FilterChainMatch, Listener, Network
from sidecar.config.protos import timeout_ms, unpack, wrapped
from sidecar.config.rejected import At

_FIELDS = (
    "name",
    "address",
    "additional_addresses",
    "stat_prefix",
    "filter_chains",
    "use_original_dst",
    "default_filter_chain",
    "deprecated_v1",
    "listener_filters",
    "listener_filters_timeout",
    "continue_on_listener_filters_timeout",
    "tcp_backlog_size",
    "bind_to_port",
    "traffic_direction",
)
_CHAIN_FIELDS = (
    "filter_chain_match",
    "filters",
    "metadata",
    "transport_socket",
    "name",
)
_MATCH_FIELDS = (
    "destination_port",
    "prefix_ranges",
    "direct_source_prefix_ranges",
    "source_type",
    "source_prefix_ranges",
    "source_ports",
    "server_names",
    "transport_protocol",
    "application_protocols",
)
_SOURCE_TYPES = ("any", "same_ip_or_loopback", "external")
_HTTP = HttpConnectionManagerProto.DESCRIPTOR.full_name
_TCP = TcpProxyProto.DESCRIPTOR.full_name
_RAW = RawBuffer.DESCRIPTOR.full_name


def compile_listener(proto: Any) -> Listener:
    """envoy.config.listener.v3.Listener. Raises Rejected."""
    at = At(proto.name)
    check(proto, _FIELDS, at)
    if not proto.name:
        at.field("name").reject("empty; name the listener")
    outbound = proto.traffic_direction == OUTBOUND
    chains = tuple(
        _chain(chain, outbound, at.field("filter_chains", i)) for i, chain in enumerate(proto.filter_chains)
    )
    _check_unique(chains, at)
    default = None
    if proto.HasField("default_filter_chain"):
        default = _chain(proto.default_filter_chain, outbound, at.field("default_filter_chain"))
    if not chains and default is None:
        at.field("filter_chains").reject("no filter chains specified; give at least one")
    bind = wrapped(proto, "bind_to_port", True) and wrapped(proto.deprecated_v1, "bind_to_port", True)
    rds_names = frozenset(
        chain.http.rds_name for chain in (*chains, default) if chain and chain.http and chain.http.rds_name
    )
    return Listener(
        name=proto.name,
        addresses=_addresses(proto, at),
        filter_chains=chains,
        default_filter_chain=default,
        bind=bind,
        use_original_dst=wrapped(proto, "use_original_dst", False),
        listener_filters=compile_listener_filters(proto.listener_filters, at),
        listener_filters_timeout_ms=timeout_ms(proto, "listener_filters_timeout", at, 15_000.0),
        continue_on_listener_filters_timeout=proto.continue_on_listener_filters_timeout,
        backlog=wrapped(proto, "tcp_backlog_size", MOST_BACKLOG),
        stat_prefix=proto.stat_prefix,
        rds_names=rds_names,
        inbound=proto.traffic_direction == INBOUND,
    )


def _addresses(proto: Any, at: At) -> tuple[tuple[str, int], ...]:
    places = [(proto.address, at.field("address"))]
    for index, extra in enumerate(proto.additional_addresses):
        place = at.field("additional_addresses", index)
        check(extra, ("address",), place)
        places.append((extra.address, place.field("address")))
    found = []
    for address, place in places:
        host, port = socket_address(address, place)
        try:
            found.append((str(ipaddress.ip_address(host)), port))
        except ValueError:
            place.field("socket_address.address").reject(f"malformed IP address: {host!r}")
    return tuple(found)


def _check_unique(chains: Iterable[FilterChain], at: At) -> None:
    seen: dict[FilterChainMatch, str] = {}
    for index, chain in enumerate(chains):
        if chain.match in seen:
            at.field("filter_chains", index).reject(
                f"filter chain {chain.name!r} has the same matching rules defined as {seen[chain.match]!r}"
            )
        seen[chain.match] = chain.name


def _chain(chain: Any, outbound: bool, at: At) -> FilterChain:
    check(chain, _CHAIN_FIELDS, at)
    if chain.HasField("transport_socket"):
        kind = chain.transport_socket.typed_config.type_url.rpartition("/")[2]
        if kind != _RAW:
            at.field("transport_socket").reject(f"{kind or 'none'} is not supported yet; only raw_buffer is")
    values: dict[str, Any] = {}
    for index, entry in enumerate(chain.filters):
        place = at.field("filters", index)
        check(entry, ("name", "typed_config"), place)
        kind = entry.typed_config.type_url.rpartition("/")[2]
        if values:
            place.reject(f"{entry.name!r} comes after a filter that ends the chain")
        place = place.field("typed_config")
        if kind == _HTTP:
            manager = unpack(entry.typed_config, HttpConnectionManagerProto, place)
            values["http"] = compile_http_connection_manager(manager, place, outbound)
        elif kind == _TCP:
            values["tcp"] = compile_tcp_proxy(unpack(entry.typed_config, TcpProxyProto, place), place)
        else:
            place.reject(f"the network filter {entry.name!r} of type {kind or 'none'} is not known to this proxy")
    if not values:
        at.field("filters").reject("must end with an HTTP connection manager or a TCP proxy")
    return FilterChain(
        name=chain.name,
        match=_match(chain.filter_chain_match, at.field("filter_chain_match")),
        source=resource_of(chain.metadata),
        **values,
    )


def _match(match: Any, at: At) -> FilterChainMatch:
    check(match, _MATCH_FIELDS, at)
    names = tuple(name.lower() for name in match.server_names)
    for index, name in enumerate(names):
        if "*" in name.removeprefix("*.") or not name:
            at.field("server_names", index).reject(f"{name!r}: only a whole first label may be a wildcard (*.example)")
    return FilterChainMatch(
        destination_port=wrapped(match, "destination_port", None),
        destination_networks=_networks(match.prefix_ranges, at, "prefix_ranges"),
        server_names=names,
        transport_protocol=match.transport_protocol,
        application_protocols=tuple(match.application_protocols),
        direct_source_networks=_networks(match.direct_source_prefix_ranges, at, "direct_source_prefix_ranges"),
        source_type=_SOURCE_TYPES[match.source_type],  # type: ignore[arg-type]
        source_networks=_networks(match.source_prefix_ranges, at, "source_prefix_ranges"),
        source_ports=tuple(match.source_ports),
    )


def _networks(ranges: Iterable[Any], at: At, field: str) -> tuple[Network, ...]:
    networks = []
    for index, one in enumerate(ranges):
        text = f"{one.address_prefix}/{wrapped(one, 'prefix_len', 0)}"
        try:
            networks.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            at.field(field, index).reject(f"{text!r} is not a range of addresses")
    return tuple(networks)
