"""The xDS types this control plane serves, and the order in which they are sent."""

from __future__ import annotations

CDS = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
EDS = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
LDS = "type.googleapis.com/envoy.config.listener.v3.Listener"
RDS = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
NDS = "type.googleapis.com/istio.networking.nds.v1.NameTable"  # for the agent beside the proxy, as in Istio
WDS = "type.googleapis.com/lugsail.workload.v1.Workload"  # for the metrics of the Python sidecar

# Make before break: what a resource refers to goes out before it (xDS protocol, "Eventual consistency"), and a name is
# answered with an address only after the listeners of that address.
# No traffic waits for workloads.
PUSH_ORDER: tuple[str, ...] = (CDS, EDS, LDS, RDS, NDS, WDS)

SHORT_NAMES: dict[str, str] = {CDS: "CDS", EDS: "EDS", LDS: "LDS", RDS: "RDS", NDS: "NDS", WDS: "WDS"}

# Only these have wildcard subscriptions, and only their state-of-the-world responses hold the whole set
# (a resource that is not in the response is deleted).
WILDCARD_TYPES = frozenset({CDS, LDS, NDS, WDS})

# Resources of the key refer to resources of the value, which warm them.
DEPENDENTS: dict[str, str] = {CDS: EDS, LDS: RDS}


def short_name(type_url: str) -> str:
    """`CDS` for the cluster type; a type that is not served keeps the last part of its URL."""
    return SHORT_NAMES.get(type_url) or type_url.rsplit(".", 1)[-1]
