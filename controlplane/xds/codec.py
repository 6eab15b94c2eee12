"""The two variants of the protocol on the wire: requests into a subscription, plans out as responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from envoy.config.core.v3.base_pb2 import ControlPlane
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)
from envoy.service.discovery.v3.discovery_pb2 import Resource as DeltaResource

from controlplane.xds.subscription import Plan, Reaction, Subscription
from controlplane.xds.translation import Built

# An error detail is kept and shown; a client cannot make it grow without bound.
ERROR_TEXT_LIMIT = 4096

_CONTROL_PLANE = ControlPlane(identifier="lugsail")


class Codec(Protocol):
    """One variant. `name` is `sotw` or `delta`."""

    name: ClassVar[str]
    delta: ClassVar[bool]

    @staticmethod
    def receive(subscription: Subscription, request: Any) -> Reaction:
        """Apply a request to its type's subscription."""
        ...

    @staticmethod
    def render(type_url: str, nonce: str, plan: Plan, resources: Mapping[str, Built]) -> Any:
        """The response of a plan; `resources` has every name of it."""
        ...


class SotwCodec:
    """State of the world: DiscoveryRequest and DiscoveryResponse."""

    name: ClassVar[str] = "sotw"
    delta: ClassVar[bool] = False

    @staticmethod
    def receive(subscription: Subscription, request: DiscoveryRequest) -> Reaction:
        return subscription.receive_sotw(list(request.resource_names), request.response_nonce, _error_of(request))

    @staticmethod
    def render(type_url: str, nonce: str, plan: Plan, resources: Mapping[str, Built]) -> DiscoveryResponse:
        return DiscoveryResponse(
            version_info=plan.version,
            resources=[resources[name].any for name in plan.names],
            type_url=type_url,
            nonce=nonce,
            control_plane=_CONTROL_PLANE,
        )


class DeltaCodec:
    """Incremental: DeltaDiscoveryRequest and DeltaDiscoveryResponse."""

    name: ClassVar[str] = "delta"
    delta: ClassVar[bool] = True

    @staticmethod
    def receive(subscription: Subscription, request: DeltaDiscoveryRequest) -> Reaction:
        return subscription.receive_delta(
            list(request.resource_names_subscribe),
            list(request.resource_names_unsubscribe),
            dict(request.initial_resource_versions),
            request.response_nonce,
            _error_of(request),
        )

    @staticmethod
    def render(type_url: str, nonce: str, plan: Plan, resources: Mapping[str, Built]) -> DeltaDiscoveryResponse:
        return DeltaDiscoveryResponse(
            system_version_info=plan.version,
            resources=[
                DeltaResource(name=name, version=resources[name].version, resource=resources[name].any)
                for name in plan.names
            ],
            removed_resources=plan.removed,
            type_url=type_url,
            nonce=nonce,
            control_plane=_CONTROL_PLANE,
        )


def _error_of(request: Any) -> str | None:
    if not request.HasField("error_detail"):
        return None
    text = request.error_detail.message or f"rejected with gRPC code {request.error_detail.code} and no text"
    return text[:ERROR_TEXT_LIMIT]
