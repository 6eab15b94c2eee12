"""The pod template with its sidecar: what `istio-init` and `istio-proxy` are, and what else changes in the pod."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.injector.kube_probes import PROBERS_ENV, rewrite_probes
from controlplane.injector.settings import (
    AGENT_PORT,
    HEALTH_PORT,
    PROMETHEUS_PORT,
    PROXY_UID,
    InjectionSettings,
    proxy_arguments,
    workload_labels,
)

INIT_NAME, PROXY_NAME, VOLUME_NAME = "istio-init", "istio-proxy", "lugsail-state"
STATUS = "sidecar.istio.io/status"
PROMETHEUS_ENV = "ISTIO_PROMETHEUS_ANNOTATIONS"
# Istio's defaults (values.yaml: global.proxy.resources).
_REQUESTS = {"cpu": "100m", "memory": "128Mi"}
_LIMITS = {"cpu": "2000m", "memory": "1Gi"}
_DEFAULT_CONTAINER = ("kubectl.kubernetes.io/default-container", "kubectl.kubernetes.io/default-logs-container")
# As long as `pilot-agent wait` waits; the kubelet ends a container whose postStart fails.
_HOLD_S = 60

Fields = dict[str, Any]


@dataclass(frozen=True)
class Images:
    """Where the containers come from. `envoy` holds the stock Envoy beside everything that `python` has."""

    python: str = "lugsail/planes"
    envoy: str = "lugsail/envoy"

    def for_proxy(self, settings: InjectionSettings) -> str:
        return settings.proxy_image or (self.envoy if settings.proxy == "envoy" else self.python)


@dataclass(frozen=True)
class Workload:
    """What a template does not say of itself: its owner's name, and where messages say it is."""

    name: str
    where: str


def with_sidecar(
    template: Fields, settings: InjectionSettings, workload: Workload, images: Images, discovery: str
) -> tuple[Fields, list[str]]:
    """A pod template (`metadata`, `spec`) with init container and sidecar, as a new value, and warnings."""
    metadata, spec = template.get("metadata") or {}, template["spec"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    apps, probers = list(spec["containers"]), None
    warnings: list[str] = []
    if settings.rewrite_app_probers:
        apps, probers, warnings = rewrite_probes(apps, f"{workload.where}: spec.containers")
    image = images.for_proxy(settings)
    proxy = _proxy(settings, image, labels, discovery, _environment(probers, annotations))
    containers = [proxy, *apps] if settings.hold_application_until_proxy_starts else [*apps, proxy]
    changed = {**spec}
    if settings.needs_init:
        changed["initContainers"] = [*(spec.get("initContainers") or []), _init(settings, image)]
    changed["containers"] = containers
    changed["volumes"] = [*(spec.get("volumes") or []), {"name": VOLUME_NAME, "emptyDir": {}}]
    about = {
        **metadata,
        "labels": _labels(labels, workload.name),
        "annotations": _annotations(annotations, apps, settings),
    }
    ordered = {"metadata": about, **template} if "metadata" not in template else template
    return {**ordered, "metadata": about, "spec": changed}, warnings


def _init(settings: InjectionSettings, image: str) -> Fields:
    return {
        "name": INIT_NAME,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", "sidecar.agent.interception"],
        "args": settings.init_arguments(),
        "resources": _resources(settings),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": False,  # iptables keeps its lock in /run
            "runAsGroup": 0,
            "runAsNonRoot": False,
            "runAsUser": 0,
        },
    }


