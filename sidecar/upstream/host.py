"""A runtime host: one endpoint of one cluster, with what load balancing, outlier detection and the pool count on it.

Mutable and shared: the cluster manager makes it, the data path counts requests on it, the balancer reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sidecar.config.endpoints import Endpoint, Locality


class Host:
    """An endpoint at run time; kept across endpoint updates while its address stays."""

    __slots__ = (
        "active_connections",
        "active_requests",
        "address",
        "connect_failures",
        "connections_total",
        "ejected",
        "endpoint",
        "failed_health_check",
        "healthy",
        "key",
        "locality",
        "outlier",
        "pool",
        "priority",
        "requests_error",
        "requests_success",
        "requests_timeout",
        "requests_total",
        "weight",
    )

    def __init__(self, endpoint: Endpoint, locality: Locality | None = None, priority: int = 0) -> None:
        self.endpoint = endpoint
        self.locality = locality
        self.priority = priority
        #: `ip:port`, what consistent hashing and the admin page call it.
        self.address = endpoint.host_port
        self.key = (endpoint.hash_key or self.address).encode()
        self.weight = endpoint.weight
        self.ejected = False
        self.failed_health_check = False
        #: The sum of it all: told healthy by the control plane, not ejected, no failed health check.
        self.healthy = endpoint.healthy
        self.active_requests = 0
        self.active_connections = 0
        self.requests_total = 0
        self.requests_success = 0
        self.requests_error = 0
        self.requests_timeout = 0
        self.connections_total = 0
        self.connect_failures = 0
        #: The outlier detector's own record of this host, or None.
        self.outlier: Any = None
        #: The connection pool's own record of this host, or None.
        self.pool: Any = None

    def update(self, endpoint: Endpoint, locality: Locality | None, priority: int) -> None:
        """Take over a newer description of the same address."""
        self.endpoint = endpoint
        self.locality = locality
        self.priority = priority
        self.key = (endpoint.hash_key or self.address).encode()
        self.weight = endpoint.weight
        self.refresh_health()

    def refresh_health(self) -> None:
        """Recompute `healthy` after one of its causes changed. The balancer must be told (`LoadBalancer.refresh`)."""
        self.healthy = self.endpoint.healthy and not self.ejected and not self.failed_health_check
