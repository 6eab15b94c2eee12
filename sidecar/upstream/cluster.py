"""One cluster at run time: its hosts, their pools, its limits, balancer and statistics."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from random import random
from typing import Any, Protocol

from sidecar.config.clusters import Cluster, Thresholds, UpstreamTls
from sidecar.config.endpoints import Endpoint, Endpoints
from sidecar.telemetry.stats import Stats
from sidecar.timers import NS_PER_MS, TimerWheel
from sidecar.upstream.circuit_breaker import allows_retry
from sidecar.upstream.cluster_stats import ClusterStats
from sidecar.upstream.connection import CONNECT_FAILURE, CONNECT_TIMEOUT
from sidecar.upstream.host import Host
from sidecar.upstream.keepalive import keep_alive
from sidecar.upstream.load_balancer import LoadBalancer
from sidecar.upstream.outlier_detection import OutlierDetector
from sidecar.upstream.pool import HostPool
from sidecar.upstream.source_address import connect_from
from sidecar.upstream.tls import client_context, names_match

#: ORIGINAL_DST hosts that nobody used for so long are forgotten (Envoy: cleanup_interval).
_ORIGINAL_DST_CLEANUP_MS = 5_000.0
_MAX_ORIGINAL_DST_HOSTS = 4096


class PickContext(Protocol):
    """What choosing a host may depend on."""

    tried: list[Host] | None
    original_destination: tuple[str, int] | None

    def request_hash(self) -> int | None:
        """The hash of the route's hash policies."""

    def host_attempts(self) -> int:
        """How often a retry may pick again to avoid a host it tried."""

    def avoided_priorities(self, known: Sequence[int]) -> frozenset[int]:
        """The priorities that a retry leaves out; `known` are all there are."""

    def header(self, name: bytes) -> bytes | None:
        """A request header."""


