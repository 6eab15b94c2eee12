"""What every resource shares: the strict model base, metadata, and the resource's identity."""

from typing import Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lugsail.api.scalars import Int32


def to_camel(snake: str) -> str:
    """The JSON name of a protobuf field: `consecutive_5xx_errors` -> `consecutive5xxErrors`."""
    first, *rest = snake.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


class ApiModel(BaseModel):
    """One message of the Istio API. Immutable; unknown fields are errors; a null field is as if it were not there."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True, protected_namespaces=()
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, data: Any) -> Any:
        if isinstance(data, dict) and None in data.values():
            return {name: value for name, value in data.items() if value is not None}
        return data

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values under camelCase names, only the fields that were given."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def was_set(self, field: str) -> bool:
        """Whether the field (Python name) was given, even with its default value."""
        return field in self.model_fields_set


class ResourceKey(NamedTuple):
    """A resource's identity; the API version is not part of it, since all versions name one resource."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


class ObjectMeta(ApiModel):
    """Kubernetes' metadata. Fields that only a Kubernetes API server fills are accepted and kept."""

    name: str
    namespace: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    resource_version: str = ""
    creation_timestamp: str = ""
    generation: Int32 = 0
    uid: str = ""
    generate_name: str = ""
    self_link: str = ""
    deletion_timestamp: str = ""
    deletion_grace_period_seconds: Int32 | None = None
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[dict[str, Any], ...] = ()
    managed_fields: tuple[dict[str, Any], ...] = ()


class Resource(ApiModel):
    """A whole resource. Subclasses narrow `spec`."""

    api_version: str
    kind: str
    metadata: ObjectMeta
    spec: ApiModel
    status: dict[str, Any] = Field(default_factory=dict)

    @property
    def key(self) -> ResourceKey:
        return ResourceKey(self.kind, self.metadata.namespace, self.metadata.name)

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        return self.metadata.namespace

    def with_metadata(self, **changes: Any) -> Self:
        """A copy whose metadata differs in the given fields (Python names)."""
        return self.model_copy(update={"metadata": self.metadata.model_copy(update=changes)})


class LabelSelector(ApiModel):
    """`workloadSelector` of networking resources: workloads that carry all these labels."""

    labels: dict[str, str] = Field(default_factory=dict)


class MatchLabelsSelector(ApiModel):
    """`workloadSelector` in the newer spelling (type.v1beta1.WorkloadSelector)."""

    match_labels: dict[str, str] = Field(default_factory=dict)


class PolicyTargetReference(ApiModel):
    """`targetRefs[]`: the resource that a policy attaches to."""

    group: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
