"""Istio's MeshConfig: the settings of a whole mesh (istio.mesh.v1alpha1.MeshConfig), from YAML.

Taken plain, or as the `mesh` of a Kubernetes ConfigMap. A field of Istio's that this mesh does not know is warned
about; a field of a message that it does know must be one of the fields below.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from lugsail.api.base import ApiModel, to_camel
from lugsail.api.documents import parse_documents
from lugsail.api.errors import DocumentError, FieldError, InvalidResource
from lugsail.api.scalars import Bool, Double, Duration, UInt32
from lugsail.api.schema_errors import from_pydantic
from lugsail.api.sidecar import OutboundTrafficPolicy
from lugsail.api.telemetry import CustomTag
from lugsail.api.virtual_service import HTTPRetry

REF = "MeshConfig"


class _Open(ApiModel):
    """A message of which only a part is known here."""

    model_config = ConfigDict(extra="allow")


class Zipkin(ApiModel):
    """Spans to a Zipkin v2 collector over HTTP."""

    service: str
    port: UInt32
    max_tag_length: UInt32 | None = None
    enable_64bit_trace_id: Bool | None = Field(default=None, alias="enable64bitTraceId")
    path: str = ""
    trace_context_option: Literal["USE_B3", "USE_B3_WITH_W3C_PROPAGATION"] = "USE_B3"


class HttpHeader(ApiModel):
    """A header of an exporter's requests."""

    name: str
    value: str = ""


class HttpService(ApiModel):
    """OTLP over HTTP instead of gRPC."""

    path: str = "/v1/traces"
    timeout: Duration | None = None
    headers: tuple[HttpHeader, ...] = ()


class OpenTelemetry(ApiModel):
    """Spans by OTLP, over gRPC unless `http` is given."""

    service: str
    port: UInt32
    max_tag_length: UInt32 | None = None
    http: HttpService | None = None


class Prometheus(ApiModel):
    """Metrics to be scraped."""


class LogFormat(ApiModel):
    """`text`: a format line; `labels`: JSON, label to command operators."""

    text: str = ""
    labels: dict[str, Any] | None = None


class FileAccessLog(ApiModel):
    """Access log lines to a file or a standard stream of the proxy."""

    path: str = "/dev/stdout"
    log_format: LogFormat | None = None
    omit_empty_values: Bool = False


class AccessLogService(ApiModel):
    """Envoy's gRPC access log service."""

    service: str
    port: UInt32
    log_name: str = ""
    filter_state_objects_to_log: tuple[str, ...] = ()
    additional_request_headers_to_log: tuple[str, ...] = ()
    additional_response_headers_to_log: tuple[str, ...] = ()
    additional_response_trailers_to_log: tuple[str, ...] = ()


class OtelAccessLog(ApiModel):
    """Access logs by OTLP."""

    service: str
    port: UInt32
    log_name: str = ""
    log_format: LogFormat | None = None


class ExtensionProvider(_Open):
    """One back end by its name; exactly one of its kinds."""

    name: str
    zipkin: Zipkin | None = None
    opentelemetry: OpenTelemetry | None = None
    prometheus: Prometheus | None = None
    envoy_file_access_log: FileAccessLog | None = None
    envoy_http_als: AccessLogService | None = None
    envoy_tcp_als: AccessLogService | None = None
    envoy_otel_als: OtelAccessLog | None = None


class DefaultProviders(ApiModel):
    """Names of extension providers that apply where no Telemetry says otherwise."""

    tracing: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    access_logging: tuple[str, ...] = ()


class ProxyTracing(_Open):
    """`sampling`: percent."""

    sampling: Double | None = None
    custom_tags: dict[str, CustomTag] = Field(default_factory=dict)
    max_path_tag_length: UInt32 | None = None


class RemoteService(_Open):
    """`address`: `host:port`."""

    address: str = ""


class ProxyConfig(_Open):
    """What all proxies start with."""

    tracing: ProxyTracing | None = None
    envoy_access_log_service: RemoteService | None = None


class MeshConfigSpec(_Open):
    """The whole of it."""

    access_log_file: str = ""
    access_log_format: str = ""
    access_log_encoding: Literal["TEXT", "JSON"] = "TEXT"
    enable_tracing: Bool = False
    enable_envoy_access_log_service: Bool = False
    default_config: ProxyConfig | None = None
    extension_providers: tuple[ExtensionProvider, ...] = ()
    default_providers: DefaultProviders | None = None
    outbound_traffic_policy: OutboundTrafficPolicy | None = None
    default_http_retry_policy: HTTPRetry | None = None
    trust_domain: str = "cluster.local"
    root_namespace: str = "istio-system"
    connect_timeout: Duration | None = None
    dns_refresh_rate: Duration | None = None


