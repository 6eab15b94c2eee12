"""The ADS client: one gRPC stream to the control plane, state of the world, kept open for the life of the proxy.

A response is compiled, put to use and answered before the next one is looked at, so that no update is lost or
overtaken. Listeners and routes that arrive while clusters still wait for their endpoints are held back until these are
there (or a bounded time): a route never points at a cluster that is not ready. When the stream breaks, the proxy goes
on with what it has, and the client comes back with jittered back-off.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import grpc
import grpc.aio
from envoy.config.cluster.v3.cluster_pb2 import Cluster as ClusterMessage
from envoy.config.core.v3.base_pb2 import Node
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener as ListenerMessage
from envoy.config.route.v3.route_pb2 import RouteConfiguration as RouteConfigurationMessage
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse

from sidecar.compiler.clusters import compile_cluster
from sidecar.compiler.endpoints import compile_endpoints
from sidecar.compiler.listeners import compile_listener
from sidecar.compiler.names import compile_names
from sidecar.compiler.routes import RouteCompiler
from sidecar.compiler.workloads import compile_workload
from sidecar.config.clusters import Cluster
from sidecar.config.endpoints import Endpoints
from sidecar.config.listeners import Listener
from sidecar.config.names import NameTable
from sidecar.config.routes import RouteConfiguration
from sidecar.telemetry.peers import Peer
from sidecar.telemetry.stats import Stats
from sidecar.xds.name_table import NameTable as NameTableMessage
from sidecar.xds.resources import TYPE_PREFIX, ResourceSet, Update, rejection_text
from sidecar.xds.subscription import Subscription
from sidecar.xds.workload import Workload as WorkloadMessage

log = logging.getLogger(__name__)

CLUSTER_TYPE = TYPE_PREFIX + "envoy.config.cluster.v3.Cluster"
ENDPOINT_TYPE = TYPE_PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER_TYPE = TYPE_PREFIX + "envoy.config.listener.v3.Listener"
ROUTE_TYPE = TYPE_PREFIX + "envoy.config.route.v3.RouteConfiguration"
NAME_TABLE_TYPE = TYPE_PREFIX + "istio.networking.nds.v1.NameTable"
WORKLOAD_TYPE = TYPE_PREFIX + "lugsail.workload.v1.Workload"
_PROXY_TYPES = (CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE)

_STREAM = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
#: A response larger than this ends the stream; the largest meshes of Istio stay below.
MAX_MESSAGE_BYTES = 32 * 1024 * 1024
#: Waits between attempts to connect: the first, and the bound that doubling leads to.
BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.1, 1.0
#: A stream is pinged when it was silent for so long, and given up when that is not answered for so long.
KEEPALIVE_S = (30.0, 10.0)
#: How long listeners and routes wait for the endpoints of new clusters.
WARMING_LIMIT_S = 5.0

Errors = Mapping[str, str]
OnClusters = Callable[[dict[str, Cluster], set[str]], Errors]
OnEndpoints = Callable[[dict[str, Endpoints]], Errors]
OnListeners = Callable[[dict[str, Listener], set[str]], Errors]
OnRoutes = Callable[[dict[str, RouteConfiguration], set[str]], Errors]
OnNames = Callable[[NameTable], None]
OnPeers = Callable[[dict[str, Peer], set[str]], None]

#: What may name clusters, or addresses of listeners: put to use once the clusters are ready.
_HELD_TYPES = frozenset((LISTENER_TYPE, ROUTE_TYPE, NAME_TABLE_TYPE))
#: Type → (word in messages, statistics prefix)
_WORDS = {
    CLUSTER_TYPE: ("cluster", "cluster_manager.cds."),
    ENDPOINT_TYPE: ("endpoint assignment", "cluster_manager.eds."),
    LISTENER_TYPE: ("listener", "listener_manager.lds."),
    ROUTE_TYPE: ("route configuration", "http.rds."),
    NAME_TABLE_TYPE: ("name table", "dns.nds."),
    WORKLOAD_TYPE: ("workload", "peers.wds."),
}
_COUNTERS = {"attempt": "update_attempt", "success": "update_success", "rejected": "update_rejected"}


class XdsClient:
    """Subscribes to clusters and listeners, and to the endpoints and routes these name.

    Each callback gets the compiled resources that changed (and names that went) and answers {name: what is wrong} for
    those it could not put to use; these, and what did not compile, are NACKed by name, and the rest stays applied.
    `keepalive_s`: silence before a ping, and the wait for its answer.
    `on_peers` gets the mesh's workloads by address, which nothing but metrics waits for; asked for only with it.
    `on_names` gets the table of names for the pod's DNS server, which is asked for only with it.
    `resources` holds what the control plane sent, by type URL, for the admin page.
    """

    def __init__(
        self,
        target: str,
        node: Node,
        stats: Stats,
        *,
        on_clusters: OnClusters,
        on_endpoints: OnEndpoints,
        on_listeners: OnListeners,
        on_routes: OnRoutes,
        on_names: OnNames | None = None,
        on_peers: OnPeers | None = None,
        keepalive_s: tuple[float, float] = KEEPALIVE_S,
    ) -> None:
        self.target = target
        self.connected = False
        self._route_compiler = RouteCompiler()
        self.resources: dict[str, ResourceSet[Any]] = {
            kind.type_url: kind
            for kind in (
                ResourceSet(CLUSTER_TYPE, ClusterMessage, lambda m: m.name, compile_cluster, whole=True),
                ResourceSet(
                    ENDPOINT_TYPE, ClusterLoadAssignment, lambda m: m.cluster_name, compile_endpoints, whole=False
                ),
                ResourceSet(LISTENER_TYPE, ListenerMessage, lambda m: m.name, compile_listener, whole=True),
                ResourceSet(
                    ROUTE_TYPE, RouteConfigurationMessage, lambda m: m.name, self._route_compiler.compile, whole=False
                ),
                ResourceSet(
                    NAME_TABLE_TYPE,
                    NameTableMessage,
                    lambda _: "name-table",  # there is one, and it has no name of its own
                    lambda m: compile_names(m, _dns_domain(node)),
                    whole=True,
                ),
                ResourceSet(WORKLOAD_TYPE, WorkloadMessage, lambda m: m.address, compile_workload, whole=True),
            )
        }
        self._node = node
        self._stats = stats
        self._on_clusters = on_clusters
        self._on_endpoints = on_endpoints
        self._on_listeners = on_listeners
        self._on_routes = on_routes
        self._on_names = on_names
        self._on_peers = on_peers
        ping_s, timeout_s = keepalive_s
        self._channel_options = (
            *_CHANNEL_OPTIONS,
            ("grpc.keepalive_time_ms", int(ping_s * 1000)),
            ("grpc.keepalive_timeout_ms", int(timeout_s * 1000)),
        )
        optional = ((NAME_TABLE_TYPE, on_names), (WORKLOAD_TYPE, on_peers))
        self._wanted: tuple[str, ...] = (*_PROXY_TYPES, *(url for url, taker in optional if taker is not None))
        self._subscriptions = {url: Subscription(url, wildcard=kind.whole) for url, kind in self.resources.items()}
        self._clusters: dict[str, Cluster] = {}
        self._listeners: dict[str, Listener] = {}
        self._answered: set[str] = set()
        self._held: list[DiscoveryResponse] = []
        self._held_timer: asyncio.TimerHandle | None = None
        self._outgoing: asyncio.Queue[DiscoveryRequest] = asyncio.Queue()
        self._connected_gauge = stats.gauge("control_plane.connected_state")

    @classmethod
    def for_names(
        cls,
        target: str,
        node: Node,
        stats: Stats,
        on_names: OnNames,
        keepalive_s: tuple[float, float] = KEEPALIVE_S,
    ) -> XdsClient:
        """A client of the name table alone: for the agent whose proxy, an Envoy, has a stream of its own."""

        def nothing(*_: object) -> Errors:
            return {}

        client = cls(
            target,
            node,
            stats,
            on_clusters=nothing,
            on_endpoints=nothing,
            on_listeners=nothing,
            on_routes=nothing,
            on_names=on_names,
            keepalive_s=keepalive_s,
        )
        client._wanted = (NAME_TABLE_TYPE,)
        return client

    @property
    def initialized(self) -> bool:
        """Everything that was asked for has come at least once (good or not), routes too, and nothing waits."""
        routes = self.resources[ROUTE_TYPE]
        return (
            all(url in self._answered for url in self._wanted if self.resources[url].whole and url != WORKLOAD_TYPE)
            and not self._held
            and all(name in routes.accepted or name in routes.refused for name in self._wanted_routes())
        )

    async def run(self) -> None:
        """Keep a stream open until cancelled."""
        delay_s = BACKOFF_FIRST_S
        while True:
            started = time.monotonic()
            try:
                await self._stream()
                reason = "the control plane closed the stream"
            except grpc.aio.AioRpcError as error:
                reason = f"{error.code().name}: {error.details()}"
            except Exception as error:
                # Whatever it is: the proxy goes on serving, and the next stream starts from the beginning.
                log.exception("the xDS stream failed")
                reason = f"{type(error).__name__}: {error}"
            was_connected, self.connected = self.connected, False
            self._connected_gauge.value = 0
            if was_connected or time.monotonic() - started > BACKOFF_MAX_S:
                delay_s = BACKOFF_FIRST_S
            wait_s = delay_s * random.uniform(0.5, 1.0)
            log.log(
                logging.WARNING if was_connected or delay_s == BACKOFF_FIRST_S else logging.DEBUG,
                "xDS stream to %s ended (%s); traffic goes on with the last configuration, next try in %.1f s",
                self.target, reason, wait_s,
            )  # fmt: skip
            await asyncio.sleep(wait_s)
            delay_s = min(delay_s * 2, BACKOFF_MAX_S)

    async def _stream(self) -> None:
        """One stream, from its first request to its end."""
        self._outgoing = asyncio.Queue()
        self._stop_holding()
        self._held.clear()
        async with grpc.aio.insecure_channel(self.target, options=self._channel_options) as channel:
            call = channel.stream_stream(
                _STREAM,
                request_serializer=DiscoveryRequest.SerializeToString,
                response_deserializer=DiscoveryResponse.FromString,
            )()
            writer = asyncio.create_task(self._write(call))
            try:
                self._start()
                async for response in call:
                    if not self.connected:
                        self.connected = True
                        self._connected_gauge.value = 1
                        log.info("xDS stream to %s is up", self.target)
                    self.handle(response)
            finally:
                self._stop_holding()
                writer.cancel()
                call.cancel()

    async def _write(self, call: Any) -> None:
        first = True
        while True:
            request = await self._outgoing.get()
            if first:
                request.node.CopyFrom(self._node)
                first = False
            try:
                await call.write(request)
            except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
                return  # the reading side tells why the stream ended

    def _start(self) -> None:
        for url in self._wanted:
            self._send(self._subscriptions[url].start())

    def _send(self, request: DiscoveryRequest | None) -> None:
        if request is not None:
            self._outgoing.put_nowait(request)

    def handle(self, response: DiscoveryResponse) -> None:
        """Apply one response and answer it, or hold it back while clusters warm."""
        if response.type_url not in self._wanted:
            log.warning("the control plane sent %r, which was not asked for", response.type_url)
            return
        self._count(response.type_url, "attempt")
        if response.type_url in _HELD_TYPES and (self._held or self._warming()):
            self._held.append(response)
            if self._held_timer is None:
                self._held_timer = asyncio.get_running_loop().call_later(WARMING_LIMIT_S, self._on_warming_limit)
            return
        self._apply(response)
        if self._held and not self._warming():
            self._release()

    def _warming(self) -> set[str]:
        """EDS names that were asked for and never answered."""
        return set(self._subscriptions[ENDPOINT_TYPE].names - self.resources[ENDPOINT_TYPE].accepted.keys())

    def _on_warming_limit(self) -> None:
        log.warning("no endpoints came for %s; going on without", ", ".join(sorted(self._warming())))
        self._held_timer = None
        self._release()

    def _release(self) -> None:
        self._stop_holding()
        held, self._held = self._held, []
        for response in held:
            self._apply(response)

    def _stop_holding(self) -> None:
        if self._held_timer is not None:
            self._held_timer.cancel()
            self._held_timer = None

    def _apply(self, response: DiscoveryResponse) -> None:
        url = response.type_url
        kind = self.resources[url]
        subscription = self._subscriptions[url]
        update = kind.receive(response.version_info, response.resources, None if kind.whole else subscription.names)
        errors = dict(update.errors)
        try:
            errors.update(self._put_to_use(url, update))
        except Exception as error:
            # A bug behind a callback: say so to the control plane, and keep the stream and the traffic.
            log.exception("applying %s %s failed", url, response.version_info)
            errors.update(dict.fromkeys(update.changed, f"internal error: {type(error).__name__}: {error}"))
        kind.commit(update, errors, time.time())
        word, _ = _WORDS[url]
        if errors:
            text = rejection_text(word, errors)
            log.warning("rejected %s", text)
            self._count(url, "rejected")
            self._send(subscription.nack(response.nonce, text))
        else:
            self._count(url, "success")
            self._send(subscription.ack(response.version_info, response.nonce))
        self._answered.add(url)
        self._follow(url)

    def _put_to_use(self, url: str, update: Update[Any]) -> Errors:
        if url == CLUSTER_TYPE:
            errors = self._on_clusters(update.changed, update.removed)
            self._merge(self._clusters, update, errors)
            return errors
        if url == LISTENER_TYPE:
            errors = self._on_listeners(update.changed, update.removed)
            self._merge(self._listeners, update, errors)
            return errors
        if url == ENDPOINT_TYPE:
            return self._on_endpoints(update.changed) if update.changed else {}
        if url == NAME_TABLE_TYPE:
            for table in update.changed.values():  # without one the last stays in force
                assert self._on_names is not None
                self._on_names(table)
            return {}
        if url == WORKLOAD_TYPE:
            assert self._on_peers is not None
            self._on_peers(update.changed, update.removed)
            return {}
        return self._on_routes(update.changed, set()) if update.changed else {}

    @staticmethod
    def _merge(held: dict[str, Any], update: Update[Any], errors: Errors) -> None:
        for name in update.removed:
            held.pop(name, None)
        held.update({name: value for name, value in update.changed.items() if name not in errors})

    def _follow(self, url: str) -> None:
        """Subscribe to what the resources in use refer to, and let go of the rest."""
        if url == CLUSTER_TYPE:
            names: Iterable[str] = {_eds_name(cluster) for cluster in self._clusters.values()} - {""}
            self._watch(ENDPOINT_TYPE, names)
        elif url == LISTENER_TYPE:
            gone = self._watch(ROUTE_TYPE, self._wanted_routes())
            if gone:
                self._on_routes({}, set(gone))
                self._route_compiler.forget(gone)

    def _wanted_routes(self) -> set[str]:
        return {name for listener in self._listeners.values() for name in listener.rds_names}

    def _watch(self, url: str, names: Iterable[str]) -> frozenset[str]:
        """Subscribe to `names` of a type; answers those that are no longer wanted."""
        subscription = self._subscriptions[url]
        gone = subscription.names - frozenset(names)
        self._send(subscription.watch(names))
        self.resources[url].drop(gone)
        return gone

    def _count(self, url: str, what: str) -> None:
        self._stats.counter(_WORDS[url][1] + _COUNTERS[what]).value += 1


def _dns_domain(node: Node) -> str:
    """`default.svc.cluster.local` of a node id such as `sidecar~10.0.0.1~web.default~default.svc.cluster.local`."""
    return str(node.id.rpartition("~")[2])


def _eds_name(cluster: Cluster) -> str:
    return (cluster.eds_service_name or cluster.name) if cluster.type == "eds" else ""


_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # A channel of its own per stream: back-off is ours, not shared with an earlier attempt.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    # A stream that is quiet for hours is pinged all the same.
    ("grpc.http2.max_pings_without_data", 0),
    # How long one attempt to connect may take; the next one asks for the control plane's address anew.
    ("grpc.min_reconnect_backoff_ms", 3_000),
)
