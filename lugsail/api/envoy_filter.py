"""EnvoyFilter: patches of the generated Envoy configuration (networking.istio.io)."""

from typing import Any, Literal

from pydantic import Field

from lugsail.api.base import ApiModel, LabelSelector, PolicyTargetReference, Resource
from lugsail.api.scalars import Int32, UInt32

ApplyTo = Literal[
    "INVALID",
    "LISTENER",
    "FILTER_CHAIN",
    "NETWORK_FILTER",
    "HTTP_FILTER",
    "ROUTE_CONFIGURATION",
    "VIRTUAL_HOST",
    "HTTP_ROUTE",
    "CLUSTER",
    "EXTENSION_CONFIG",
    "BOOTSTRAP",
    "LISTENER_FILTER",
]
Operation = Literal[
    "INVALID", "MERGE", "ADD", "REMOVE", "INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST", "REPLACE"
]


class ProxyMatch(ApiModel):
    """Which proxies: RE2 of their version, exact values of their node metadata."""

    proxy_version: str = ""
    metadata: dict[str, str] = Field(default_factory=dict)


class SubFilterMatch(ApiModel):
    """A filter inside a filter: an HTTP filter in the connection manager."""

    name: str = ""


class FilterMatch(ApiModel):
    """A network filter."""

    name: str = ""
    sub_filter: SubFilterMatch | None = None


class FilterChainMatch(ApiModel):
    """A filter chain of a listener."""

    name: str = ""
    sni: str = ""
    transport_protocol: str = ""
    application_protocols: str = ""
    filter: FilterMatch | None = None
    destination_port: UInt32 = 0


class ListenerMatch(ApiModel):
    """A listener."""

    port_number: UInt32 = 0
    port_name: str = ""
    filter_chain: FilterChainMatch | None = None
    listener_filter: str = ""
    name: str = ""


class RouteMatch(ApiModel):
    """A route of a virtual host."""

    name: str = ""
    action: Literal["ANY", "ROUTE", "REDIRECT", "DIRECT_RESPONSE"] = "ANY"


class VirtualHostMatch(ApiModel):
    """A virtual host of a route configuration."""

    name: str = ""
    domain_name: str = ""
    route: RouteMatch | None = None


class RouteConfigurationMatch(ApiModel):
    """A route configuration."""

    port_number: UInt32 = 0
    port_name: str = ""
    gateway: str = ""
    vhost: VirtualHostMatch | None = None
    name: str = ""


class ClusterMatch(ApiModel):
    """A cluster."""

    port_number: UInt32 = 0
    service: str = ""
    subset: str = ""
    name: str = ""


class EnvoyConfigObjectMatch(ApiModel):
    """At most one of listener, routeConfiguration and cluster."""

    context: Literal["ANY", "SIDECAR_INBOUND", "SIDECAR_OUTBOUND", "GATEWAY"] = "ANY"
    proxy: ProxyMatch | None = None
    listener: ListenerMatch | None = None
    route_configuration: RouteConfigurationMatch | None = None
    cluster: ClusterMatch | None = None


class Patch(ApiModel):
    """`value`: free form, the Envoy message in JSON."""

    operation: Operation = "INVALID"
    value: dict[str, Any] | None = None
    filter_class: Literal["UNSPECIFIED", "AUTHN", "AUTHZ", "STATS"] = "UNSPECIFIED"


class EnvoyConfigObjectPatch(ApiModel):
    """One patch and where it applies."""

    apply_to: ApplyTo = "INVALID"
    match: EnvoyConfigObjectMatch | None = None
    patch: Patch | None = None


class EnvoyFilterSpec(ApiModel):
    """Filters of lower `priority` are applied first; `workloadSelector` and `targetRefs` exclude each other."""

    workload_selector: LabelSelector | None = None
    target_refs: tuple[PolicyTargetReference, ...] = ()
    priority: Int32 = 0
    config_patches: tuple[EnvoyConfigObjectPatch, ...] = ()


class EnvoyFilter(Resource):
    """EnvoyFilter."""

    spec: EnvoyFilterSpec