class ClusterRuntime:
    """Built from one frozen `Cluster`; a changed cluster is a new runtime and the old one drains."""

    __slots__ = (
        "_by_address",
        "_cleanup",
        "_contexts",
        "_ejections",
        "_loopback_source",
        "_original",
        "_outlier_tick",
        "balancer",
        "config",
        "drops",
        "endpoints",
        "hashing",
        "hosts",
        "limits",
        "loop",
        "name",
        "outlier",
        "retries_active",
        "stats",
        "wheel",
    )

    def __init__(
        self,
        config: Cluster,
        stats: Stats,
        loop: asyncio.AbstractEventLoop,
        wheel: TimerWheel,
        loopback_source: str = "",
    ) -> None:
        self._loopback_source = loopback_source
        self.config = config
        self.name = config.name
        self.loop = loop
        self.wheel = wheel
        self.stats = ClusterStats(stats, config.stat_name or config.name)
        self.limits: Thresholds = config.circuit_breakers.default
        self.hosts: tuple[Host, ...] = ()
        self.endpoints: Endpoints | None = None
        self.drops: tuple[float, ...] = ()  # the shares of requests to turn away (the endpoints' drop_overloads)
        self.retries_active = 0
        self._ejections = 0  # of those that the detector has enforced, how many are counted already
        self._by_address: dict[str, Host] = {}
        self._original: dict[str, Host] = {}
        self._contexts: dict[int, ssl.SSLContext] = {}
        self._cleanup = wheel.deadline(self._forget_original)
        self._outlier_tick = wheel.deadline(self._tick_outlier)
        self.balancer = LoadBalancer(config.lb)
        self.hashing = config.lb.kind in ("ring_hash", "maglev")
        self.outlier: OutlierDetector | None = None
        if config.outlier is not None:
            self.outlier = OutlierDetector(config.outlier, random)
            self._outlier_tick.after(config.outlier.interval_ms)
        self._export_gauges(stats)

    def _export_gauges(self, stats: Stats) -> None:
        """Gauges that are computed when somebody looks. A newer runtime of the same name takes them over."""
        limits, counted = self.limits, self.stats
        prefix = counted.prefix
        if self.outlier is not None:
            outlier = self.outlier
            stats.gauge_function(prefix + "outlier_detection.ejections_active", lambda: outlier.active)
        breakers = prefix + "circuit_breakers."
        stats.gauge_function(breakers + "default.cx_open", lambda: counted.cx_active.value >= limits.max_connections)
        stats.gauge_function(
            breakers + "default.rq_pending_open", lambda: counted.rq_pending_active.value >= limits.max_pending_requests
        )
        stats.gauge_function(breakers + "default.rq_open", lambda: counted.rq_active.value >= limits.max_requests)
        stats.gauge_function(breakers + "default.rq_retry_open", lambda: not self.may_retry())

    def drop(self) -> bool:
        """Whether to turn this request away. Only asked where there are `drops`."""
        return any(random() < share for share in self.drops)

    def update_endpoints(self, endpoints: Endpoints) -> None:
        """Take a new assignment. Hosts whose address stays keep their connections and counts; others drain."""
        self.endpoints = endpoints
        self.drops = tuple(share for _, share in endpoints.drop_fractions if share > 0)
        old = self._by_address
        new: dict[str, Host] = {}
        for locality in endpoints.localities:
            for endpoint in locality.endpoints:
                address = endpoint.host_port
                if address in new:
                    continue
                host = old.get(address)
                if host is None:
                    host = Host(endpoint, locality.locality, locality.priority)
                    host.pool = HostPool(self, host)
                else:
                    host.update(endpoint, locality.locality, locality.priority)
                new[address] = host
        for address, host in old.items():
            if address not in new:
                host.pool.drain()
        if old.keys() != new.keys():
            self.stats.membership_change.value += 1
        self._by_address = new
        self.hosts = tuple(new.values())
        self.stats.membership_total.value = len(self.hosts)
        self.refresh()

    def refresh(self) -> None:
        """Health or membership changed: tell the balancer."""
        if self.outlier is not None:
            self.outlier.update(self.hosts)
            ejections = sum(self.outlier.enforced.values())
            self.stats.ejections.value += ejections - self._ejections
            self._ejections = ejections
        self.stats.membership_healthy.value = sum(host.healthy for host in self.hosts)
        self.balancer.update(self.hosts, self.endpoints)

    def original_host(self, address: str, port: int) -> Host | None:
        """The host of an ORIGINAL_DST cluster for this destination; None where there are too many already."""
        key = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        host = self._original.get(key)
        if host is None:
            if len(self._original) >= _MAX_ORIGINAL_DST_HOSTS:
                return None
            host = self._original[key] = Host(Endpoint(address=address, port=port))
            host.pool = HostPool(self, host)
            self.hosts = tuple(self._original.values())
            self.stats.membership_total.value = self.stats.membership_healthy.value = len(self.hosts)
            if not self._cleanup.at_ns:
                self._cleanup.after(_ORIGINAL_DST_CLEANUP_MS)
        return host

    def pick(self, context: PickContext) -> Host | None:
        """The host for a request; None where no host may take it."""
        only = self.balancer.only
        if only is not None and context.tried is None and not self.hashing:
            return only(random, None, 0)
        if self.config.type == "original_dst":
            return self._pick_original(context)
        request_hash = context.request_hash() if self.hashing else None
        tried = context.tried
        if tried is None:
            return self.balancer.pick(random, request_hash)
        attempts = context.host_attempts()
        avoided = context.avoided_priorities(self.balancer.priorities)
        return self.balancer.pick(random, request_hash, tried if attempts else (), attempts, avoided)

    def pick_any(self) -> Host | None:
        """A host for something that is no routed request (mirrors)."""
        return self.balancer.pick(random)

    def _pick_original(self, context: PickContext) -> Host | None:
        lb = self.config.lb
        destination = context.original_destination
        if lb.address_header is not None:
            ip, _, port_text = (context.header(lb.address_header) or b"").decode("latin-1").rpartition(":")
            if ip and port_text.isdigit():
                destination = (ip.strip("[]"), int(port_text))
        if destination is None:
            return None
        return self.original_host(destination[0], lb.port_override or destination[1])

    def may_retry(self) -> bool:
        """Whether the circuit breaker lets one more retry run."""
        stats = self.stats
        return allows_retry(
            self.limits, self.retries_active, int(stats.rq_active.value), int(stats.rq_pending_active.value)
        )

    def on_status(self, host: Host, status: int) -> None:
        """Outlier detection: a response, or a failure that stands for one. Only called where `outlier` is set."""
        assert self.outlier is not None
        if self.outlier.on_status(host, status, self.wheel.now_ns() / NS_PER_MS):
            self.refresh()

    def on_reset(self, host: Host, reason: int) -> None:
        """Outlier detection: an attempt without a response."""
        assert self.outlier is not None
        now_ms = self.wheel.now_ns() / NS_PER_MS
        local = reason in (CONNECT_FAILURE, CONNECT_TIMEOUT)
        if self.outlier.on_local_failure(host, now_ms) if local else self.outlier.on_status(host, 502, now_ms):
            self.refresh()

    def _tick_outlier(self) -> None:
        assert self.outlier is not None
        if self.outlier.tick(self.wheel.now_ns() / NS_PER_MS):
            self.refresh()
        self._outlier_tick.after(self.outlier.config.interval_ms)

    def _forget_original(self) -> None:
        for key, host in list(self._original.items()):
            if host.pool.unused:
                del self._original[key]
        self.hosts = tuple(self._original.values())
        self.stats.membership_total.value = self.stats.membership_healthy.value = len(self.hosts)
        if self._original:
            self._cleanup.after(_ORIGINAL_DST_CLEANUP_MS)

    def drain(self) -> None:
        """The cluster is replaced or gone: connections close as their requests end."""
        for host in (*self.hosts, *self._original.values()):
            host.pool.drain()
        self._cleanup.clear()
        self._outlier_tick.clear()

    async def open(self, host: Host, factory: Callable[[], asyncio.Protocol]) -> None:
        """Connect to a host within the connect timeout. Raises TimeoutError, ssl.SSLError or another OSError."""
        endpoint = host.endpoint
        tls = self.config.tls_for(endpoint.transport_labels)
        options: dict[str, Any] = {}
        if tls is not None:
            options["ssl"] = self._context(tls)
            options["server_hostname"] = tls.sni or endpoint.hostname or ""
        async with asyncio.timeout(self.config.connect_timeout_ms / 1000):
            if not endpoint.port:
                transport, _ = await self.loop.create_unix_connection(factory, endpoint.address, **options)
            else:
                source = self.config.bind_address or self._source_for(endpoint.address)
                if source:
                    options["sock"] = await connect_from(self.loop, source, endpoint.address, endpoint.port)
                    transport, _ = await self.loop.create_connection(factory, **options)
                else:
                    where = endpoint.address, endpoint.port
                    transport, _ = await self.loop.create_connection(factory, *where, **options)
        if self.config.keepalive is not None:
            keep_alive(transport.get_extra_info("socket"), self.config.keepalive)
        if tls is not None and not names_match(tls, transport.get_extra_info("peercert")):
            transport.abort()
            raise ssl.SSLError(ssl.SSL_ERROR_SSL, "CERTIFICATE_VERIFY_FAILED:verify_SAN_list")

    def _source_for(self, address: str) -> str:
        """Pods that share a machine call each other from their own addresses; others can not be reached from these."""
        return self._loopback_source if address.startswith("127.") else ""

    def _context(self, tls: UpstreamTls) -> ssl.SSLContext:
        context = self._contexts.get(id(tls))
        if context is None:
            context = self._contexts[id(tls)] = client_context(tls)
        return context
