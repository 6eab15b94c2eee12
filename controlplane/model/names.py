"""Istio's names for xDS resources, and how its host names are resolved and matched."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

BLACK_HOLE_CLUSTER = "BlackHoleCluster"
PASSTHROUGH_CLUSTER = "PassthroughCluster"
INBOUND_PASSTHROUGH_CLUSTER = "InboundPassthroughCluster"
MESH_GATEWAY = "mesh"


class ClusterName(NamedTuple):
    """The parts of `direction|port|subset|host`."""

    direction: str
    port: int
    subset: str
    host: str


def outbound_cluster(host: str, port: int, subset: str = "") -> str:
    """`outbound|9080|v1|reviews.default.svc.cluster.local`."""
    return f"outbound|{port}|{subset}|{host}"


def inbound_cluster(port: int) -> str:
    """`inbound|9080||`, the port being the one that the workload listens to."""
    return f"inbound|{port}||"


@lru_cache(maxsize=4096)
def parse_cluster(name: str) -> ClusterName | None:
    """The parts of a cluster name, or None when it is not of that form."""
    parts = name.split("|")
    if len(parts) != 4 or not parts[1].isdigit():
        return None
    return ClusterName(parts[0], int(parts[1]), parts[2], parts[3])


def virtual_host_name(host: str, port: int) -> str:
    """`reviews.default.svc.cluster.local:9080`; an IPv6 address is put in brackets."""
    return f"{bracketed(host)}:{port}"


def bracketed(host: str) -> str:
    """The host as it stands in a URL: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def is_ip(text: str) -> bool:
    """Whether the text is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def resolve_host(host: str, namespace: str, domain_suffix: str = "cluster.local") -> str:
    """A short name (no dot) means the service of that name in the resource's own namespace."""
    lowered = host.lower()
    if not lowered or "." in lowered or "*" in lowered or ":" in lowered:
        return lowered
    return f"{lowered}.{namespace}.svc.{domain_suffix}"


def resolve_gateway(gateway: str, namespace: str) -> str:
    """`namespace/name` of a gateway reference; `mesh` stays. `name.namespace…` is the older spelling."""
    if gateway == MESH_GATEWAY:
        return gateway
    if "/" in gateway:
        where, _, name = gateway.partition("/")
        return f"{namespace if where == '.' else where}/{name}"
    name, dot, rest = gateway.partition(".")
    return f"{rest.split('.')[0]}/{name}" if dot else f"{namespace}/{name}"


def is_wildcard(host: str) -> bool:
    """`*` or `*.example.com`."""
    return host.startswith("*")


def hosts_match(one: str, other: str) -> bool:
    """Whether some host name fits both (Istio's host.Name.Matches): either may be a wildcard."""
    one_wild, other_wild = is_wildcard(one), is_wildcard(other)
    if one_wild and other_wild:
        shorter, longer = sorted((one[1:], other[1:]), key=len)
        return longer.endswith(shorter)
    if one_wild:
        return other.endswith(one[1:])
    if other_wild:
        return one.endswith(other[1:])
    return one == other


def host_within(host: str, pattern: str) -> bool:
    """Whether every name that fits `host` also fits `pattern` (Istio's host.Name.SubsetOf)."""
    if not is_wildcard(pattern):
        return host == pattern
    if is_wildcard(host):
        return host[1:].endswith(pattern[1:])
    return host.endswith(pattern[1:])


def most_specific(host: str, patterns: Iterable[str]) -> str | None:
    """The pattern that fits the host best: the exact one, else the wildcard with the longest suffix."""
    best: str | None = None
    for pattern in patterns:
        if pattern == host:
            return pattern
        if is_wildcard(pattern) and host_within(host, pattern) and (best is None or len(pattern) > len(best)):
            best = pattern
    return best


def alternative_domains(host: str, namespace: str, domain_suffix: str = "cluster.local") -> tuple[str, ...]:
    """The shorter names of a cluster service as seen from a proxy in `namespace`, longest form first used by Istio.

    Only `name.ns.svc.<suffix>` has short forms; the bare name is for proxies of the service's own namespace.
    """
    tail = f".svc.{domain_suffix}"
    if not host.endswith(tail):
        return ()
    stem = host.removesuffix(tail)
    name, dot, service_namespace = stem.partition(".")
    if not dot or not name or "." in service_namespace:
        return ()
    if service_namespace == namespace:
        return (name, f"{stem}.svc", stem)
    return (stem, f"{stem}.svc")
