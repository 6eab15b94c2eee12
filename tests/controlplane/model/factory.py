"""Short ways to make resources for tests."""

from typing import Any

import yaml

from controlplane.model.mesh_snapshot import MeshSnapshot, build_snapshot
from controlplane.model.proxy import Proxy
from lugsail.api.base import Resource
from lugsail.api.load import load_resource


def resource(kind: str, name: str, spec: str, namespace: str = "default", created: str = "") -> Resource:
    """A resource with its spec in YAML."""
    metadata: dict[str, Any] = {"name": name, "namespace": namespace}
    if created:
        metadata["creationTimestamp"] = created
    return load_resource(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": kind,
            "metadata": metadata,
            "spec": yaml.safe_load(spec),
        }
    )


def service(name: str, namespace: str = "default", port: int = 80, protocol: str = "HTTP", more: str = "") -> Resource:
    """A mesh service whose workloads carry `app: NAME`."""
    return resource(
        "ServiceEntry",
        name,
        f"""
        hosts: [{name}.{namespace}.svc.cluster.local]
        location: MESH_INTERNAL
        resolution: STATIC
        ports: [{{number: {port}, name: main, protocol: {protocol}}}]
        workloadSelector: {{labels: {{app: {name}}}}}
        {more}
        """,
        namespace,
    )


def workload(name: str, address: str, app: str, namespace: str = "default", version: str = "v1") -> Resource:
    """An endpoint of the service `app`."""
    return resource(
        "WorkloadEntry", name, f"{{address: {address}, labels: {{app: {app}, version: {version}}}}}", namespace
    )


def mesh(*resources: Resource, previous: MeshSnapshot | None = None) -> MeshSnapshot:
    """A snapshot of the resources."""
    return build_snapshot(resources, previous=previous)


def sidecar(name: str = "web-v1", address: str = "10.0.0.1", app: str = "web", **changes: Any) -> Proxy:
    """A sidecar beside a workload of `app`."""
    given = {"kind": "sidecar", "namespace": "default", "labels": (("app", app), ("version", "v1")), **changes}
    return Proxy(name=name, addresses=(address,), **given)
