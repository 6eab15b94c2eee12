"""Puts sidecars into Kubernetes manifests, as `istioctl kube-inject` does: text in, text out, nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from controlplane.injector.kube_fields import BadWorkload, items_of, mapping_of, texts_of
from controlplane.injector.kube_pod import INIT_NAME, PROXY_NAME, STATUS, Images, Workload, with_sidecar
from controlplane.injector.kube_text import Piece, join_documents
from controlplane.injector.settings import INJECT, PROXY_UID, InjectionSettings
from lugsail.api.errors import child_path

# Where the pod template is. The groups tell a Job of Kubernetes from other people's.
_TEMPLATES = {
    "Pod": "",
    "Deployment": "spec.template",
    "StatefulSet": "spec.template",
    "DaemonSet": "spec.template",
    "ReplicaSet": "spec.template",
    "ReplicationController": "spec.template",
    "Job": "spec.template",
    "CronJob": "spec.jobTemplate.spec.template",
}
_GROUPS = frozenset(("", "apps", "batch", "extensions"))
# Istio never injects into the cluster's own namespaces.
_IGNORED_NAMESPACES = frozenset(("kube-system", "kube-public", "kube-node-lease", "local-path-storage"))

Fields = dict[str, Any]


@dataclass(frozen=True)
class KubeOptions:
    """What the manifests leave open. `discovery` is host:port of the control plane as seen from pods."""

    proxy: Literal["python", "envoy"] = "python"
    images: Images = field(default_factory=Images)
    discovery: str = "control-plane.istio-system.svc:15010"


@dataclass(frozen=True)
class Outcome:
    """What became of one workload, and why. `reason` is empty for those that got their sidecar now."""

    where: str
    kind: str
    namespace: str
    name: str
    injected: bool
    reason: str
    warnings: tuple[str, ...] = ()
    # There was a sidecar before.
    already: bool = False


def inject_documents(pieces: Iterable[Piece], options: KubeOptions) -> tuple[str, list[Outcome]]:
    """The text with sidecars and an outcome for each workload. Raises BadWorkload or BadAnnotation."""
    outcomes: list[Outcome] = []
    changed = [(piece, _object(piece.data, piece.place, options, outcomes)) for piece in pieces]
    return join_documents(changed), outcomes


def _object(data: Any, place: str, options: KubeOptions, outcomes: list[Outcome]) -> Fields | None:
    """The object with its sidecar, or None where nothing changes."""
    if not isinstance(data, dict):
        return None
    kind = data.get("kind")
    if kind == "List":
        return _list(data, place, options, outcomes)
    group = str(data.get("apiVersion", "")).rpartition("/")[0]
    if kind not in _TEMPLATES or group not in _GROUPS:
        return None
    metadata = mapping_of(data, "metadata", f"{place}: {kind}")
    namespace = metadata.get("namespace") or "default"
    name = metadata.get("name") or str(metadata.get("generateName", "")).rstrip("-") or "?"
    where = f"{place}: {kind} {namespace}/{name}"
    if name == "?":
        raise BadWorkload(where, "metadata.name", None, "the workload's name")
    path = _TEMPLATES[str(kind)]
    template = _template(data, path, where)
    outcome, pod = _decide(template, path, Workload(str(name), where), str(namespace), str(kind), options)
    outcomes.append(outcome)
    return None if pod is None else _replaced(data, path.split(".") if path else [], pod)


def _list(data: Fields, place: str, options: KubeOptions, outcomes: list[Outcome]) -> Fields | None:
    items = items_of(data, "items", f"{place}: List")
    results = [_object(item, f"{place}: items[{number}]", options, outcomes) for number, item in enumerate(items)]
    if all(result is None for result in results):
        return None
    merged = [item if result is None else result for item, result in zip(items, results, strict=True)]
    return {**data, "items": merged}


def _template(data: Fields, path: str, where: str) -> Fields:
    """The pod template at `path`, its parts checked as far as injection touches them."""
    template, at = data, ""
    for part in path.split(".") if path else []:
        template = mapping_of(template, part, where, path=at)
        at = child_path(at, part)
    spec_path = child_path(path, "spec")
    spec = mapping_of(template, "spec", where, path=path)
    containers = items_of(spec, "containers", where, path=spec_path)
    if not containers:
        raise BadWorkload(where, child_path(spec_path, "containers"), None, "at least one container")
    everyone = [(f"containers[{n}]", c) for n, c in enumerate(containers)]
    everyone += [
        (f"initContainers[{n}]", c) for n, c in enumerate(items_of(spec, "initContainers", where, path=spec_path))
    ]
    for position, container in everyone:
        if not isinstance(container.get("name"), str):
            raise BadWorkload(where, f"{spec_path}.{position}.name", container.get("name"), "the container's name")
    items_of(spec, "volumes", where, path=spec_path)
    metadata_path = child_path(path, "metadata")
    metadata = mapping_of(template, "metadata", where, path=path)
    texts_of(metadata, "labels", where, path=metadata_path)
    texts_of(metadata, "annotations", where, path=metadata_path)
    return template


def _decide(
    template: Fields, path: str, workload: Workload, namespace: str, kind: str, options: KubeOptions
) -> tuple[Outcome, Fields | None]:
    metadata = template.get("metadata") or {}
    annotations = dict(metadata.get("annotations") or {})
    labels = metadata.get("labels") or {}
    if INJECT in labels:  # Istio's newer spelling; where both are, the label counts
        annotations[INJECT] = labels[INJECT]
    at = f"{workload.where}: {child_path(child_path(path, 'metadata'), 'annotations')}"
    settings = InjectionSettings.from_annotations(annotations, at, dns_capture=False, proxy=options.proxy)
    already = _already(template["spec"], annotations)
    reason = already or _refusal(settings, template["spec"], namespace)
    about = (workload.where, kind, namespace, workload.name)
    if reason:
        return Outcome(*about, False, reason, already=bool(already)), None
    pod, warnings = with_sidecar(template, settings, workload, options.images, options.discovery)
    advice = (*settings.warnings, *warnings, *_advice(template["spec"], kind, workload.where))
    return Outcome(*about, True, "", advice), pod


def _already(spec: Fields, annotations: Mapping[str, str]) -> str:
    if STATUS in annotations:
        return f"it has a sidecar: annotation {STATUS}"
    for container in [*(spec.get("initContainers") or []), *spec["containers"]]:
        if container["name"] in (INIT_NAME, PROXY_NAME):
            return f"it has a sidecar: container {container['name']}"
    return ""


def _refusal(settings: InjectionSettings, spec: Fields, namespace: str) -> str:
    """Why a workload is left as it is; empty: it is not."""
    if settings.inject is False:
        return f'it says {INJECT}: "false"'
    if spec.get("hostNetwork") is True:
        return "hostNetwork: true: rules in the node's network would capture the traffic of the whole node"
    if namespace in _IGNORED_NAMESPACES:
        return f"the namespace {namespace} belongs to the cluster"
    return ""


def _advice(spec: Fields, kind: str, where: str) -> list[str]:
    found = []
    if kind in ("Job", "CronJob"):
        found.append(
            f"{where}: the pod completes when the sidecar ends too: let the app, as its last step, "
            "POST http://127.0.0.1:15020/quitquitquit"
        )
    pod_user = (spec.get("securityContext") or {}).get("runAsUser")
    for container in spec["containers"]:
        user = (container.get("securityContext") or {}).get("runAsUser", pod_user)
        if user == PROXY_UID:
            found.append(
                f"{where}: container {container['name']} runs as user {PROXY_UID}, by which the proxy's own traffic "
                "is told: its traffic is not captured; choose another runAsUser"
            )
    return found


def _replaced(data: Fields, path: list[str], value: Fields) -> Fields:
    """A copy of `data` with `value` at `path`, all else and all order as it was."""
    if not path:
        return value
    return {**data, path[0]: _replaced(data[path[0]], path[1:], value)}
