"""The labels of Istio's standard metrics, in their order. Source: Istio, "Standard metrics"."""

from __future__ import annotations

from dataclasses import dataclass

Labels = tuple[tuple[str, str], ...]

UNKNOWN = "unknown"
SPECIAL_CLUSTERS = frozenset(("PassthroughCluster", "BlackHoleCluster", "InboundPassthroughCluster"))

#: Upper bounds of every histogram, in milliseconds or bytes: Istio's.
BUCKETS: tuple[float, ...] = (
    0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One side of a call; "" is not known. `principal` is a SPIFFE id, of mutual TLS alone."""

    name: str = ""
    namespace: str = ""
    app: str = ""
    version: str = ""
    canonical_service: str = ""
    canonical_revision: str = ""
    cluster: str = ""


NOBODY = Workload()


@dataclass(frozen=True, slots=True)
class Service:
    """What was called, by its host, its short name and its namespace."""

    host: str = UNKNOWN
    name: str = UNKNOWN
    namespace: str = UNKNOWN


def side(which: str, who: Workload, principal: str = "") -> Labels:
    """`which`: source or destination."""
    service, revision = who.canonical_service or UNKNOWN, who.canonical_revision or UNKNOWN
    if service != UNKNOWN and revision == UNKNOWN:
        revision = "latest"
    return (
        (f"{which}_workload", who.name or UNKNOWN),
        (f"{which}_canonical_service", service),
        (f"{which}_canonical_revision", revision),
        (f"{which}_workload_namespace", who.namespace or UNKNOWN),
        (f"{which}_principal", principal or UNKNOWN),
        (f"{which}_app", who.app or who.canonical_service or UNKNOWN),
        (f"{which}_version", who.version or who.canonical_revision or UNKNOWN),
        (f"{which}_cluster", who.cluster or UNKNOWN),
    )


def called(service: Service) -> Labels:
    return (
        ("destination_service", service.host),
        ("destination_service_name", service.name),
        ("destination_service_namespace", service.namespace),
    )
