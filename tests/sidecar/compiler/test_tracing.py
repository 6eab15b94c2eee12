from __future__ import annotations

import pytest
from envoy.config.route.v3.route_components_pb2 import Route
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager as ManagerProto,
)

from sidecar.codec.headers import RequestHeaders
from sidecar.compiler.tracing import compile_decorator, compile_route_tracing, compile_tracing
from sidecar.config.rejected import At, Rejected
from sidecar.config.tracing import Decorator, OtelTracer, Sampling, Tracing, ZipkinTracer
from sidecar.telemetry.stream_info import StreamInfo
from tests.sidecar.compiler.protos import STRANGER, proto

TRACE = "type.googleapis.com/envoy.config.trace.v3"
UUID = "type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"
ZIPKIN = (
    "collector_cluster: c, collector_endpoint: /api/v2/spans, collector_endpoint_version: HTTP_JSON,"
    " shared_span_context: false"
)
OTEL = "service_name: s, http_service: {http_uri: {uri: 'http://h:4318/v1/traces', cluster: c, timeout: 3s}}"


def compiled(kind: str, config: str, more: str = "", entry: str = "") -> Tracing:
    provider = f"provider: {{name: n, typed_config: {{'@type': {TRACE}.{kind}, {config}}}}}"
    found = compile_tracing(proto(ManagerProto, f"{{tracing: {{{provider}{more}}}{entry}}}"), True, At("l"))
    assert found is not None
    return found


def test_zipkin() -> None:
    found = compiled("ZipkinConfig", ZIPKIN + ", trace_id_128bit: true, trace_context_option: 1")
    assert found.tracer == ZipkinTracer(cluster="c", path="/api/v2/spans", host="c", trace_id_128=True, w3c=True)
    assert found.egress
    assert found.sampling == Sampling()


def test_zipkin_by_http_service() -> None:
    service = (
        "collector_endpoint_version: HTTP_JSON, shared_span_context: false, collector_service: {http_uri:"
        " {uri: 'http://h/x', cluster: c, timeout: 2s}, request_headers_to_add: [{header: {key: X-A, value: b}}]}"
    )
    assert compiled("ZipkinConfig", service).tracer == ZipkinTracer(
        cluster="c", path="/x", host="h", headers=((b"x-a", b"b"),), timeout_ms=2000.0
    )


def test_opentelemetry() -> None:
    assert compiled("OpenTelemetryConfig", OTEL).tracer == OtelTracer(
        cluster="c", service="s", host="h:4318", path="/v1/traces", timeout_ms=3000.0
    )
    grpc = "grpc_service: {envoy_grpc: {cluster_name: c, authority: a}, timeout: 1s}"
    assert compiled("OpenTelemetryConfig", grpc).tracer == OtelTracer(
        cluster="c", service="unknown_service:envoy", host="a", timeout_ms=1000.0
    )


def test_sampling_and_request_ids() -> None:
    found = compiled(
        "ZipkinConfig",
        ZIPKIN,
        ", client_sampling: {value: 50}, random_sampling: {value: 1.25}, overall_sampling: {value: 10}"
        ", max_path_tag_length: 9, spawn_upstream_span: true, verbose: true",
        f", request_id_extension: {{typed_config: {{'@type': {UUID}, pack_trace_reason: false}}}}",
    )
    assert found.sampling == Sampling(client=(50, 100), random=(125, 10_000), overall=(1000, 10_000))
    assert (found.max_path_length, found.spawn_upstream_span) == (9, True)
    assert (found.pack_reason, found.by_request_id) == (False, True)


