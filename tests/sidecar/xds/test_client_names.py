"""The name table among the other types, and alone."""

from __future__ import annotations

from typing import Any

from envoy.config.core.v3.base_pb2 import Node

from sidecar.config.names import NameTable
from sidecar.xds.client import (
    CLUSTER_TYPE,
    ENDPOINT_TYPE,
    LISTENER_TYPE,
    NAME_TABLE_TYPE,
    ROUTE_TYPE,
    XdsClient,
)
from sidecar.xds.name_table import NameTable as NameTableMessage
from tests.sidecar.xds.test_client import Proxy, eds, endpoints, listener, routes


def names_table(**hosts: str) -> Any:
    return NameTableMessage(table={host.replace("_", "."): {"ips": [ip]} for host, ip in hosts.items()})


class Names(Proxy):
    """As Proxy, with a DNS server behind it; or the client of an agent that has nothing else."""

    def __init__(self, alone: bool = False) -> None:
        super().__init__()
        node = Node(id="sidecar~10.0.0.1~web-v1.default~default.svc.cluster.local")
        if alone:
            self.client = XdsClient.for_names("127.0.0.1:1", node, self.stats, self._names)
        else:
            others = {name: getattr(self.client, f"_{name}") for name in CALLBACKS}
            self.client = XdsClient("127.0.0.1:1", node, self.stats, on_names=self._names, **others)

    def _names(self, table: NameTable) -> None:
        self.log.append(f"names {' '.join(sorted(table.hosts))}")


CALLBACKS = ("on_clusters", "on_endpoints", "on_listeners", "on_routes")


async def test_names_are_asked_for_where_there_is_a_use_for_them() -> None:
    assert Names().start() == ["Cluster - -", "Listener - -", "NameTable - -"]
    assert Names(alone=True).start() == ["NameTable - -"]


async def test_an_agent_for_names_alone() -> None:
    proxy = Names(alone=True)
    proxy.start()
    assert not proxy.client.initialized
    assert proxy.gets(NAME_TABLE_TYPE, "1", names_table(a_example="10.0.0.1")) == ["NameTable 1 n1"]
    assert proxy.client.initialized and proxy.seen() == ["names a.example"]
    assert proxy.gets(NAME_TABLE_TYPE, "1", names_table(a_example="10.0.0.1")) == ["NameTable 1 n2"]
    assert proxy.seen() == [], "unchanged"
    proxy.gets(NAME_TABLE_TYPE, "2")
    assert proxy.seen() == [], "without a table the last stays in force"
    (nack,) = proxy.gets(NAME_TABLE_TYPE, "3", names_table(a_example="nonsense"))
    assert nack == (
        "NameTable 2 n4 NACK Error adding/updating name table(s) name-table: "
        "table[a.example].ips[0]: 'nonsense' is not an IP address"
    )
    assert proxy.seen() == [] and proxy.stats.counter("dns.nds.update_rejected").value == 1
    assert proxy.gets(CLUSTER_TYPE, "1", eds("a")) == [], "was not asked for"


async def test_short_names_are_those_of_the_pods_own_namespace() -> None:
    proxy = Names(alone=True)
    proxy.start()
    info = {"ips": ["10.0.0.1"], "registry": "Kubernetes", "shortname": "api", "namespace": "default"}
    proxy.gets(NAME_TABLE_TYPE, "1", NameTableMessage(table={"api.default.svc.cluster.local": info}))
    assert proxy.seen() == ["names api api.default api.default.svc api.default.svc.cluster.local"]


async def test_names_wait_for_what_serves_them() -> None:
    proxy = Names()
    proxy.start()
    proxy.gets(CLUSTER_TYPE, "1", eds("a"))
    assert proxy.gets(LISTENER_TYPE, "1", listener("l", "9080")) == []
    assert proxy.gets(NAME_TABLE_TYPE, "1", names_table(a_example="240.240.0.1")) == []
    proxy.gets(ENDPOINT_TYPE, "1", endpoints("a"))
    assert proxy.seen() == ["clusters +a", "endpoints +a", "listeners +l", "names a.example"]
    assert not proxy.client.initialized
    proxy.gets(ROUTE_TYPE, "1", routes("9080"))
    assert proxy.client.initialized


async def test_a_proxy_that_captures_dns_is_not_ready_without_names() -> None:
    proxy = Names()
    proxy.start()
    proxy.gets(CLUSTER_TYPE, "1")
    proxy.gets(LISTENER_TYPE, "1")
    assert not proxy.client.initialized
    proxy.gets(NAME_TABLE_TYPE, "1", names_table())
    assert proxy.client.initialized
