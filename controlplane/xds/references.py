"""Which names of the next type a resource makes a client ask for: clusters name their EDS, listeners their RDS.

Sources: Cluster.eds_cluster_config.service_name (the cluster's own name when empty);
HttpConnectionManager.rds.route_config_name, in every filter chain.
"""

from __future__ import annotations

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from google.protobuf.message import Message

NOTHING: frozenset[str] = frozenset()


def referenced_names(message: Message) -> frozenset[str]:
    """Names of the dependent type (see `type_urls.DEPENDENTS`); none for a message of any other type."""
    if isinstance(message, Cluster):
        if message.WhichOneof("cluster_discovery_type") != "type" or message.type != Cluster.EDS:
            return NOTHING
        return frozenset((message.eds_cluster_config.service_name or message.name,))
    if isinstance(message, Listener):
        return frozenset(_route_names(message))
    return NOTHING


def _route_names(listener: Listener) -> list[str]:
    chains = list(listener.filter_chains)
    if listener.HasField("default_filter_chain"):
        chains.append(listener.default_filter_chain)
    names: list[str] = []
    for chain in chains:
        for network_filter in chain.filters:
            if not network_filter.typed_config.Is(HttpConnectionManager.DESCRIPTOR):
                continue
            manager = HttpConnectionManager()
            network_filter.typed_config.Unpack(manager)
            if manager.WhichOneof("route_specifier") == "rds":
                names.append(manager.rds.route_config_name)
    return names


class ReferenceCache:
    """`referenced_names` by (type, version): listeners are shared by proxies and costly to open."""

    __slots__ = ("_known", "_limit")

    def __init__(self, limit: int = 4096) -> None:
        self._known: dict[tuple[str, str], frozenset[str]] = {}
        self._limit = limit

    def get(self, type_url: str, name: str, version: str, message: Message) -> frozenset[str]:
        key = (f"{type_url}/{name}", version)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= self._limit:
                self._known.clear()
            known = self._known[key] = referenced_names(message)
        return known
