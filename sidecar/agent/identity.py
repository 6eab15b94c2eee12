"""Who a proxy is: what it tells the control plane in the xDS node, and what its metrics say about their source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

#: The Istio whose API and naming this proxy keeps to; the control plane may decide by it.
ISTIO_VERSION = "1.32.0"
CLUSTER_DOMAIN = "cluster.local"
CLUSTER_ID = "Kubernetes"  # Istio's default name of the cluster a workload is in
MESH_ID = "cluster.local"

ProxyType = Literal["sidecar", "router"]
Interception = Literal["NONE", "REDIRECT"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One workload's proxy. `ip` is the pod's address; `bind_address` replaces the wildcard address, "" leaves it.

    `dns_capture` says that the app's questions to name servers come to the agent, which so wants the mesh's names.
    """

    workload: str
    namespace: str
    ip: str
    type: ProxyType = "sidecar"
    labels: dict[str, str] = field(default_factory=dict)
    service_account: str = "default"
    interception: Interception = "NONE"
    bind_address: str = ""
    dns_capture: bool = False

    @property
    def node_id(self) -> str:
        """`sidecar~10.0.0.1~reviews-v1.default~default.svc.cluster.local`"""
        domain = f"{self.namespace}.svc.{CLUSTER_DOMAIN}"
        return f"{self.type}~{self.ip}~{self.workload}.{self.namespace}~{domain}"

    @property
    def app(self) -> str:
        """The canonical service (Istio: the canonical-name label, else `app`, else the workload's name)."""
        labels = self.labels
        return labels.get("service.istio.io/canonical-name") or labels.get("app") or self.workload

    @property
    def version(self) -> str:
        """The canonical revision."""
        labels = self.labels
        return labels.get("service.istio.io/canonical-revision") or labels.get("version") or "latest"

    def metadata(self) -> dict[str, Any]:
        """The node's metadata, in Istio's names."""
        metadata: dict[str, Any] = {
            "NAME": self.workload,
            "NAMESPACE": self.namespace,
            "WORKLOAD_NAME": self.workload,
            "LABELS": dict(self.labels),
            "SERVICE_ACCOUNT": self.service_account,
            "MESH_ID": MESH_ID,
            "CLUSTER_ID": CLUSTER_ID,
            "INTERCEPTION_MODE": self.interception,
            "ISTIO_VERSION": ISTIO_VERSION,
            "INSTANCE_IPS": self.ip,
        }
        if self.bind_address:
            metadata["BIND_ADDRESS"] = self.bind_address
        if self.dns_capture:
            metadata["DNS_CAPTURE"] = "true"
        return metadata

    def node(self) -> dict[str, Any]:
        """envoy.config.core.v3.Node as JSON."""
        return {"id": self.node_id, "cluster": f"{self.app}.{self.namespace}", "metadata": self.metadata()}
