"""Tracing of connection managers and routes: tracers, sampling, tags, decorators, and what the request id tells."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from envoy.config.trace.v3.opentelemetry_pb2 import OpenTelemetryConfig
from envoy.config.trace.v3.zipkin_pb2 import ZipkinConfig
from envoy.extensions.request_id.uuid.v3.uuid_pb2 import UuidRequestIdConfig

from sidecar.compiler.ignored import check
from sidecar.config.protos import timeout_ms, unpack, wrapped
from sidecar.config.rejected import At
from sidecar.config.tracing import (
    Decorator,
    OtelTracer,
    RouteTracing,
    Sampling,
    Share,
    TagValue,
    Tracing,
    ZipkinTracer,
)
from sidecar.telemetry.formatter import InvalidFormat, compile_text
from sidecar.telemetry.stream_info import StreamInfo

_ZIPKIN = ZipkinConfig.DESCRIPTOR.full_name
_OTEL = OpenTelemetryConfig.DESCRIPTOR.full_name
_TRACING_FIELDS = (
    "client_sampling",
    "random_sampling",
    "overall_sampling",
    "max_path_tag_length",
    "custom_tags",
    "provider",
    "spawn_upstream_span",
)
_ZIPKIN_FIELDS = (
    "collector_cluster",
    "collector_endpoint",
    "trace_id_128bit",
    "shared_span_context",
    "collector_endpoint_version",
    "collector_hostname",
    "trace_context_option",
    "collector_service",
)
#: envoy.type.v3.FractionalPercent.DenominatorType by number.
_DENOMINATORS = (100, 10_000, 1_000_000)
_EXPORT_TIMEOUT_MS = 10_000.0


def compile_tracing(manager: Any, outbound: bool, at: At) -> Tracing | None:
    """HttpConnectionManager's `tracing` and `request_id_extension`; None where it does not trace."""
    request_ids = _request_ids(manager, at)
    if not manager.HasField("tracing"):
        return None
    tracing, at = manager.tracing, at.field("tracing")
    check(tracing, _TRACING_FIELDS, at)
    if not tracing.HasField("provider"):
        at.field("provider").reject("none; name the tracer, since the bootstrap has no tracing of its own")
    return Tracing(
        tracer=_tracer(tracing.provider, at.field("provider")),
        sampling=Sampling(
            client=(int(_percent(tracing, "client_sampling", at)), 100),
            random=(round(_percent(tracing, "random_sampling", at) * 100), 10_000),
            overall=(round(_percent(tracing, "overall_sampling", at) * 100), 10_000),
        ),
        tags=compile_tags(tracing.custom_tags, at),
        max_path_length=wrapped(tracing, "max_path_tag_length", 256),
        spawn_upstream_span=wrapped(tracing, "spawn_upstream_span", False),
        egress=outbound,
        by_request_id=wrapped(request_ids, "use_request_id_for_trace_sampling", True),
        pack_reason=wrapped(request_ids, "pack_trace_reason", True),
    )


def _request_ids(manager: Any, at: At) -> UuidRequestIdConfig:
    if not manager.HasField("request_id_extension"):
        return UuidRequestIdConfig()
    place = at.field("request_id_extension").field("typed_config")
    config = unpack(manager.request_id_extension.typed_config, UuidRequestIdConfig, place)
    check(config, ("pack_trace_reason", "use_request_id_for_trace_sampling"), place)
    return config


def _percent(tracing: Any, field: str, at: At) -> float:
    if not tracing.HasField(field):
        return 100.0
    value = float(getattr(tracing, field).value)
    if not 0 <= value <= 100:
        at.field(field).reject(f"{value:g} is no percentage; give 0 to 100")
    return value


def _tracer(provider: Any, at: At) -> ZipkinTracer | OtelTracer:
    at = at.field("typed_config")
    kind = provider.typed_config.type_url.rpartition("/")[2]
    if kind == _ZIPKIN:
        return _zipkin(unpack(provider.typed_config, ZipkinConfig, at), at)
    if kind == _OTEL:
        return _otel(unpack(provider.typed_config, OpenTelemetryConfig, at), at)
    at.reject(
        f"the tracer {provider.name!r} of type {kind or 'none'} is not supported; "
        "envoy.tracers.zipkin and envoy.tracers.opentelemetry are"
    )


def _zipkin(config: Any, at: At) -> ZipkinTracer:
    check(config, _ZIPKIN_FIELDS, at)
    if config.collector_endpoint_version != ZipkinConfig.HTTP_JSON:
        at.field("collector_endpoint_version").reject("only HTTP_JSON is supported")
    if wrapped(config, "shared_span_context", True):
        at.field("shared_span_context").reject("must be false: each side of a request has a span of its own")
    w3c = config.trace_context_option == ZipkinConfig.USE_B3_WITH_W3C_PROPAGATION
    if config.HasField("collector_service"):
        place = at.field("collector_service")
        service = _http_service(config.collector_service, place)
        return ZipkinTracer(trace_id_128=config.trace_id_128bit, w3c=w3c, **service)
    if not config.collector_cluster:
        at.field("collector_cluster").reject("empty; name the collector's cluster")
    if not config.collector_endpoint.startswith("/"):
        at.field("collector_endpoint").reject(f"{config.collector_endpoint!r} is no path; give /api/v2/spans")
    return ZipkinTracer(
        cluster=config.collector_cluster,
        path=config.collector_endpoint,
        host=config.collector_hostname or config.collector_cluster,
        trace_id_128=config.trace_id_128bit,
        w3c=w3c,
    )