@dataclass(frozen=True)
class LoadedMeshConfig:
    """What a file says; `warnings` name what has no effect."""

    spec: MeshConfigSpec
    warnings: tuple[FieldError, ...]


def load_mesh_config(text: str, source: str) -> LoadedMeshConfig:
    """Parse a file's text; `source` names it in errors. Raises DocumentError and InvalidResource."""
    documents = [document for document in parse_documents(text, source) if document.data]
    if len(documents) > 1:
        raise DocumentError(source, documents[1].line, 0, "a second document", "a mesh has one mesh config")
    data = documents[0].data if documents else {}
    if isinstance(data, Mapping) and data.get("kind") == "ConfigMap":
        inner = data.get("data")
        mesh = inner.get("mesh") if isinstance(inner, Mapping) else None
        if not isinstance(mesh, str):
            raise InvalidResource(f"{source}: ConfigMap", [FieldError("data.mesh", "is required")])
        return load_mesh_config(mesh, f"{source} (data.mesh)")
    ref = f"{source}: {REF}"
    if not isinstance(data, Mapping):
        raise InvalidResource(ref, [FieldError("", "must be a mapping, such as `accessLogFile: /dev/stdout`")])
    try:
        spec = MeshConfigSpec.model_validate(dict(data))
    except ValidationError as error:
        raise InvalidResource(ref, [found for _, found in from_pydantic(error, MeshConfigSpec)]) from None
    errors = list(_problems(spec))
    if errors:
        raise InvalidResource(ref, errors)
    return LoadedMeshConfig(spec, tuple(_unknown(spec, "")))


def kind_of(provider: ExtensionProvider) -> str:
    """The JSON name of the provider's kind, "" when it has none that is known."""
    return next((to_camel(name) for name in _KINDS if getattr(provider, name) is not None), "")


_KINDS = tuple(name for name in ExtensionProvider.model_fields if name != "name")


def _problems(spec: MeshConfigSpec) -> list[FieldError]:
    found: list[FieldError] = []
    names: set[str] = set()
    for index, provider in enumerate(spec.extension_providers):
        path = f"extensionProviders[{index}]"
        if not provider.name:
            found.append(FieldError(f"{path}.name", "is required"))
        if provider.name in names:
            found.append(FieldError(f"{path}.name", f"{provider.name!r} is there twice", "give each its own name"))
        names.add(provider.name)
        kinds = [to_camel(name) for name in _KINDS if getattr(provider, name) is not None]
        kinds += list(provider.model_extra or ())
        if len(kinds) != 1:
            what = f"is of {len(kinds)} kinds ({', '.join(kinds)})" if kinds else "is of no kind"
            found.append(FieldError(path, what, "write exactly one, such as zipkin: {service: …, port: 9411}"))
    defaults = spec.default_providers or DefaultProviders()
    for field, chosen in (
        ("tracing", defaults.tracing),
        ("metrics", defaults.metrics),
        ("accessLogging", defaults.access_logging),
    ):
        for index, name in enumerate(chosen):
            if name not in names and name not in BUILT_IN_PROVIDERS:
                known = ", ".join(sorted(names | set(BUILT_IN_PROVIDERS)))
                path = f"defaultProviders.{field}[{index}]"
                found.append(FieldError(path, f"there is no provider {name!r}", f"there are {known}"))
    sampling = spec.default_config.tracing.sampling if spec.default_config and spec.default_config.tracing else None
    if sampling is not None and not 0 <= sampling <= 100:
        path = "defaultConfig.tracing.sampling"
        found.append(FieldError(path, f"{sampling:g} is not a percentage", "write 0 to 100"))
    return found


#: Providers that a mesh has without naming them, as Istio's default profile does.
BUILT_IN_PROVIDERS = ("envoy", "prometheus")


def _unknown(model: ApiModel, path: str) -> list[FieldError]:
    """A warning for each field that has no effect here."""
    prefix = f"{path}." if path else ""
    found = [FieldError(f"{prefix}{name}", "has no effect in this mesh") for name in model.model_extra or ()]
    for name, info in type(model).model_fields.items():
        value = getattr(model, name)
        for index, child in enumerate(value if isinstance(value, tuple) else (value,)):
            if isinstance(child, ApiModel):
                place = f"{prefix}{info.alias or name}" + (f"[{index}]" if isinstance(value, tuple) else "")
                found += _unknown(child, place)
    return found
