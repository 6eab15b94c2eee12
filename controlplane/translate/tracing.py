"""Tracing of an HTTP connection manager: where spans go, how many, and with which tags."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from envoy.config.core.v3 import base_pb2, grpc_service_pb2, http_service_pb2
from envoy.config.trace.v3 import http_tracer_pb2, opentelemetry_pb2, zipkin_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.type.tracing.v3 import custom_tag_pb2
from google.protobuf.wrappers_pb2 import BoolValue

from controlplane.model.mesh_config import Provider
from controlplane.model.names import outbound_cluster
from controlplane.model.proxy import Proxy
from controlplane.model.service import Service
from controlplane.model.telemetry import TracingSettings
from controlplane.translate.protos import any_of, duration, uint32
from controlplane.translate.view import View
from lugsail.api.mesh_config import OpenTelemetry, Zipkin
from lugsail.api.scalars import parse_duration
from lugsail.api.telemetry import CustomTag

ZIPKIN, OTEL = "envoy.tracers.zipkin", "envoy.tracers.opentelemetry"
ZIPKIN_PATH = "/api/v2/spans"
DEFAULT_EXPORT_TIMEOUT_S = 10.0

_HCM = http_connection_manager_pb2.HttpConnectionManager
_ISTIO_TAGS = ("canonical_revision", "canonical_service", "cluster_id", "mesh_id", "namespace")


def tracing_of(view: View, settings: TracingSettings) -> Any:
    """HttpConnectionManager.Tracing; None where nothing is traced, or the back end is no service of the proxy's."""
    if settings.provider is None or settings.disabled:
        return None
    found = _back_end(settings.provider)
    if found is None:
        return None
    service = view.service(found.service)
    if service is None or service.port(found.port) is None:
        return None
    tracing = _HCM.Tracing()
    tracing.client_sampling.value = 100
    tracing.random_sampling.value = settings.sampling
    tracing.overall_sampling.value = 100
    tracing.provider.CopyFrom(_tracer(view.proxy, found, service))
    tracing.custom_tags.extend(_custom_tags(view.proxy, settings))
    if found.max_tag_length is not None:
        tracing.max_path_tag_length.CopyFrom(uint32(found.max_tag_length))
    if view.proxy.is_router:
        # A gateway has one connection manager for a hop: its server span, and a client span of its own upstream.
        tracing.spawn_upstream_span.CopyFrom(BoolValue(value=True))
    return tracing


def telemetry_services(view: View) -> tuple[Service | None, ...]:
    """The services that the tracing of this proxy depends on: part of the key of its listeners."""
    found = []
    for settings in (view.telemetry.client_tracing, view.telemetry.server_tracing):
        back_end = _back_end(settings.provider) if settings.provider is not None else None
        found.append(view.service(back_end.service) if back_end is not None else None)
    return tuple(found)


def _back_end(provider: Provider) -> Zipkin | OpenTelemetry | None:
    return provider.spec.zipkin or provider.spec.opentelemetry


def _tracer(proxy: Proxy, back_end: Zipkin | OpenTelemetry, service: Service) -> Any:
    cluster = outbound_cluster(service.host, back_end.port)
    if isinstance(back_end, Zipkin):
        return http_tracer_pb2.Tracing.Http(name=ZIPKIN, typed_config=any_of(_zipkin(back_end, service, cluster)))
    return http_tracer_pb2.Tracing.Http(name=OTEL, typed_config=any_of(_otel(proxy, back_end, service, cluster)))


def _zipkin(back_end: Zipkin, service: Service, cluster: str) -> Any:
    config = zipkin_pb2.ZipkinConfig(
        collector_cluster=cluster,
        collector_endpoint=back_end.path or ZIPKIN_PATH,
        collector_hostname=service.host,
        collector_endpoint_version=zipkin_pb2.ZipkinConfig.HTTP_JSON,
        trace_id_128bit=not back_end.enable_64bit_trace_id,
        shared_span_context=BoolValue(value=False),
    )
    if back_end.trace_context_option == "USE_B3_WITH_W3C_PROPAGATION":
        config.trace_context_option = zipkin_pb2.ZipkinConfig.USE_B3_WITH_W3C_PROPAGATION
    return config


def _otel(proxy: Proxy, back_end: OpenTelemetry, service: Service, cluster: str) -> Any:
    config = opentelemetry_pb2.OpenTelemetryConfig(service_name=f"{_canonical_service(proxy)}.{proxy.namespace}")
    if back_end.http is None:
        config.grpc_service.CopyFrom(
            grpc_service_pb2.GrpcService(
                envoy_grpc=grpc_service_pb2.GrpcService.EnvoyGrpc(cluster_name=cluster, authority=service.host)
            )
        )
        return config
    http = back_end.http
    timeout_s = parse_duration(http.timeout) if http.timeout else DEFAULT_EXPORT_TIMEOUT_S
    exporter = http_service_pb2.HttpService()
    exporter.http_uri.uri = f"http://{service.host}:{back_end.port}{http.path}"
    exporter.http_uri.cluster = cluster
    exporter.http_uri.timeout.CopyFrom(duration(timeout_s))
    for header in http.headers:
        exporter.request_headers_to_add.add().header.CopyFrom(base_pb2.HeaderValue(key=header.name, value=header.value))
    config.http_service.CopyFrom(exporter)
    return config


def _custom_tags(proxy: Proxy, settings: TracingSettings) -> Iterator[Any]:
    """Istio's own tags, and those of the Telemetry resource, by name."""
    tags = {name: _custom_tag(name, tag) for name, tag in settings.custom_tags}
    if settings.istio_tags:
        values = dict(zip(_ISTIO_TAGS, _istio_values(proxy), strict=True))
        for name in _ISTIO_TAGS:
            tag = custom_tag_pb2.CustomTag(tag=f"istio.{name}")
            tag.literal.value = values[name]
            tags.setdefault(tag.tag, tag)
    return (tags[name] for name in sorted(tags))


def _istio_values(proxy: Proxy) -> tuple[str, ...]:
    labels = proxy.label_map
    metadata = dict(proxy.metadata)
    revision = labels.get("service.istio.io/canonical-revision") or labels.get("version") or "latest"
    return (
        revision,
        _canonical_service(proxy),
        metadata.get("CLUSTER_ID") or "unknown",
        metadata.get("MESH_ID") or "unknown",
        proxy.namespace or "default",
    )


def _canonical_service(proxy: Proxy) -> str:
    labels = proxy.label_map
    return labels.get("service.istio.io/canonical-name") or labels.get("app") or proxy.name or "unknown"


@lru_cache(maxsize=256)
def _custom_tag(name: str, tag: CustomTag) -> Any:
    out = custom_tag_pb2.CustomTag(tag=name)
    if tag.literal is not None:
        out.literal.value = tag.literal.value
    elif tag.environment is not None:
        out.environment.name = tag.environment.name
        out.environment.default_value = tag.environment.default_value
    elif tag.header is not None:
        out.request_header.name = tag.header.name
        out.request_header.default_value = tag.header.default_value
    elif tag.formatter is not None:
        out.value = tag.formatter.value
    return out