def _otel(config: Any, at: At) -> OtelTracer:
    check(config, ("grpc_service", "http_service", "service_name"), at)
    service = config.service_name or "unknown_service:envoy"
    if config.HasField("grpc_service") == config.HasField("http_service"):
        at.reject("needs one of grpc_service and http_service")
    if config.HasField("http_service"):
        return OtelTracer(service=service, **_http_service(config.http_service, at.field("http_service")))
    grpc, at = config.grpc_service, at.field("grpc_service")
    check(grpc, ("envoy_grpc", "timeout", "initial_metadata"), at)
    place = at.field("envoy_grpc")
    check(grpc.envoy_grpc, ("cluster_name", "authority"), place)
    if not grpc.envoy_grpc.cluster_name:
        place.field("cluster_name").reject("empty; name the collector's cluster")
    return OtelTracer(
        cluster=grpc.envoy_grpc.cluster_name,
        service=service,
        host=grpc.envoy_grpc.authority or grpc.envoy_grpc.cluster_name,
        headers=tuple((one.key.lower().encode(), one.value.encode()) for one in grpc.initial_metadata),
        timeout_ms=timeout_ms(grpc, "timeout", at) or _EXPORT_TIMEOUT_MS,
    )


def _http_service(service: Any, at: At) -> dict[str, Any]:
    """envoy.config.core.v3.HttpService as fields of a tracer."""
    check(service, ("http_uri", "request_headers_to_add"), at)
    uri, place = service.http_uri, at.field("http_uri")
    check(uri, ("uri", "cluster", "timeout"), place)
    if not uri.cluster:
        place.field("cluster").reject("empty; name the collector's cluster")
    scheme, found, rest = uri.uri.partition("://")
    host, _, path = rest.partition("/") if found else ("", "", scheme.removeprefix("/"))
    headers = []
    for index, one in enumerate(service.request_headers_to_add):
        value = one.header.value
        if "%" in value:
            where = at.field("request_headers_to_add", index).field("header.value")
            where.reject(f"{value!r}: command operators are not supported in what goes to a collector")
        headers.append((one.header.key.lower().encode(), value.encode()))
    return {
        "cluster": uri.cluster,
        "path": f"/{path}",
        "host": host or uri.cluster,
        "headers": tuple(headers),
        "timeout_ms": timeout_ms(uri, "timeout", place) or _EXPORT_TIMEOUT_MS,
    }


# ---- routes


def compile_decorator(route: Any, at: At) -> Decorator | None:
    """envoy.config.route.v3.Route.decorator."""
    if not route.HasField("decorator"):
        return None
    at = at.field("decorator")
    check(route.decorator, ("operation", "propagate"), at)
    if not route.decorator.operation:
        at.field("operation").reject("empty; give the operation a name")
    return Decorator(
        operation=route.decorator.operation.encode(), propagate=wrapped(route.decorator, "propagate", True)
    )


def compile_route_tracing(route: Any, at: At) -> RouteTracing | None:
    """envoy.config.route.v3.Route.tracing."""
    if not route.HasField("tracing"):
        return None
    tracing, at = route.tracing, at.field("tracing")
    check(tracing, ("client_sampling", "random_sampling", "overall_sampling", "custom_tags"), at)
    defaults = Sampling()
    return RouteTracing(
        sampling=Sampling(
            client=_share(tracing, "client_sampling", defaults.client),
            random=_share(tracing, "random_sampling", defaults.random),
            overall=_share(tracing, "overall_sampling", defaults.overall),
        ),
        tags=compile_tags(tracing.custom_tags, at),
    )


def _share(tracing: Any, field: str, default: Share) -> Share:
    if not tracing.HasField(field):
        return default
    percent = getattr(tracing, field)
    return percent.numerator, _DENOMINATORS[percent.denominator]


# ---- tags


def compile_tags(tags: Iterable[Any], at: At) -> tuple[tuple[str, TagValue], ...]:
    """A list of envoy.type.tracing.v3.CustomTag in the field `custom_tags`; the last of a name counts."""
    found: dict[str, TagValue] = {}
    for index, tag in enumerate(tags):
        place = at.field("custom_tags", index)
        if not tag.tag:
            place.field("tag").reject("empty; name the tag")
        value = _tag(tag, place)
        if value is not None:
            found[tag.tag] = value
    return tuple(found.items())


def _tag(tag: Any, at: At) -> TagValue | None:
    """The value of a tag by a request; None for one that never has any."""
    kind = tag.WhichOneof("type")
    if kind == "literal":
        return _constant(tag.literal.value)
    if kind == "environment":
        text = os.environ.get(tag.environment.name, tag.environment.default_value)
        return _constant(text) if text else None
    if kind == "request_header":
        return _header(tag.request_header.name, tag.request_header.default_value, at)
    if kind == "value":
        try:
            render = compile_text(tag.value, "")
        except InvalidFormat as error:
            at.field("value").reject(str(error))
        return lambda info: render(info) or None
    at.field(kind or "type").reject("is not supported; give literal, environment, request_header or value")


def _constant(text: str) -> TagValue:
    return lambda info: text


def _header(name: str, default: str, at: At) -> TagValue:
    if not name:
        at.field("request_header").field("name").reject("empty; name the header")
    key = name.lower().encode()

    def value(info: StreamInfo) -> str | None:
        request = info.request_headers
        if request is None:
            return default or None
        found = request.get_all(key)[0] if key in request else request.lookup(key)
        return str(found, "utf-8", "replace") if found is not None else default or None

    return value
