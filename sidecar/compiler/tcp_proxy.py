"""envoy.filters.network.tcp_proxy."""

from __future__ import annotations

from typing import Any

from sidecar.compiler.access_logs import compile_access_logs
from sidecar.compiler.ignored import check
from sidecar.config.listeners import TcpProxy, WeightedTcpCluster
from sidecar.config.protos import timeout_ms, wrapped
from sidecar.config.rejected import At

_FIELDS = (
    "stat_prefix",
    "cluster",
    "weighted_clusters",
    "idle_timeout",
    "access_log",
    "max_connect_attempts",
    "hash_policy",
)


def compile_tcp_proxy(proto: Any, at: At) -> TcpProxy:
    """envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy."""
    check(proto, _FIELDS, at)
    if not proto.stat_prefix:
        at.field("stat_prefix").reject("empty; give a prefix for its statistics")
    weighted: list[WeightedTcpCluster] = []
    if proto.WhichOneof("cluster_specifier") == "weighted_clusters":
        for index, branch in enumerate(proto.weighted_clusters.clusters):
            place = at.field("weighted_clusters").field("clusters", index)
            check(branch, ("name", "weight"), place)
            if not branch.name or branch.weight < 1:
                place.reject("needs a name and a weight of 1 or more")
            weighted.append(WeightedTcpCluster(cluster=branch.name, weight=branch.weight))
    if not weighted and not proto.cluster:
        at.reject("needs a cluster or weighted_clusters")
    for index, policy in enumerate(proto.hash_policy):
        if policy.WhichOneof("policy_specifier") != "source_ip":
            at.field("hash_policy", index).reject("only source_ip is supported")
    attempts = wrapped(proto, "max_connect_attempts", 1)
    if attempts < 1:
        at.field("max_connect_attempts").reject("must be 1 or more")
    return TcpProxy(
        stat_prefix=proto.stat_prefix,
        cluster=proto.cluster,
        weighted=tuple(weighted),
        idle_timeout_ms=timeout_ms(proto, "idle_timeout", at, 3_600_000.0),
        max_connect_attempts=attempts,
        hash_source_ip=bool(proto.hash_policy),
        access_logs=compile_access_logs(proto.access_log, at),
    )
