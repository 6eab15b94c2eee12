"""Sidecar: what the proxy beside a workload listens to and knows of (networking.istio.io)."""

from typing import Literal

from lugsail.api.base import ApiModel, LabelSelector, Resource
from lugsail.api.destination_rule import ConnectionPoolSettings
from lugsail.api.gateway import ServerTLSSettings
from lugsail.api.scalars import UInt32
from lugsail.api.virtual_service import Destination

CaptureMode = Literal["DEFAULT", "IPTABLES", "NONE"]


class SidecarPort(ApiModel):
    """A port that the sidecar opens."""

    number: UInt32 = 0
    protocol: str = ""
    name: str = ""
    target_port: UInt32 = 0


class IstioIngressListener(ApiModel):
    """Traffic to the workload. `defaultEndpoint`: where the application listens."""

    port: SidecarPort | None = None
    bind: str = ""
    capture_mode: CaptureMode = "DEFAULT"
    default_endpoint: str = ""
    tls: ServerTLSSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None


class IstioEgressListener(ApiModel):
    """Traffic from the workload. `hosts`: `namespace/dnsName`, with `.`, `~` and `*` as namespaces."""

    port: SidecarPort | None = None
    bind: str = ""
    capture_mode: CaptureMode = "DEFAULT"
    hosts: tuple[str, ...] = ()


class OutboundTrafficPolicy(ApiModel):
    """What happens to traffic for hosts that the mesh does not know."""

    mode: Literal["REGISTRY_ONLY", "ALLOW_ANY"] = "REGISTRY_ONLY"
    egress_proxy: Destination | None = None


class SidecarSpec(ApiModel):
    """Without `workloadSelector` it is the default of its namespace."""

    workload_selector: LabelSelector | None = None
    ingress: tuple[IstioIngressListener, ...] = ()
    egress: tuple[IstioEgressListener, ...] = ()
    inbound_connection_pool: ConnectionPoolSettings | None = None
    outbound_traffic_policy: OutboundTrafficPolicy | None = None


class Sidecar(Resource):
    """Sidecar."""

    spec: SidecarSpec
