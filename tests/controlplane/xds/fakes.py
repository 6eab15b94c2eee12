"""A mesh small enough to write down, and a client that keeps what it is sent."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from google.protobuf.any_pb2 import Any as AnyProto

from controlplane.translate.name_table_proto import NameTable
from controlplane.xds.type_urls import CDS, EDS, LDS, NDS, RDS


@dataclass(frozen=True)
class FakeBuilt:
    name: str
    version: str
    any: AnyProto
    message: Any


@dataclass(frozen=True)
class FakeMesh:
    """Names → a text that stands for their content. A listener's text is the route that it names."""

    clusters: Mapping[str, str] = field(default_factory=dict)
    endpoints: Mapping[str, str] = field(default_factory=dict)
    listeners: Mapping[str, str] = field(default_factory=dict)
    routes: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


class FakeTranslator:
    """Real protos of a FakeMesh. `broken`: types whose translation raises."""

    def __init__(self) -> None:
        self.broken: set[str] = set()

    def build(self, snapshot: FakeMesh, proxy: Any, type_url: str, names: frozenset[str] | None):
        if type_url in self.broken:
            raise ValueError("cannot say this")
        content = {
            CDS: snapshot.clusters,
            EDS: snapshot.endpoints,
            LDS: snapshot.listeners,
            RDS: snapshot.routes,
            NDS: snapshot.names,
        }[type_url]
        return {n: _built(type_url, n, text) for n, text in content.items() if names is None or n in names}

    def conflicts(self, proxy: Any) -> list[str]:
        return []

    def forget(self, proxy: Any) -> None:
        """Nothing is kept."""


def _built(type_url: str, name: str, text: str) -> FakeBuilt:
    message = _message(type_url, name, text)
    packed = AnyProto()
    packed.Pack(message, deterministic=True)
    return FakeBuilt(name, hashlib.sha1(packed.value).hexdigest()[:8], packed, message)


def _message(type_url: str, name: str, text: str) -> Any:
    if type_url == CDS:
        return Cluster(name=name, alt_stat_name=text, type=Cluster.EDS)
    if type_url == EDS:
        return ClusterLoadAssignment(cluster_name=name, policy={"overprovisioning_factor": {"value": int(text)}})
    if type_url == NDS:
        return NameTable(table={name: {"ips": [text]}})
    if type_url == RDS:
        return RouteConfiguration(name=name, internal_only_headers=[text])
    chain = Filter(name="hcm")
    chain.typed_config.Pack(HttpConnectionManager(rds={"route_config_name": text}))
    return Listener(name=name, filter_chains=[FilterChain(filters=[chain])])


def name_in(packed: AnyProto) -> str:
    """The name of a packed resource."""
    for message in (Cluster(), ClusterLoadAssignment(), Listener(), RouteConfiguration()):
        if packed.Is(message.DESCRIPTOR):
            packed.Unpack(message)
            return message.cluster_name if isinstance(message, ClusterLoadAssignment) else message.name
    if packed.type_url == NDS:
        return ",".join(NameTable.FromString(packed.value).table)
    raise AssertionError(f"what is {packed.type_url}?")


async def until(condition, what: str = "the condition", seconds: float = 5.0) -> None:
    """Run the loop until the condition holds."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"{what} did not come true in {seconds} s")
        await asyncio.sleep(0.001)
