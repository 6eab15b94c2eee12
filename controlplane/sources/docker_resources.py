"""Pods to resources: a ServiceEntry for each service, a WorkloadEntry for each pod that has an address. Pure.

A pod that cannot take traffic (not ready yet, paused, unhealthy) keeps its WorkloadEntry, with Istio's condition
`Healthy: False`: it is no endpoint then, but its own proxy keeps the configuration of its ports.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from controlplane.model.auto_addresses import address_key, allocate
from controlplane.sources.docker_labels import SERVICE, WORKLOAD
from controlplane.sources.docker_pods import Pod, Target
from lugsail.api.base import Resource, ResourceKey
from lugsail.api.errors import InvalidResource
from lugsail.api.load import load_resource

API_VERSION = "networking.istio.io/v1"

_Document = dict[str, Any]
_Members = Mapping[tuple[str, str], list[Pod]]


def host_of(service: str, namespace: str) -> str:
    """The service's name in the mesh."""
    return f"{service}.{namespace}.svc.cluster.local"


def assign_addresses(pods: Iterable[Pod], known: Mapping[str, str]) -> dict[str, str]:
    """Each service's virtual address, by `namespace/host`. `known`: those given before, which stay."""
    keys = dict.fromkeys(_address_key(namespace, service) for namespace, service in _services(pods))
    kept = {key: known[key] for key in keys if key in known}
    return kept | allocate((key for key in keys if key not in kept), set(kept.values()))


def registry_resources(
    pods: Collection[Pod], ready: Collection[Target], addresses: Mapping[str, str]
) -> tuple[dict[ResourceKey, Resource], tuple[str, ...]]:
    """The resources, and what could not be said, a line each."""
    services = _services(pods)
    by_label = {name for name in services if SERVICE in _selector(name, services, pods)}
    documents: list[tuple[str, _Document]] = []
    for (namespace, service), members in services.items():
        address = addresses[_address_key(namespace, service)]
        selector = _selector((namespace, service), services, pods)
        documents.append((members[0].container.name, _service_entry(service, namespace, address, members, selector)))
    for pod in pods:
        if pod.address:
            name = (pod.claim.namespace, pod.claim.service)
            entry = _workload_entry(pod, services[name][0], name in by_label, pod.serves and pod.target in ready)
            documents.append((pod.container.name, entry))
    found: dict[ResourceKey, Resource] = {}
    problems: list[str] = []
    for container, document in documents:
        try:
            resource = load_resource(document)
            found[resource.key] = resource
        except InvalidResource as error:
            problems.append(f"container {container}: its labels make no resource: {error}")
    return found, tuple(problems)


def _address_key(namespace: str, service: str) -> str:
    return address_key(namespace, host_of(service, namespace))


def _services(pods: Iterable[Pod]) -> dict[tuple[str, str], list[Pod]]:
    services: dict[tuple[str, str], list[Pod]] = {}
    for pod in pods:
        services.setdefault((pod.claim.namespace, pod.claim.service), []).append(pod)
    return dict(sorted(services.items()))


def _selector(name: tuple[str, str], services: _Members, pods: Iterable[Pod]) -> dict[str, str]:
    """`app: NAME` where that says the same pods, else the service's own label."""
    namespace, service = name
    members = services[name]
    apps = {member.claim.label_map.get("app", "") for member in members}
    if len(apps) == 1:
        app = next(iter(apps))
        with_app = [p for p in pods if p.claim.namespace == namespace and p.claim.label_map.get("app") == app]
        if app and len(with_app) == len(members):
            return {"app": app}
    return {SERVICE: service}


def _service_entry(
    service: str, namespace: str, address: str, members: list[Pod], selector: dict[str, str]
) -> _Document:
    return {
        "apiVersion": API_VERSION,
        "kind": "ServiceEntry",
        "metadata": {"name": service, "namespace": namespace},
        "spec": {
            "hosts": [host_of(service, namespace)],
            "addresses": [address],
            "ports": [
                {"number": port.number, "name": port.name, "protocol": port.protocol, "targetPort": port.target}
                for port in members[0].claim.ports
            ],
            "location": "MESH_INTERNAL",
            "resolution": "STATIC",
            "workloadSelector": {"labels": selector},
        },
    }


def _workload_entry(pod: Pod, first: Pod, with_service_label: bool, is_ready: bool) -> _Document:
    claim = pod.claim
    labels = {**claim.label_map, WORKLOAD: claim.workload}
    if with_service_label:
        labels[SERVICE] = claim.service
    spec: _Document = {"address": pod.address, "labels": labels, "serviceAccount": claim.service_account}
    usual = {port.name: port.target for port in first.claim.ports}
    own = {port.name: port.target for port in claim.ports if port.target != usual.get(port.name)}
    if own:
        spec["ports"] = own
    return {
        "apiVersion": API_VERSION,
        "kind": "WorkloadEntry",
        "metadata": {"name": claim.workload, "namespace": claim.namespace},
        "spec": spec,
        "status": {"conditions": [{"type": "Healthy", "status": "True" if is_ready else "False"}]},
    }
