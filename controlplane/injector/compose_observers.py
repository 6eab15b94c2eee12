"""The containers that watch a mesh: traces and metrics always, Prometheus and Grafana by profile. They have no sidecar.

The names of their ports are those that the control plane looks for when it tells Prometheus whom to scrape.
"""

from __future__ import annotations

from typing import Any

from controlplane.injector.compose_images import IMAGE_PREFIX
from controlplane.injector.compose_values import health_check, published

Document = dict[str, Any]

OBSERVERS = ("tracing", "metrics", "prometheus", "grafana")
ROLE = "lugsail.io/role"
NAMESPACE = "istio-system"
TRACES_VOLUME = "lugsail-traces"
TRACES = "/var/lib/lugsail"
#: Where a stock Envoy sends its records; the Python sidecar counts by itself.
ACCESS_LOG_SERVICE = "metrics:9091"
GRAFANA_IMAGE = "grafana/grafana:11.6.0"


def observer_services(networks: Document, context: str | None) -> dict[str, tuple[Document, str]]:
    """Each of OBSERVERS with its comment. `context` is where the sources lie; without it there is no Grafana."""
    services = {
        "tracing": (_tracing(networks), "Takes spans, and shows traces: http://127.0.0.1:16686/"),
        "metrics": (
            _metrics(networks),
            "Counts what stock Envoys tell, scrapes the Python sidecars, and tells all of it: "
            "http://127.0.0.1:9091/metrics",
        ),
        "prometheus": (_prometheus(networks), "Prometheus itself: docker compose --profile prometheus up"),
    }
    if context is not None:
        services["grafana"] = (
            _grafana(networks, context),
            "Grafana with boards of the mesh (and Prometheus): docker compose --profile grafana up",
        )
    return services


def _tracing(networks: Document) -> Document:
    return {
        "image": f"{IMAGE_PREFIX}planes",
        "command": [
            *("python", "-m", "services.tracing", "--address", "0.0.0.0"),  # noqa: S104 - inside the container
            *("--data", f"{TRACES}/traces.db", "--max-size", "256MB"),
        ],
        "user": "1337:1337",
        "cap_drop": ["ALL"],
        "volumes": [f"{TRACES_VOLUME}:{TRACES}"],
        **networks,
        "ports": published(["${LUGSAIL_TRACING_PORT:-16686}:16686"]),
        "healthcheck": health_check(16686, "/ready"),
        "restart": "unless-stopped",
        "labels": _labels("tracing", "http-zipkin:9411,grpc-otlp:4317,http-otlp:4318,ui:16686"),
    }


def _metrics(networks: Document) -> Document:
    return {
        "image": f"{IMAGE_PREFIX}planes",
        "command": [
            *("python", "-m", "services.metrics", "--address", "0.0.0.0"),  # noqa: S104 - inside the container
            *("--control-plane", "http://control-plane:8080"),
        ],
        "user": "1337:1337",
        "cap_drop": ["ALL"],
        **networks,
        "ports": published(["${LUGSAIL_METRICS_PORT:-9091}:9090"]),
        "healthcheck": health_check(9090, "/ready"),
        "restart": "unless-stopped",
        "labels": _labels("metrics", "tcp-als:9091,http:9090"),
    }


def _prometheus(networks: Document) -> Document:
    return {
        "image": f"{IMAGE_PREFIX}prometheus",
        # Grafana asks it; compose would not start it for Grafana's profile alone.
        "profiles": ["prometheus", "grafana"],
        "cap_drop": ["ALL"],
        **networks,
        "ports": published(["${LUGSAIL_PROMETHEUS_PORT:-9090}:9090"]),
        "healthcheck": health_check(9090, "/-/ready"),
        "restart": "unless-stopped",
        "labels": _labels("prometheus", "http:9090"),
    }


def _grafana(networks: Document, context: str) -> Document:
    folder = f"{context.rstrip('/')}/observability/grafana"
    return {
        "image": GRAFANA_IMAGE,
        "profiles": ["grafana"],
        "environment": {
            "GF_AUTH_ANONYMOUS_ENABLED": "true",
            "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
            "LUGSAIL_PROMETHEUS": "prometheus:9090",
            "LUGSAIL_TRACING": "tracing:16686",
        },
        "cap_drop": ["ALL"],
        "volumes": [
            f"{folder}/provisioning:/etc/grafana/provisioning:ro",
            f"{folder}/dashboards:/etc/grafana/dashboards:ro",
        ],
        **networks,
        "ports": published(["${LUGSAIL_GRAFANA_PORT:-3000}:3000"]),
        "restart": "unless-stopped",
        "labels": {ROLE: "grafana"},
    }


def _labels(name: str, ports: str) -> dict[str, str]:
    return {
        "app": name,
        "lugsail.io/workload": name,
        "lugsail.io/namespace": NAMESPACE,
        "lugsail.io/service": name,
        "lugsail.io/ports": ports,
        "lugsail.io/service-account": name,
        ROLE: name,
    }
