"""Clusters that are given by names: STRICT_DNS (every address) and LOGICAL_DNS (one), resolved again and again."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable
from dataclasses import replace

from sidecar.config.clusters import Cluster
from sidecar.config.endpoints import Endpoint, Endpoints

_FAMILIES = {"v4_only": socket.AF_INET, "v6_only": socket.AF_INET6}


class DnsResolution:
    """Keeps the endpoints of one cluster resolved until `stop`. A name that fails keeps its last addresses."""

    __slots__ = ("_cluster", "_known", "_loop", "_task", "_update", "failures")

    def __init__(
        self, cluster: Cluster, loop: asyncio.AbstractEventLoop, update: Callable[[Endpoints], None]
    ) -> None:
        self._cluster = cluster
        self._loop = loop
        self._update = update
        self._known: dict[tuple[str, int], tuple[str, ...]] = {}
        self.failures = 0
        self._task = loop.create_task(self._run())

    def stop(self) -> None:
        """No more lookups."""
        self._task.cancel()

    async def _run(self) -> None:
        dns = self._cluster.dns
        last: Endpoints | None = None
        failed_in_a_row = 0
        while True:
            resolved, failed = await self._resolve()
            if resolved != last:
                last = resolved
                self._update(resolved)
            if failed:
                failed_in_a_row += 1
                self.failures += 1
                delay_ms = min(dns.failure_base_ms * 2 ** min(failed_in_a_row - 1, 16), dns.failure_max_ms)
                delay_ms *= random.uniform(0.5, 1.0)
            else:
                failed_in_a_row = 0
                delay_ms = dns.refresh_ms + random.uniform(0.0, dns.jitter_ms)
            await asyncio.sleep(max(delay_ms, 10.0) / 1000)

    async def _resolve(self) -> tuple[Endpoints, bool]:
        """The cluster's endpoints with addresses for names, and whether a lookup failed."""
        configured = self._cluster.endpoints or Endpoints(cluster_name=self._cluster.name)
        failed = False
        localities = []
        for locality in configured.localities:
            endpoints: list[Endpoint] = []
            for endpoint in locality.endpoints:
                addresses = await self._addresses(endpoint)
                failed = failed or addresses is None
                hostname = endpoint.hostname or endpoint.address
                endpoints.extend(
                    replace(endpoint, address=address, hostname=hostname)
                    for address in addresses or self._known.get((endpoint.address, endpoint.port), ())
                )
            localities.append(replace(locality, endpoints=tuple(endpoints)))
        return replace(configured, localities=tuple(localities)), failed

    async def _addresses(self, endpoint: Endpoint) -> tuple[str, ...] | None:
        family = _FAMILIES.get(self._cluster.dns.family, socket.AF_UNSPEC)
        try:
            found = await self._loop.getaddrinfo(
                endpoint.address, endpoint.port, family=family, type=socket.SOCK_STREAM
            )
        except OSError:
            return None
        # Sorted, so that an answer in another order is no change; "auto" and "v4_preferred" take one family.
        v4 = sorted({str(row[4][0]) for row in found if row[0] == socket.AF_INET})
        v6 = sorted({str(row[4][0]) for row in found if row[0] == socket.AF_INET6})
        if self._cluster.dns.family == "all":
            addresses = v4 + v6
        elif self._cluster.dns.family == "auto":
            addresses = v6 or v4
        else:
            addresses = v4 or v6
        if self._cluster.type == "logical_dns":
            addresses = addresses[:1]
        if not addresses:
            return None
        self._known[endpoint.address, endpoint.port] = tuple(addresses)
        return tuple(addresses)
