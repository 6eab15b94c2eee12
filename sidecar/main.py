"""The composition root of a pod's agent: everything is made here, in the order in which data flows.

    control plane → XdsClient → (compiler) → ClusterManager, RouteTables, ListenerManager → requests
    requests → StreamInfo → access log, Istio's metrics → Stats → admin page

Importing this module starts nothing: a warmed process forks agents from it.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

import uvloop
from envoy.config.core.v3.base_pb2 import Node
from google.protobuf.json_format import ParseDict

from sidecar.admin.config_dump import ConfigDump
from sidecar.admin.server import Admin, ProxyView, resident_bytes
from sidecar.agent.apply import Appliers
from sidecar.agent.bootstrap import (
    ADMIN_PORT,
    HEALTH_PORT,
    POD_KEEPALIVE_S,
    PROMETHEUS_PORT,
    discovery_target,
    loopback_source,
)
from sidecar.agent.envoy import run_envoy
from sidecar.agent.identity import CLUSTER_ID
from sidecar.agent.options import Options, configure_logging, parse_options, write_bootstrap
from sidecar.agent.pod import BadEnvironment, PodServices
from sidecar.http.route_tables import RouteTables
from sidecar.http.tracers import Tracers, own_version
from sidecar.listener.manager import ListenerManager
from sidecar.telemetry.access_log import AccessLogWriters
from sidecar.telemetry.istio_metrics import ConnectionRecorder, LocalWorkload, RequestRecorder
from sidecar.telemetry.peers import Peers
from sidecar.telemetry.stats import Stats
from sidecar.telemetry.tracing import LocalNode
from sidecar.upstream.cluster_manager import ClusterManager
from sidecar.xds.client import KEEPALIVE_S, XdsClient

log = logging.getLogger(__name__)

#: What the proxy calls itself to the control plane, which has other things to say to a stock Envoy ("envoy").
USER_AGENT = "lugsail"

#: Requests in flight may take so long after SIGTERM.
DRAIN_LIMIT_S = 4.5


def main(argv: Sequence[str]) -> int:
    """Run one pod's agent with its proxy until SIGTERM; the process's exit status."""
    return run(parse_options(argv))


def run(options: Options) -> int:
    """As `main`, from parsed options."""
    configure_logging(options.log_level)
    try:
        bootstrap = write_bootstrap(options)
    except OSError as error:
        log.error("can not write %s: %s", options.bootstrap_path, error)
        return 1
    if options.proxy == "envoy":
        return run_envoy(options)
    return uvloop.run(_serve(options, bootstrap))


async def _serve(options: Options, bootstrap: dict[str, Any]) -> int:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    local = _local_workload(options)

    stats = _server_stats(time.monotonic())
    logs = AccessLogWriters(stats, loop)
    clusters = ClusterManager(stats, loop, loopback_source=loopback_source(options.identity))
    routes = RouteTables()
    peers = Peers()
    requests, connections = RequestRecorder(stats, local, peers), ConnectionRecorder(stats, local, peers)
    tracers = Tracers(clusters, stats, _local_node(options))
    listeners = ListenerManager(
        stats, clusters, routes, logs, (requests.record,), (connections.record,), tracers=tracers
    )
    appliers = Appliers(clusters, routes, listeners)
    try:
        services = PodServices(options, stopping.set) if options.own_network else None
    except BadEnvironment as error:
        log.error("%s", error)
        return 1
    node = ParseDict(bootstrap["node"], Node(user_agent_name=USER_AGENT, user_agent_version=own_version()))
    xds = XdsClient(
        discovery_target(bootstrap),
        node,
        stats,
        on_clusters=appliers.clusters,
        on_endpoints=appliers.endpoints,
        on_listeners=appliers.listeners,
        on_routes=appliers.routes,
        on_names=services.on_names if services is not None else None,
        on_peers=peers.update,
        keepalive_s=POD_KEEPALIVE_S if options.own_network else KEEPALIVE_S,
    )
    view = ProxyView(
        bootstrap=bootstrap,
        stats=stats,
        config_dump=ConfigDump(bootstrap, time.time(), xds.resources, lambda: clusters.warming),
        clusters=lambda: clusters.clusters.values(),
        listeners=lambda: [(name, *one.config.addresses[0]) for name, one in listeners.active.items() if one.sockets],
        initialized=lambda: xds.initialized and not listeners.warming,
        drain=listeners.drain,
        quit=stopping.set,
        reopen_logs=logs.reopen,
        options={"config_path": str(options.bootstrap_path), "concurrency": 1, "log_level": options.log_level},
    )
    pages = options.pages_address
    admin = Admin(
        view,
        admin=(options.admin_address, ADMIN_PORT),
        prometheus=(pages, PROMETHEUS_PORT),
        health=(pages, HEALTH_PORT),
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGUSR1, logs.reopen)
    try:
        await admin.start()
        if services is not None:
            await services.start()
    except OSError as error:
        log.error("%s", error.strerror)
        await admin.stop()
        return 1
    log.info("%s is up, xDS from %s", options.identity.node_id, xds.target)
    _calm_collector()
    streaming = loop.create_task(xds.run())
    streaming.add_done_callback(lambda _: stopping.set())
    await stopping.wait()

    view.health_failed = True
    await _drain(listeners)
    tracers.flush()
    failed = streaming.done() and not streaming.cancelled()
    streaming.cancel()
    await asyncio.gather(streaming, return_exceptions=True)
    if failed:
        log.error("the xDS client ended: %r", streaming.exception())
    tracers.close()
    clusters.close()
    if services is not None:
        await services.stop()
    await admin.stop()
    logs.close()
    return 1 if failed else 0


def _calm_collector() -> None:
    """Requests leave no cycles behind: looking for them every 700 objects costs a tenth of the data path's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _drain(listeners: ListenerManager) -> None:
    """Stop accepting and let requests in flight end, within DRAIN_LIMIT_S."""
    deadline = time.monotonic() + DRAIN_LIMIT_S
    listeners.drain()
    # Polled: an event for it would cost every connection something, for the sake of one moment.
    while listeners.open_connections and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    listeners.close()


def _local_workload(options: Options) -> LocalWorkload:
    identity = options.identity
    return LocalWorkload(
        workload=identity.workload,
        namespace=identity.namespace,
        app=identity.labels.get("app") or identity.app,
        version=identity.labels.get("version") or identity.version,
        canonical_service=identity.app,
        canonical_revision=identity.version,
        cluster_id=CLUSTER_ID,
    )


def _local_node(options: Options) -> LocalNode:
    identity = options.identity
    node = identity.node()
    return LocalNode(id=identity.node_id, cluster=node["cluster"], ip=identity.ip)


def _server_stats(started: float) -> Stats:
    stats = Stats()
    stats.gauge("server.live").value = 1
    stats.gauge("server.concurrency").value = 1
    stats.gauge_function("server.uptime", lambda: int(time.monotonic() - started))
    stats.gauge_function("server.memory_allocated", resident_bytes)
    stats.gauge_function("server.memory_physical_size", resident_bytes)
    return stats


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
