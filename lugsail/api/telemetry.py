"""Telemetry: what is traced, counted and logged, for the mesh, a namespace or some workloads (telemetry.istio.io)."""

from typing import Literal

from pydantic import Field

from lugsail.api.base import ApiModel, MatchLabelsSelector, PolicyTargetReference, Resource
from lugsail.api.scalars import Bool, Double, Duration

WorkloadMode = Literal["CLIENT_AND_SERVER", "CLIENT", "SERVER"]
IstioMetric = Literal[
    "ALL_METRICS",
    "REQUEST_COUNT",
    "REQUEST_DURATION",
    "REQUEST_SIZE",
    "RESPONSE_SIZE",
    "TCP_OPENED_CONNECTIONS",
    "TCP_CLOSED_CONNECTIONS",
    "TCP_SENT_BYTES",
    "TCP_RECEIVED_BYTES",
    "GRPC_REQUEST_MESSAGES",
    "GRPC_RESPONSE_MESSAGES",
]


class ProviderRef(ApiModel):
    """The name of an extension provider of the mesh config."""

    name: str = ""


class TracingSelector(ApiModel):
    """`mode`: at the sending side (CLIENT), the receiving side (SERVER), or both."""

    mode: WorkloadMode = "CLIENT_AND_SERVER"


class LiteralTag(ApiModel):
    """A tag that is always the same."""

    value: str = ""


class EnvironmentTag(ApiModel):
    """A tag from the proxy's environment."""

    name: str = ""
    default_value: str = ""


class HeaderTag(ApiModel):
    """A tag from a request header."""

    name: str = ""
    default_value: str = ""


class FormatterTag(ApiModel):
    """A tag in the access log's command operators."""

    value: str = ""


class CustomTag(ApiModel):
    """Exactly one of them."""

    literal: LiteralTag | None = None
    environment: EnvironmentTag | None = None
    header: HeaderTag | None = None
    formatter: FormatterTag | None = None


class Tracing(ApiModel):
    """`randomSamplingPercentage`: 0 to 100, in steps of 0.01; unset: the mesh config's."""

    match: TracingSelector | None = None
    providers: tuple[ProviderRef, ...] = ()
    random_sampling_percentage: Double | None = None
    disable_span_reporting: Bool | None = None
    custom_tags: dict[str, CustomTag] = Field(default_factory=dict)
    use_request_id_for_trace_sampling: Bool | None = None
    enable_istio_tags: Bool | None = None


class MetricSelector(ApiModel):
    """A standard metric, or a custom one by its name; without either, all of them."""

    metric: IstioMetric | None = None
    custom_metric: str | None = None
    mode: WorkloadMode = "CLIENT_AND_SERVER"


class TagOverride(ApiModel):
    """`value`: a CEL expression; REMOVE takes none."""

    operation: Literal["UPSERT", "REMOVE"] = "UPSERT"
    value: str = ""


class MetricsOverrides(ApiModel):
    """What to change of the metrics that match."""

    match: MetricSelector | None = None
    disabled: Bool | None = None
    tag_overrides: dict[str, TagOverride] = Field(default_factory=dict)


class Metrics(ApiModel):
    """Which metrics there are, and with which labels."""

    providers: tuple[ProviderRef, ...] = ()
    overrides: tuple[MetricsOverrides, ...] = ()
    reporting_interval: Duration | None = None


class LogSelector(ApiModel):
    """`mode`: at the sending side (CLIENT), the receiving side (SERVER), or both."""

    mode: WorkloadMode = "CLIENT_AND_SERVER"


class LogFilter(ApiModel):
    """`expression`: a CEL expression; a request is logged when it is true."""

    expression: str = ""


class AccessLogging(ApiModel):
    """Without `providers`: the mesh config's default ones."""

    match: LogSelector | None = None
    providers: tuple[ProviderRef, ...] = ()
    disabled: Bool | None = None
    filter: LogFilter | None = None


class TelemetrySpec(ApiModel):
    """Without `selector` and targets: for the namespace, or for the mesh in the root namespace."""

    selector: MatchLabelsSelector | None = None
    target_ref: PolicyTargetReference | None = None
    target_refs: tuple[PolicyTargetReference, ...] = ()
    tracing: tuple[Tracing, ...] = ()
    metrics: tuple[Metrics, ...] = ()
    access_logging: tuple[AccessLogging, ...] = ()


class Telemetry(Resource):
    """Telemetry."""

    spec: TelemetrySpec
