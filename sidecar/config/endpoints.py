"""Endpoints of a cluster, by locality and priority, with the workload that Istio's metadata tells about each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Health = Literal["healthy", "unhealthy", "draining"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Who runs at an endpoint; Istio metadata `workload` is `name;namespace;canonical name;revision;cluster`.

    `namespace` and the rest are "" where unknown.
    """

    name: str = ""
    namespace: str = ""
    canonical_name: str = ""
    canonical_revision: str = ""
    cluster_id: str = ""


UNKNOWN_WORKLOAD = Workload()


@dataclass(frozen=True, slots=True, kw_only=True)
class Locality:
    """envoy.config.core.v3.Locality."""

    region: str = ""
    zone: str = ""
    sub_zone: str = ""


NO_LOCALITY = Locality()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One endpoint. `address` is an IP address, or a DNS name in clusters that resolve; a Unix socket has port 0.

    `hostname` is what auto host rewrite sends. `transport_labels` are what transport_socket_matches compare
    (metadata filter_metadata["envoy.transport_socket_match"]). `hash_key` replaces the address in consistent hashing.
    """

    address: str
    port: int
    weight: int = 1
    health: Health = "healthy"
    hostname: str = ""
    hash_key: str = ""
    workload: Workload = UNKNOWN_WORKLOAD
    transport_labels: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def healthy(self) -> bool:
        """Whether the control plane says that it takes traffic."""
        return self.health == "healthy"

    @property
    def host_port(self) -> str:
        """`address:port` as %UPSTREAM_HOST% prints it; an IPv6 address in brackets."""
        if not self.port:
            return self.address
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalityEndpoints:
    """envoy.config.endpoint.v3.LocalityLbEndpoints; `weight` None means not given. Priority 0 is the highest."""

    endpoints: tuple[Endpoint, ...]
    locality: Locality = NO_LOCALITY
    priority: int = 0
    weight: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """envoy.config.endpoint.v3.ClusterLoadAssignment. `cluster_name` is the EDS service name.

    `overprovisioning` is the factor (1.4), `drop_fractions` are (category, fraction in [0, 1]).
    """

    cluster_name: str
    localities: tuple[LocalityEndpoints, ...] = ()
    overprovisioning: float = 1.4
    drop_fractions: tuple[tuple[str, float], ...] = ()
