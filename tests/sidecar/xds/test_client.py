"""The client's behaviour, response by response; one test at the end speaks to a real gRPC server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import Node
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from google.protobuf.message import Message

from sidecar.telemetry.stats import Stats
from sidecar.xds import client as client_module
from sidecar.xds.client import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE, XdsClient


class Proxy:
    """Records what the client hands over; `errors` is what each callback answers."""

    def __init__(self, target: str = "127.0.0.1:1") -> None:
        self.log: list[str] = []
        self.errors: dict[str, str] = {}
        self.stats = Stats()
        self.client = XdsClient(
            target,
            Node(id="sidecar~x"),
            self.stats,
            on_clusters=lambda changed, removed: self._record("clusters", changed, removed),
            on_endpoints=lambda changed: self._record("endpoints", changed),
            on_listeners=lambda changed, removed: self._record("listeners", changed, removed),
            on_routes=lambda changed, removed: self._record("routes", changed, removed),
        )
        self._nonce = 0

    def _record(self, kind: str, changed: dict[str, Any], removed: set[str] | None = None) -> dict[str, str]:
        gone = "".join(f" -{name}" for name in sorted(removed or ()))
        self.log.append(f"{kind}{''.join(f' +{name}' for name in sorted(changed))}{gone}")
        return {name: text for name, text in self.errors.items() if name in changed}

    def start(self) -> list[str]:
        self.client._start()
        return self.sent()

    def gets(self, type_url: str, version: str, *messages: Message) -> list[str]:
        """Deliver one response; the requests that follow, in short."""
        self._nonce += 1
        self.client.handle(response(type_url, version, f"n{self._nonce}", *messages))
        return self.sent()

    def sent(self) -> list[str]:
        requests = []
        while not self.client._outgoing.empty():
            requests.append(short(self.client._outgoing.get_nowait()))
        return requests

    def seen(self) -> list[str]:
        log, self.log = self.log, []
        return log


def response(type_url: str, version: str, nonce: str, *messages: Message) -> DiscoveryResponse:
    made = DiscoveryResponse(type_url=type_url, version_info=version, nonce=nonce)
    for message in messages:
        made.resources.add().Pack(message)
    return made


def short(request: DiscoveryRequest) -> str:
    words = [request.type_url.rpartition(".")[2], request.version_info or "-", request.response_nonce or "-"]
    words += list(request.resource_names)
    if request.HasField("error_detail"):
        words.append(f"NACK {request.error_detail.message}")
    return " ".join(words)


def eds(name: str) -> Cluster:
    cluster = Cluster(name=name, type=Cluster.EDS)
    cluster.eds_cluster_config.eds_config.ads.SetInParent()
    cluster.connect_timeout.seconds = 1
    return cluster


def endpoints(name: str) -> ClusterLoadAssignment:
    return ClusterLoadAssignment(cluster_name=name)


def listener(name: str, *route_names: str, port: int = 9080) -> Listener:
    made = Listener(name=name)
    made.address.socket_address.address = "127.0.0.1"
    made.address.socket_address.port_value = port
    manager = HttpConnectionManager(stat_prefix=name)
    manager.rds.route_config_name = route_names[0]
    manager.rds.config_source.ads.SetInParent()
    router = manager.http_filters.add(name="envoy.filters.http.router")
    router.typed_config.Pack(Router())
    chain = made.filter_chains.add()
    chain.filters.add(name="envoy.filters.network.http_connection_manager").typed_config.Pack(manager)
    return made


def routes(name: str, domain: str = "*") -> RouteConfiguration:
    made = RouteConfiguration(name=name)
    host = made.virtual_hosts.add(name="v", domains=[domain])
    route = host.routes.add()
    route.match.prefix = "/"
    route.route.cluster = "a"
    return made


async def test_a_whole_start() -> None:
    proxy = Proxy()
    assert proxy.start() == ["Cluster - -", "Listener - -"]
    assert proxy.gets(CLUSTER_TYPE, "1", eds("a"), eds("b")) == ["Cluster 1 n1", "ClusterLoadAssignment - - a b"]
    assert not proxy.client.initialized
    assert proxy.gets(ENDPOINT_TYPE, "1", endpoints("a"), endpoints("b")) == ["ClusterLoadAssignment 1 n2 a b"]
    assert proxy.gets(LISTENER_TYPE, "1", listener("l", "9080")) == ["Listener 1 n3", "RouteConfiguration - - 9080"]
    assert not proxy.client.initialized, "its routes are missing"
    assert proxy.gets(ROUTE_TYPE, "1", routes("9080")) == ["RouteConfiguration 1 n4 9080"]
    assert proxy.client.initialized
    assert proxy.seen() == ["clusters +a +b", "endpoints +a +b", "listeners +l", "routes +9080"]


async def test_listeners_and_routes_wait_for_the_endpoints_of_new_clusters() -> None:
    proxy = Proxy()
    proxy.start()
    proxy.gets(CLUSTER_TYPE, "1", eds("a"))
    assert proxy.gets(LISTENER_TYPE, "1", listener("l", "9080")) == []
    assert proxy.seen() == ["clusters +a"]
    answers = proxy.gets(ENDPOINT_TYPE, "1", endpoints("a"))
    assert answers == ["ClusterLoadAssignment 1 n3 a", "Listener 1 n2", "RouteConfiguration - - 9080"]
    proxy.gets(ROUTE_TYPE, "1", routes("9080"))
    # Later: a route to a new cluster, which the control plane sends right behind that cluster.
    proxy.gets(CLUSTER_TYPE, "2", eds("a"), eds("b"))
    assert proxy.gets(ROUTE_TYPE, "2", routes("9080", "b")) == []
    assert proxy.gets(ROUTE_TYPE, "3", routes("9080", "c")) == []
    proxy.seen()
    assert proxy.gets(ENDPOINT_TYPE, "2", endpoints("a"), endpoints("b"))[1:] == [
        "RouteConfiguration 2 n6 9080",
        "RouteConfiguration 3 n7 9080",
    ]
    assert proxy.seen() == ["endpoints +b", "routes +9080", "routes +9080"]


async def test_endpoints_that_never_come_are_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "WARMING_LIMIT_S", 0.0)
    proxy = Proxy()
    proxy.start()
    proxy.gets(CLUSTER_TYPE, "1", eds("a"))
    assert proxy.gets(LISTENER_TYPE, "1", listener("l", "9080")) == []
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert proxy.sent() == ["Listener 1 n2", "RouteConfiguration - - 9080"]


async def test_an_unchanged_resource_is_acknowledged_and_not_applied_again() -> None:
    proxy = Proxy()
    proxy.start()
    proxy.gets(CLUSTER_TYPE, "1", eds("a"))
    proxy.seen()
    assert proxy.gets(CLUSTER_TYPE, "2", eds("a")) == ["Cluster 2 n2"]
    assert proxy.seen() == ["clusters"]


async def test_bad_resources_are_named_and_the_good_ones_serve() -> None:
    proxy = Proxy()
    proxy.start()
    proxy.gets(CLUSTER_TYPE, "1", eds("a"), eds("b"))
    proxy.seen()
    broken = eds("b")
    broken.lb_policy = Cluster.LOAD_BALANCING_POLICY_CONFIG
    (nack, follow) = proxy.gets(CLUSTER_TYPE, "2", eds("a"), broken, eds("c"))
    assert nack.startswith("Cluster 1 n2 NACK Error adding/updating cluster(s) b: ")
    assert follow == "ClusterLoadAssignment - - a b c", "b keeps its last good version"
    assert proxy.seen() == ["clusters +c"]
    clusters = proxy.client.resources[CLUSTER_TYPE]
    assert (clusters.version, clusters.accepted["b"].version, clusters.refused["b"].version) == ("1", "1", "2")
    assert proxy.stats.counter("cluster_manager.cds.update_rejected").value == 1


async def test_what_can_not_be_put_to_use_is_refused_too() -> None:
    proxy = Proxy()
    proxy.start()
    proxy.gets(CLUSTER_TYPE, "1")
    proxy.errors["l"] = "127.0.0.1:9080 is in use"
    (nack,) = proxy.gets(LISTENER_TYPE, "1", listener("l", "9080"))
    assert nack == "Listener - n2 NACK Error adding/updating listener(s) l: 127.0.0.1:9080 is in use"
    assert proxy.client.initialized, "a refused listener does not keep the others from serving"
    proxy.errors.clear()
    assert proxy.gets(LISTENER_TYPE, "2", listener("l", "9080"))[0] == "Listener 2 n3"


async def test_a_bug_behind_a_callback_is_a_nack_and_not_the_end(caplog: pytest.LogCaptureFixture) -> None:
    proxy = Proxy()
    proxy.start()

    def explode(changed: Any, removed: Any) -> dict[str, str]:
        raise RuntimeError("no")

    proxy.client._on_clusters = explode
    (nack,) = proxy.gets(CLUSTER_TYPE, "1", eds("a"))
    assert "a: internal error: RuntimeError: no" in nack
    assert "applying" in caplog.text


async def test_what_nothing_refers_to_any_more_is_let_go() -> None:
    proxy = Proxy()
    proxy.start()
    proxy.gets(CLUSTER_TYPE, "1", eds("a"))
    proxy.gets(ENDPOINT_TYPE, "1", endpoints("a"))
    proxy.gets(LISTENER_TYPE, "1", listener("l", "9080"))
    proxy.gets(ROUTE_TYPE, "1", routes("9080"))
    proxy.seen()
    assert proxy.gets(LISTENER_TYPE, "2") == ["Listener 2 n5", "RouteConfiguration 1 n4"]
    assert proxy.gets(CLUSTER_TYPE, "2") == ["Cluster 2 n6", "ClusterLoadAssignment 1 n2"]
    assert proxy.seen() == ["listeners -l", "routes -9080", "clusters -a"]
    assert not proxy.client.resources[ROUTE_TYPE].accepted
    assert not proxy.client.resources[ENDPOINT_TYPE].accepted


async def test_resources_that_were_not_asked_for_are_passed_over() -> None:
    proxy = Proxy()
    proxy.start()
    assert proxy.gets(ROUTE_TYPE, "1", routes("9080")) == ["RouteConfiguration 1 n1"]
    assert proxy.seen() == []
    proxy.client.handle(DiscoveryResponse(type_url="type.googleapis.com/something.Else", nonce="x"))
    assert proxy.sent() == []


async def test_a_new_stream_asks_for_everything_again() -> None:
    proxy = Proxy()
    proxy.start()
    proxy.gets(CLUSTER_TYPE, "1", eds("a"))
    proxy.gets(ENDPOINT_TYPE, "1", endpoints("a"))
    assert proxy.start() == ["Cluster 1 -", "ClusterLoadAssignment 1 - a", "Listener - -"]


class FakeServer:
    """An ADS server that says what the test tells it to, once per stream."""

    def __init__(self) -> None:
        self.requests: list[DiscoveryRequest] = []
        self.streams = 0
        self.arrived = asyncio.Event()
        self.script: Callable[[], list[DiscoveryResponse]] = list
        self._server = grpc.aio.server()
        handler = grpc.stream_stream_rpc_method_handler(
            self._stream, DiscoveryRequest.FromString, DiscoveryResponse.SerializeToString
        )
        name = "envoy.service.discovery.v3.AggregatedDiscoveryService"
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(name, {"StreamAggregatedResources": handler}),)
        )
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(None)

    async def _stream(
        self, requests: AsyncIterator[DiscoveryRequest], context: Any
    ) -> AsyncIterator[DiscoveryResponse]:
        self.streams += 1
        await anext(requests)
        for one in self.script():
            yield one
        if self.streams == 1:
            return  # the first stream breaks
        async for request in requests:
            self.requests.append(request)
            self.arrived.set()


async def test_over_a_real_stream_it_comes_back_when_the_stream_breaks() -> None:
    server = FakeServer()
    await server.start()
    proxy = Proxy(f"127.0.0.1:{server.port}")
    server.script = lambda: [response(CLUSTER_TYPE, "1", f"s{server.streams}", eds("a"))]
    running = asyncio.create_task(proxy.client.run())
    try:
        async with asyncio.timeout(10):
            while not any(request.response_nonce == "s2" for request in server.requests):
                server.arrived.clear()
                await server.arrived.wait()
        assert proxy.client.connected
        assert proxy.stats.gauge("control_plane.connected_state").value == 1
        assert proxy.seen() == ["clusters +a", "clusters"]
        assert not any(request.HasField("node") for request in server.requests), "only the first message names us"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await server.stop()
