"""Which filter chain takes a connection: Envoy's order of criteria, each narrowing the chains that are left. Pure.

Order: destination port, destination address (longest prefix), server name (exact, then longest wildcard), transport
protocol, application protocols, direct source, source type, source address (longest prefix), source port. For each, the
most specific chains that match win; chains that do not say are only looked at where no more specific one matches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from sidecar.config.listeners import FilterChain, FilterChainMatch, Network

#: How well a chain fits by one criterion: None not at all, 0 it does not say, more is more specific.
Fit = int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionFacts:
    """What is known of a connection when its chain is chosen."""

    destination: tuple[str, int]
    source: tuple[str, int]
    server_name: str = ""
    transport_protocol: str = "raw_buffer"
    application_protocols: tuple[str, ...] = ()


def choose(chains: Sequence[FilterChain], facts: ConnectionFacts) -> FilterChain | None:
    """The chain for the connection; None where none fits (then the default chain, or the connection is closed)."""
    left = list(chains)
    destination_ip = ip_address(facts.destination[0])
    source_ip = ip_address(facts.source[0])
    criteria: tuple[Callable[[FilterChainMatch], Fit], ...] = (
        lambda match: _equal(match.destination_port, facts.destination[1]),
        lambda match: _longest(match.destination_networks, destination_ip),
        lambda match: _server_name(match.server_names, facts.server_name),
        lambda match: _equal(match.transport_protocol or None, facts.transport_protocol),
        lambda match: _one_of(match.application_protocols, facts.application_protocols),
        lambda match: _longest(match.direct_source_networks, source_ip),
        lambda match: _source_type(match.source_type, source_ip, destination_ip),
        lambda match: _longest(match.source_networks, source_ip),
        lambda match: _one_of(match.source_ports, (facts.source[1],)),
    )
    for criterion in criteria:
        left = _best(left, criterion)
        if not left:
            return None
    return left[0]


def needs(chains: Iterable[FilterChain]) -> frozenset[str]:
    """What must be known of a connection's first bytes: of "server_names", "transport", "alpn"."""
    wanted = set()
    for chain in chains:
        if chain.match.server_names:
            wanted.add("server_names")
        if chain.match.transport_protocol:
            wanted.add("transport")
        if chain.match.application_protocols:
            wanted.add("alpn")
    return frozenset(wanted)


def _best(chains: list[FilterChain], criterion: Callable[[FilterChainMatch], Fit]) -> list[FilterChain]:
    fits = [(fit, chain) for chain in chains if (fit := criterion(chain.match)) is not None]
    if not fits:
        return []
    highest = max(fit for fit, _ in fits)
    return [chain for fit, chain in fits if fit == highest]


def _equal(wanted: object, actual: object) -> Fit:
    if wanted is None:
        return 0
    return 1 if wanted == actual else None


def _one_of(wanted: Sequence[object], actual: Sequence[object]) -> Fit:
    if not wanted:
        return 0
    return 1 if any(one in wanted for one in actual) else None


def _longest(networks: Sequence[Network], address: IPv4Address | IPv6Address) -> Fit:
    if not networks:
        return 0
    lengths = [network.prefixlen for network in networks if address in network]
    return max(lengths) + 1 if lengths else None


def _server_name(names: Sequence[str], actual: str) -> Fit:
    if not names:
        return 0
    actual = actual.lower()
    best: Fit = None
    for name in names:
        if name == actual and name:
            return 1 << 16
        if name.startswith("*.") and actual.endswith(name[1:]) and len(actual) >= len(name):
            best = max(best or 0, len(name))
    return best


def _source_type(wanted: str, source: IPv4Address | IPv6Address, destination: IPv4Address | IPv6Address) -> Fit:
    if wanted == "any":
        return 0
    local = source.is_loopback or source == destination
    return 1 if local == (wanted == "same_ip_or_loopback") else None