def test_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANS_TEST", "from outside")
    found = compiled(
        "ZipkinConfig",
        ZIPKIN,
        ", custom_tags: [{tag: a, literal: {value: x}}, {tag: b, environment: {name: SPANS_TEST}},"
        " {tag: c, environment: {name: SPANS_NONE, default_value: d}}, {tag: d, environment: {name: SPANS_NONE}},"
        " {tag: e, request_header: {name: X-E}}, {tag: f, request_header: {name: x-f, default_value: g}},"
        " {tag: g, value: '%REQ(:METHOD)%!'}, {tag: h, value: '%REQ(x-h)%'}]",
    )
    info = StreamInfo(0.0, 0)
    info.request_headers = RequestHeaders(b"GET", b"/", b"h")
    info.request_headers[b"x-e"] = b"1"
    assert {name: value(info) for name, value in found.tags} == {
        "a": "x",
        "b": "from outside",
        "c": "d",
        "e": "1",
        "f": "g",
        "g": "GET!",
        "h": None,
    }


def test_nothing_is_nothing() -> None:
    assert compile_tracing(proto(ManagerProto, "{}"), True, At("l")) is None


@pytest.mark.parametrize(
    ("kind", "config", "more", "reason"),
    [
        ("ZipkinConfig", ZIPKIN.replace("false", "true"), "", "shared_span_context: must be false"),
        ("ZipkinConfig", ZIPKIN.replace("HTTP_JSON", "HTTP_PROTO"), "", "version: only HTTP_JSON"),
        ("ZipkinConfig", ZIPKIN.replace("collector_cluster: c, ", ""), "", "collector_cluster: empty"),
        ("ZipkinConfig", ZIPKIN.replace("/api", "api"), "", "is no path"),
        ("ZipkinConfig", ZIPKIN + ", split_spans_for_request: true", "", "split_spans_for_request: is not supported"),
        ("OpenTelemetryConfig", "service_name: s", "", "needs one of grpc_service and http_service"),
        (
            "OpenTelemetryConfig",
            "grpc_service: {google_grpc: {target_uri: x, stat_prefix: s}}",
            "",
            "google_grpc: is not",
        ),
        ("ZipkinConfig", ZIPKIN, ", random_sampling: {value: 101}", "random_sampling: 101 is no percentage"),
        ("ZipkinConfig", ZIPKIN, ", custom_tags: [{tag: a, metadata: {kind: {request: {}}}}]", "metadata: is not"),
        ("ZipkinConfig", ZIPKIN, ", custom_tags: [{tag: a, value: '%NOPE%'}]", r"custom_tags\[0\].value: %NOPE%"),
        ("ZipkinConfig", ZIPKIN, ", operation: '%REQ(x)%'", "operation: is not supported"),
    ],
)
def test_refused(kind: str, config: str, more: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        compiled(kind, config, more)


def test_an_unknown_tracer_is_refused_by_name() -> None:
    text = f"{{tracing: {{provider: {{name: lightning, typed_config: {{'@type': {STRANGER}}}}}}}}}"
    with pytest.raises(Rejected, match=r"l: tracing.provider.typed_config: the tracer 'lightning' of type .* is not"):
        compile_tracing(proto(ManagerProto, text), True, At("l"))
    with pytest.raises(Rejected, match=r"tracing.provider: none"):
        compile_tracing(proto(ManagerProto, "{tracing: {}}"), True, At("l"))


def test_an_unknown_request_id_extension_is_refused() -> None:
    with pytest.raises(Rejected, match=r"request_id_extension.typed_config: has type"):
        compiled("ZipkinConfig", ZIPKIN, "", f", request_id_extension: {{typed_config: {{'@type': {STRANGER}}}}}")


def test_routes() -> None:
    route = proto(
        Route,
        "{decorator: {operation: o, propagate: false}, tracing: {random_sampling: {numerator: 5, denominator: MILLION},"
        " custom_tags: [{tag: a, literal: {value: x}}]}}",
    )
    assert compile_decorator(route, At("r")) == Decorator(operation=b"o", propagate=False)
    found = compile_route_tracing(route, At("r"))
    assert found is not None
    assert found.sampling == Sampling(random=(5, 1_000_000))
    assert [name for name, _ in found.tags] == ["a"]
    assert compile_decorator(proto(Route, "{}"), At("r")) is compile_route_tracing(proto(Route, "{}"), At("r")) is None
    with pytest.raises(Rejected, match=r"r: decorator\.operation: empty"):
        compile_decorator(proto(Route, "{decorator: {}}"), At("r"))
