"""Listeners that trace, one for each kind of tracer and direction, and the routes behind all of them."""

from __future__ import annotations

from typing import Any

from tests.sidecar.oracle.config import cluster, listener

_TRACE = "type.googleapis.com/envoy.config.trace.v3"
_UUID = "type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"
_FAULT = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"
_HTTP = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

TAGS: list[dict[str, Any]] = [
    {"tag": "case", "request_header": {"name": "x-case"}},
    {"tag": "fixed", "literal": {"value": "yes"}},
    {"tag": "region", "environment": {"name": "NO_SUCH_VARIABLE", "default_value": "here"}},
    {"tag": "unset", "environment": {"name": "NO_SUCH_VARIABLE"}},
    {"tag": "team", "request_header": {"name": "x-team", "default_value": "none"}},
    {"tag": "absent", "request_header": {"name": "x-absent"}},
    {"tag": "formatted", "value": "%REQ(:METHOD)% %RESPONSE_CODE% %REQ(x-absent)%"},
    {"tag": "empty", "value": "%REQ(x-absent)%"},
    {"tag": "component", "literal": {"value": "overridden"}},
]


def zipkin(w3c: bool, **more: Any) -> dict[str, Any]:
    """The Zipkin tracer as the control plane writes it."""
    config: dict[str, Any] = {
        "@type": f"{_TRACE}.ZipkinConfig",
        "collector_cluster": "collector",
        "collector_endpoint": "/api/v2/spans",
        "collector_hostname": "collector.example",
        "collector_endpoint_version": "HTTP_JSON",
        "trace_id_128bit": True,
        "shared_span_context": False,
        **more,
    }
    if w3c:
        config["trace_context_option"] = "USE_B3_WITH_W3C_PROPAGATION"
    return {"name": "envoy.tracers.zipkin", "typed_config": config}


def otel(grpc: bool = False) -> dict[str, Any]:
    """The OpenTelemetry tracer, over HTTP or gRPC."""
    config: dict[str, Any] = {"@type": f"{_TRACE}.OpenTelemetryConfig", "service_name": "oracle.default"}
    if grpc:
        config["grpc_service"] = {"envoy_grpc": {"cluster_name": "collector-grpc", "authority": "collector.example"}}
    else:
        config["http_service"] = {
            "http_uri": {"uri": "http://collector.example/v1/traces", "cluster": "collector", "timeout": "3s"},
            "request_headers_to_add": [{"header": {"key": "x-team", "value": "shop"}}],
        }
    return {"name": "envoy.tracers.opentelemetry", "typed_config": config}


def tracing(provider: dict[str, Any], sampling: float = 100, **more: Any) -> dict[str, Any]:
    """HttpConnectionManager.tracing."""
    return {
        "client_sampling": {"value": 100},
        "random_sampling": {"value": sampling},
        "overall_sampling": {"value": 100},
        "provider": provider,
        "custom_tags": TAGS,
        "max_path_tag_length": 40,
        **more,
    }


#: Name → (direction, tracing, more fields of the connection manager).
LISTENERS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "out": ("OUTBOUND", tracing(zipkin(True)), {}),
    "in": ("INBOUND", tracing(zipkin(True)), {}),
    "gateway": ("OUTBOUND", tracing(zipkin(True), spawn_upstream_span=True), {"use_remote_address": True}),
    "b3": ("OUTBOUND", tracing(zipkin(False)), {}),
    "b3-64": ("OUTBOUND", tracing(zipkin(False, trace_id_128bit=False)), {}),
    "b3-in": ("INBOUND", tracing(zipkin(False)), {}),
    "off": ("OUTBOUND", tracing(zipkin(True), 0), {}),
    "overall": ("OUTBOUND", tracing(zipkin(True), overall_sampling={"value": 0}), {}),
    "unpacked": (
        "OUTBOUND",
        tracing(zipkin(True)),
        {"request_id_extension": {"typed_config": {"@type": _UUID, "pack_trace_reason": False}}},
    ),
    "by-trace": (
        "OUTBOUND",
        tracing(zipkin(True), 0),
        {"request_id_extension": {"typed_config": {"@type": _UUID, "use_request_id_for_trace_sampling": False}}},
    ),
    "otel": ("OUTBOUND", tracing(otel()), {}),
    "otel-in": ("INBOUND", tracing(otel()), {}),
    "otel-off": ("OUTBOUND", tracing(otel(), 0), {}),
    "otel-gateway": ("UNSPECIFIED", tracing(otel(grpc=True), spawn_upstream_span=True), {}),
}


