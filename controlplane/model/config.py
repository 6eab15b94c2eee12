"""A resource as translation sees it: the user's words plus an identity that stays while they stay the same."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from lugsail.api.base import ApiModel, Resource, ResourceKey

S = TypeVar("S", bound=ApiModel)

# Istio puts its own spelling of the kind into `filter_metadata.istio.config` (collections' kebab-case names).
_KEBAB = {
    "VirtualService": "virtual-service",
    "DestinationRule": "destination-rule",
    "Gateway": "gateway",
    "ServiceEntry": "service-entry",
    "WorkloadEntry": "workload-entry",
    "Sidecar": "sidecar",
    "EnvoyFilter": "envoy-filter",
}


@dataclass(frozen=True, eq=False, slots=True)
class Config(Generic[S]):
    """One resource. Compared and hashed by identity: a snapshot keeps the object while the resource is unchanged,
    so it can be part of the key of anything that is derived from it."""

    key: ResourceKey
    created: str  # RFC 3339, "" when unknown: sorts as the oldest
    spec: S
    resource: Resource

    @property
    def name(self) -> str:
        return self.key.name

    @property
    def namespace(self) -> str:
        return self.key.namespace

    @property
    def path(self) -> str:
        """`/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews`, as Istio writes it."""
        group = self.resource.api_version.partition("/")[0]
        kind = _KEBAB.get(self.key.kind, self.key.kind.lower())
        return f"/apis/{group}/v1/namespaces/{self.namespace}/{kind}/{self.name}"

    @property
    def age_order(self) -> tuple[str, str, str]:
        """Sort key of Istio's precedence: oldest first, then by name, then by namespace."""
        return (self.created, self.name, self.namespace)


def labels_match(selector: dict[str, str], labels: dict[str, str]) -> bool:
    """Whether the labels carry every pair of the selector."""
    return all(labels.get(name) == value for name, value in selector.items())


def visible(export_to: tuple[str, ...], owner_namespace: str, viewer_namespace: str) -> bool:
    """`exportTo`: empty and `*` mean everybody, `.` the owner's namespace, `~` nobody."""
    if not export_to or "*" in export_to:
        return True
    return any(
        viewer_namespace == (owner_namespace if target == "." else target) for target in export_to if target != "~"
    )
