"""All clusters of the proxy: takes xDS updates, warms clusters until their endpoints are there, drains what goes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from functools import partial

from sidecar.config.clusters import Cluster
from sidecar.config.endpoints import Endpoints
from sidecar.telemetry.stats import Stats
from sidecar.timers import TimerWheel
from sidecar.upstream.cluster import ClusterRuntime
from sidecar.upstream.dns import DnsResolution


class ClusterManager:
    """`active` is what the router looks clusters up in; `warming` ones wait for their first endpoints.

    A changed cluster is built anew and replaces the old one once it is warm; until then the old one serves.
    `loopback_source`: the address that connections to 127.0.0.0/8 come from, "" = the system chooses.
    """

    def __init__(
        self,
        stats: Stats,
        loop: asyncio.AbstractEventLoop | None = None,
        wheel: TimerWheel | None = None,
        loopback_source: str = "",
    ) -> None:
        self._stats = stats
        self._loopback_source = loopback_source
        self.loop = loop or asyncio.get_running_loop()
        self.wheel = wheel or TimerWheel(self.loop.call_later, time.monotonic_ns)
        self.active: dict[str, ClusterRuntime] = {}
        self.warming: dict[str, ClusterRuntime] = {}
        self._assignments: dict[str, Endpoints] = {}
        self._dns: dict[ClusterRuntime, DnsResolution] = {}
        self._added = stats.counter("cluster_manager.cluster_added")
        self._modified = stats.counter("cluster_manager.cluster_modified")
        self._removed = stats.counter("cluster_manager.cluster_removed")
        self._active_gauge = stats.gauge("cluster_manager.active_clusters")
        self._warming_gauge = stats.gauge("cluster_manager.warming_clusters")

    @property
    def clusters(self) -> Mapping[str, ClusterRuntime]:
        """Every cluster by name, warming ones too where no older one serves (admin pages)."""
        return {**self.warming, **self.active}

    def update_clusters(self, updated: Mapping[str, Cluster], removed: set[str] | frozenset[str] = frozenset()) -> None:
        """Add or change `updated`, drop `removed`. An unchanged cluster keeps its connections."""
        for name, config in updated.items():
            current = self.warming.get(name) or self.active.get(name)
            if current is None:
                self._added.value += 1
            elif current.config == config:
                continue
            else:
                self._modified.value += 1
            self._replace(name, config)
        for name in removed:
            self._removed.value += 1
            for clusters in (self.warming, self.active):
                cluster = clusters.pop(name, None)
                if cluster is not None:
                    self._retire(cluster)
                    self._forget_stats(cluster)
        used = {one.config.eds_service_name or name for name, one in self.clusters.items()}
        for service in [service for service in self._assignments if service not in used]:
            del self._assignments[service]
        self._count()

    def _replace(self, name: str, config: Cluster) -> None:
        cluster = ClusterRuntime(config, self._stats, self.loop, self.wheel, self._loopback_source)
        waiting = self.warming.pop(name, None)
        if waiting is not None:
            self._retire(waiting)
        self.warming[name] = cluster
        if config.type == "eds":
            known = self._assignments.get(config.eds_service_name or name)
            if known is not None:
                cluster.update_endpoints(known)
                self._activate(cluster)
        elif config.type in ("strict_dns", "logical_dns"):
            self._dns[cluster] = DnsResolution(config, self.loop, partial(self._resolved, cluster))
        else:
            if config.type == "static":
                cluster.update_endpoints(config.endpoints or Endpoints(cluster_name=name))
            self._activate(cluster)

    def _resolved(self, cluster: ClusterRuntime, endpoints: Endpoints) -> None:
        cluster.stats.update_success.value += 1
        cluster.update_endpoints(endpoints)
        if self.warming.get(cluster.name) is cluster:
            self._activate(cluster)

    def _activate(self, cluster: ClusterRuntime) -> None:
        """The cluster is warm: requests from now on use it."""
        self.warming.pop(cluster.name, None)
        old = self.active.get(cluster.name)
        self.active[cluster.name] = cluster
        if old is not None:
            self._retire(old)
        self._count()

    def _retire(self, cluster: ClusterRuntime) -> None:
        resolution = self._dns.pop(cluster, None)
        if resolution is not None:
            resolution.stop()
        cluster.drain()

    def _forget_stats(self, gone: ClusterRuntime) -> None:
        """Its series go, unless its prefix is also the beginning of another cluster's names (`a.` and `a.b.`)."""
        prefix = gone.stats.prefix
        if not any(one.stats.prefix.startswith(prefix) for one in self.clusters.values()):
            self._stats.forget(prefix)

    def update_endpoints(self, endpoints: Endpoints) -> None:
        """A new assignment, for every cluster that names it."""
        service = endpoints.cluster_name
        self._assignments[service] = endpoints
        for clusters in (self.active, self.warming):
            for cluster in list(clusters.values()):
                config = cluster.config
                if config.type == "eds" and (config.eds_service_name or config.name) == service:
                    cluster.stats.update_success.value += 1
                    if cluster.endpoints != endpoints:
                        cluster.update_endpoints(endpoints)
                    if clusters is self.warming:
                        self._activate(cluster)

    def _count(self) -> None:
        self._active_gauge.value = len(self.active)
        self._warming_gauge.value = len(self.warming)

    def close(self) -> None:
        """Stop lookups and close idle connections."""
        for clusters in (self.active, self.warming):
            for cluster in list(clusters.values()):
                self._retire(cluster)