def _to(name: str, **more: Any) -> dict[str, Any]:
    return {"route": {"cluster": name, "timeout": "0s", **more}}


_RETRIES = {
    "retry_on": "5xx,connect-failure",
    "num_retries": 2,
    "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.002s"},
}
ROUTES: dict[str, Any] = {
    "name": "main",
    "validate_clusters": False,
    "virtual_hosts": [
        {
            "name": "app",
            "domains": ["app:9080", "app"],
            "routes": [
                {"match": {"prefix": "/plain"}, **_to("app")},
                {
                    "match": {"prefix": "/quiet"},
                    "decorator": {"operation": "quiet:80/*", "propagate": False},
                    **_to("app"),
                },
                {
                    "match": {"prefix": "/tagged"},
                    "decorator": {"operation": "tagged:80/*"},
                    "tracing": {
                        "random_sampling": {"numerator": 0},
                        "custom_tags": [
                            {"tag": "fixed", "literal": {"value": "route"}},
                            {"tag": "more", "literal": {"value": "m"}},
                        ],
                    },
                    **_to("app"),
                },
                {
                    "match": {"prefix": "/tag-all"},
                    "tracing": {"custom_tags": [{"tag": "fixed", "literal": {"value": "route"}}]},
                    **_to("app"),
                },
                {"match": {"prefix": "/retry/"}, **_to("app", prefix_rewrite="/", retry_policy=_RETRIES)},
                {"match": {"prefix": "/old"}, **_to("app", prefix_rewrite="/new", host_rewrite_literal="elsewhere")},
                {"match": {"prefix": "/dead"}, **_to("dead", retry_policy=_RETRIES)},
                {"match": {"prefix": "/none"}, **_to("none")},
                {"match": {"prefix": "/missing"}, **_to("missing")},
                {"match": {"prefix": "/direct"}, "direct_response": {"status": 418, "body": {"inline_string": "tea"}}},
                {"match": {"prefix": "/moved"}, "redirect": {"path_redirect": "/x"}},
                {
                    "match": {"prefix": "/each"},
                    **_to("app", prefix_rewrite="/slow", retry_policy={**_RETRIES, "per_try_timeout": "0.1s"}),
                },
                {"match": {"prefix": "/late"}, **_to("app", prefix_rewrite="/slow", timeout="0.1s")},
                {
                    "match": {"prefix": "/fault"},
                    "decorator": {"operation": "fault:80/*"},
                    "typed_per_filter_config": {
                        "envoy.filters.http.fault": {
                            "@type": _FAULT,
                            "abort": {"http_status": 503, "percentage": {"numerator": 100}},
                        }
                    },
                    **_to("app"),
                },
                {"match": {"prefix": "/"}, "decorator": {"operation": "app.default:80/*"}, **_to("app")},
            ],
        }
    ],
}


def listeners(addresses: dict[str, tuple[str, int]], log: str) -> list[dict[str, Any]]:
    """Every listener at its address."""
    made = []
    for name, (direction, settings, more) in LISTENERS.items():
        one = listener(addresses[name], ROUTES, log, tracing=settings, **more)
        made.append({**one, "name": name, "traffic_direction": direction})
    return made


def clusters(app: tuple[str, int], dead: tuple[str, int], http: tuple[str, int], grpc: tuple[str, int]) -> list[Any]:
    """The app, what fails, and the collector."""
    h2 = {"@type": _HTTP, "explicit_http_config": {"http2_protocol_options": {}}}
    return [
        cluster("app", app, alt_stat_name="app_stat", circuit_breakers={"thresholds": [{"max_retries": 100}]}),
        cluster("dead", dead),
        cluster("none", None),
        cluster("collector", http),
        cluster("collector-grpc", grpc, typed_extension_protocol_options={_HTTP.partition("/")[2]: h2}),
    ]