def _proxy(
    settings: InjectionSettings, image: str, labels: Mapping[str, str], discovery: str, environment: list[Fields]
) -> Fields:
    arguments = proxy_arguments(
        settings,
        workload="$(POD_NAME)",
        namespace="$(POD_NAMESPACE)",
        labels=workload_labels(labels),
        service_account="$(SERVICE_ACCOUNT)",
        discovery=discovery,
    )
    probe: Fields = {"httpGet": {"path": "/healthz/ready", "port": HEALTH_PORT}}
    container: Fields = {
        "name": PROXY_NAME,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", "sidecar"],
        "args": arguments,
        "env": environment,
        "ports": [{"containerPort": PROMETHEUS_PORT, "name": "http-envoy-prom", "protocol": "TCP"}],
        "readinessProbe": {**probe, "failureThreshold": 4, "periodSeconds": 15, "timeoutSeconds": 3},
        "startupProbe": {**probe, "failureThreshold": 600, "periodSeconds": 1, "timeoutSeconds": 3},
        "resources": _resources(settings),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsGroup": PROXY_UID,
            "runAsNonRoot": True,
            "runAsUser": PROXY_UID,
        },
        "volumeMounts": [{"mountPath": "/tmp", "name": VOLUME_NAME}],
    }
    if settings.hold_application_until_proxy_starts:
        # The kubelet starts a pod's containers one after the other, each when the postStart before it has ended.
        wait = f'until http-ok {HEALTH_PORT} /healthz/ready "$INSTANCE_IP"; do sleep 0.1; done'
        container["lifecycle"] = {"postStart": {"exec": {"command": ["timeout", str(_HOLD_S), "sh", "-c", wait]}}}
    return container


def _environment(probers: str | None, annotations: Mapping[str, str]) -> list[Fields]:
    fields = {
        "POD_NAME": "metadata.name",
        "POD_NAMESPACE": "metadata.namespace",
        "INSTANCE_IP": "status.podIP",
        "SERVICE_ACCOUNT": "spec.serviceAccountName",
        "HOST_IP": "status.hostIP",
    }
    found: list[Fields] = [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()
    ]
    own = {
        key: annotations[f"prometheus.io/{key}"]
        for key in ("scrape", "path", "port", "scheme")
        if f"prometheus.io/{key}" in annotations
    }
    if own:
        found.append({"name": PROMETHEUS_ENV, "value": _compact(own)})
    if probers is not None:
        found.append({"name": PROBERS_ENV, "value": probers})
    return found


def _resources(settings: InjectionSettings) -> Fields:
    """Istio's defaults, unless one of the four annotations is there: then those alone."""
    requests = {"cpu": settings.proxy_cpu, "memory": settings.proxy_memory}
    limits = {"cpu": settings.proxy_cpu_limit, "memory": settings.proxy_memory_limit}
    asked = {
        name: {key: value for key, value in values.items() if value is not None}
        for name, values in (("limits", limits), ("requests", requests))
    }
    said = {name: values for name, values in asked.items() if values}
    return said or {"limits": dict(_LIMITS), "requests": dict(_REQUESTS)}


def _labels(labels: Mapping[str, str], name: str) -> dict[str, str]:
    """With Istio's canonical service and revision, and that this pod takes mutual TLS."""
    service = labels.get("app.kubernetes.io/name") or labels.get("app") or name
    revision = labels.get("app.kubernetes.io/version") or labels.get("version") or "latest"
    added = {
        "security.istio.io/tlsMode": "istio",
        "service.istio.io/canonical-name": service[:63],
        "service.istio.io/canonical-revision": revision,
    }
    return {**labels, **{key: value for key, value in added.items() if key not in labels}}


def _annotations(annotations: Mapping[str, str], apps: list[Fields], settings: InjectionSettings) -> dict[str, str]:
    found = dict(annotations)
    for name in _DEFAULT_CONTAINER:
        found.setdefault(name, apps[0]["name"])
    if found.get("prometheus.io/scrape", "true") == "true":
        # The agent's page holds the proxy's metrics and the app's own, which it knows from PROMETHEUS_ENV.
        found |= {
            "prometheus.io/scrape": "true",
            "prometheus.io/port": str(AGENT_PORT),
            "prometheus.io/path": "/stats/prometheus",
        }
    status = {
        "initContainers": [INIT_NAME] if settings.needs_init else None,
        "containers": [PROXY_NAME],
        "volumes": [VOLUME_NAME],
        "imagePullSecrets": None,
        "revision": "default",
    }
    return {**found, STATUS: _compact(status)}


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
