"""CLUSTER patches."""

from collections.abc import Iterable
from typing import Any

from envoy.config.cluster.v3 import cluster_pb2

from controlplane.model.names import hosts_match, parse_cluster
from controlplane.translate.envoy_filter.merge import merge, parse
from controlplane.translate.envoy_filter.select import GATEWAY, INBOUND, OUTBOUND, Patch


def patch_cluster(cluster: Any, patches: Iterable[Patch], router: bool) -> bool:
    """Apply MERGE and REMOVE to one cluster; False when it is removed. Raises BadPatch."""
    for patch in patches:
        if patch.operation not in ("MERGE", "REMOVE") or not _matches(patch, str(cluster.name), router):
            continue
        if patch.operation == "REMOVE":
            return False
        merge(cluster, parse(cluster_pb2.Cluster, patch.value))
    return True


def added_clusters(patches: Iterable[Patch], router: bool) -> list[Any]:
    """The clusters that ADD brings. Raises BadPatch."""
    contexts = ("ANY", GATEWAY) if router else ("ANY", INBOUND, OUTBOUND)
    return [
        parse(cluster_pb2.Cluster, patch.value)
        for patch in patches
        if patch.operation == "ADD" and patch.match.context in contexts
    ]


def _matches(patch: Patch, name: str, router: bool) -> bool:
    inbound = name.startswith(("inbound|", "Inbound"))
    if not patch.in_context(INBOUND if inbound else GATEWAY if router else OUTBOUND):
        return False
    wanted = patch.match.cluster
    if wanted is None:
        return True
    if wanted.name:
        return wanted.name == name
    parts = parse_cluster(name)
    if parts is None:
        return False
    if wanted.subset and wanted.subset != parts.subset:
        return False
    if wanted.service and not hosts_match(wanted.service, parts.host):
        return False
    return not wanted.port_number or wanted.port_number == parts.port
