"""The stock Envoy as a sender: its OpenTelemetry tracer over gRPC, its Zipkin tracer with shared spans."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from sidecar.agent.envoy import EnvoyNotFound, find_envoy
from tests.services.tracing.process import Tracing

pytestmark = [pytest.mark.e2e, pytest.mark.envoy]

EXTENSIONS = "type.googleapis.com/envoy.extensions"
HCM = f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager"
TRACE = "type.googleapis.com/envoy.config.trace.v3"


def cluster(name: str, host: str, port: int, http2: bool = False) -> dict[str, Any]:
    address = {"socket_address": {"address": host, "port_value": port}}
    made: dict[str, Any] = {
        "name": name,
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }
    if http2:
        made["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    return made


def listener(host: str, port: int, provider: dict[str, Any], inbound: bool, to: str) -> dict[str, Any]:
    route: dict[str, Any] = {"match": {"prefix": "/"}, "decorator": {"operation": f"op-{port}"}}
    route |= {"route": {"cluster": to}} if to else {"direct_response": {"status": 200}}
    manager = {
        "@type": HCM,
        "stat_prefix": "x",
        "generate_request_id": True,
        "tracing": {
            "random_sampling": {"value": 100},
            "provider": provider,
            "spawn_upstream_span": bool(to),
        },
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{EXTENSIONS}.filters.http.router.v3.Router"}}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    }
    return {
        "name": f"l{port}",
        "traffic_direction": "INBOUND" if inbound else "OUTBOUND",
        "address": {"socket_address": {"address": host, "port_value": port}},
        "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}],
    }


def bootstrap(host: str) -> dict[str, Any]:
    otel = {
        "name": "envoy.tracers.opentelemetry",
        "typed_config": {
            "@type": f"{TRACE}.OpenTelemetryConfig",
            "service_name": "envoy-otel",
            "grpc_service": {"envoy_grpc": {"cluster_name": "otlp"}, "timeout": "1s"},
        },
    }
    zipkin = {
        "name": "envoy.tracers.zipkin",
        "typed_config": {
            "@type": f"{TRACE}.ZipkinConfig",
            "collector_cluster": "zipkin",
            "collector_endpoint": "/api/v2/spans",
            "collector_endpoint_version": "HTTP_JSON",
            "trace_id_128bit": True,
            "shared_span_context": True,
        },
    }
    return {
        "node": {"id": "n", "cluster": "envoy-zipkin"},
        "static_resources": {
            "listeners": [
                listener(host, 18001, otel, False, "otel-in"),
                listener(host, 18002, otel, True, ""),
                listener(host, 18003, zipkin, False, "zipkin-in"),
                listener(host, 18004, zipkin, True, ""),
            ],
            "clusters": [
                cluster("otlp", host, 4317, http2=True),
                cluster("zipkin", host, 9411),
                cluster("otel-in", host, 18002),
                cluster("zipkin-in", host, 18004),
            ],
        },
    }


def ask(host: str, port: int, request_id: str) -> None:
    request = urllib.request.Request(f"http://{host}:{port}/", headers={"x-request-id": request_id})
    deadline = time.monotonic() + 20
    while True:
        try:
            urllib.request.urlopen(request, timeout=5).read()
            return
        except OSError:
            assert time.monotonic() < deadline, "Envoy does not answer"
            time.sleep(0.1)


def found(service: Tracing, name: str, spans: int) -> list[dict[str, Any]]:
    """The newest trace of a service, when it has so many spans: Envoy sends them after a while."""
    deadline = time.monotonic() + 30
    while True:
        data = service.get(f"/api/traces?service={name}&limit=1")[1]["data"]
        if data and len(data[0]["spans"]) >= spans:
            return list(data[0]["spans"])
        assert time.monotonic() < deadline, f"{data}\n{service.log.read_text()}"
        time.sleep(0.2)


def test_envoys_tracers(tmp_path: Path) -> None:
    with Tracing(tmp_path / "t.db") as service:
        path = tmp_path / "envoy.json"
        path.write_text(json.dumps(bootstrap(service.address)))
        try:
            binary = find_envoy()
        except EnvoyNotFound as error:
            pytest.skip(str(error))
        command = [str(binary), "-c", str(path), "--concurrency", "1", "--use-dynamic-base-id"]
        with (tmp_path / "envoy.log").open("wb") as log:
            envoy = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            request_id = "1f2e3d4c-0000-9000-8000-000000000001"
            ask(service.address, 18001, request_id)
            ask(service.address, 18003, request_id)
            chain(found(service, "envoy-otel", 3))
            chain(found(service, "envoy-zipkin", 3))
        finally:
            envoy.kill()
            envoy.wait()


def chain(spans: list[dict[str, Any]]) -> None:
    """Each span but one has another as its parent, and none is marked as wrong."""
    by_id = {made["spanID"]: made for made in spans}
    assert len(by_id) == len(spans)
    roots = [made for made in spans if not made["references"]]
    assert len(roots) == 1, spans
    assert all(made["references"][0]["spanID"] in by_id for made in spans if made is not roots[0]), spans
    kinds = [tag["value"] for made in spans for tag in made["tags"] if tag["key"] == "span.kind"]
    assert {"client", "server"} <= set(kinds)
    assert any(tag["key"] == "guid:x-request-id" for made in spans for tag in made["tags"])
