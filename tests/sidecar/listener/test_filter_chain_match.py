"""Which chain takes a connection."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from sidecar.config.listeners import FilterChain, FilterChainMatch
from sidecar.listener.filter_chain_match import ConnectionFacts, choose, needs


def chain(name: str, **match: object) -> FilterChain:
    return FilterChain(name=name, match=FilterChainMatch(**match))  # type: ignore[arg-type]


CHAINS = [
    chain("any"),
    chain("port", destination_port=9080),
    chain("port-tls", destination_port=9080, transport_protocol="tls"),
    chain("port-istio", destination_port=9080, transport_protocol="tls", application_protocols=("istio",)),
    chain("network", destination_networks=(ip_network("10.0.0.0/8"),)),
    chain("longer", destination_networks=(ip_network("10.1.0.0/16"),)),
    chain("sni", destination_port=443, server_names=("a.example",)),
    chain("wild", destination_port=443, server_names=("*.example",)),
    chain("wilder", destination_port=443, server_names=("*.b.example",)),
    chain("near", destination_port=7, source_type="same_ip_or_loopback"),
    chain("far", destination_port=7, source_type="external"),
]


@pytest.mark.parametrize(
    ("expected", "facts"),
    [
        ("any", {"destination": ("1.2.3.4", 1)}),
        ("port", {"destination": ("1.2.3.4", 9080)}),
        ("port-tls", {"destination": ("1.2.3.4", 9080), "transport_protocol": "tls"}),
        (
            "port-istio",
            {"destination": ("1.2.3.4", 9080), "transport_protocol": "tls", "application_protocols": ("istio", "h2")},
        ),
        ("network", {"destination": ("10.2.3.4", 1)}),
        ("longer", {"destination": ("10.1.3.4", 1)}),
        ("port", {"destination": ("10.1.3.4", 9080)}),
        ("sni", {"destination": ("1.2.3.4", 443), "server_name": "A.example"}),
        ("wild", {"destination": ("1.2.3.4", 443), "server_name": "c.example"}),
        ("wilder", {"destination": ("1.2.3.4", 443), "server_name": "c.b.example"}),
        (None, {"destination": ("1.2.3.4", 443), "server_name": "other"}),
        ("near", {"destination": ("1.2.3.4", 7), "source": ("127.0.0.1", 9)}),
        ("near", {"destination": ("1.2.3.4", 7), "source": ("1.2.3.4", 9)}),
        ("far", {"destination": ("1.2.3.4", 7), "source": ("8.8.8.8", 9)}),
    ],
)
def test_choose(expected: str | None, facts: dict[str, object]) -> None:
    found = choose(CHAINS, ConnectionFacts(**{"source": ("9.9.9.9", 5), **facts}))  # type: ignore[arg-type]
    assert (found.name if found else None) == expected


def test_needs() -> None:
    assert needs(CHAINS) == {"server_names", "transport", "alpn"}
    assert needs(CHAINS[:2]) == frozenset()
