"""The mesh's workloads by address (lugsail.workload.v1.Workload): who calls, for the metrics of who is called.

One resource for each address, the same for every proxy. A workload that takes no traffic now is among them: it calls.
"""

from functools import lru_cache, partial
from typing import Any

from controlplane.model.config import Config
from controlplane.model.endpoint import Endpoint, endpoint_of
from controlplane.model.mesh_snapshot import MeshSnapshot
from controlplane.translate.built import BuiltResource, built
from controlplane.translate.view import View
from controlplane.translate.workload_proto import Workload
from lugsail.api.workload_entry import WorkloadEntrySpec


def workload_resources(view: View) -> dict[str, BuiltResource]:
    """Every workload's resource by its address."""
    endpoints = workload_endpoints(view.snapshot)
    memo, cluster_id = view.memo, view.mesh.cluster_id

    def build_all() -> dict[str, BuiltResource]:
        found = endpoints.items()
        return {address: memo.get(("wds", one, cluster_id), partial(_build, one, cluster_id)) for address, one in found}

    return memo.get(("wds", tuple(endpoints.values()), cluster_id), build_all)


def workload_endpoints(snapshot: MeshSnapshot) -> dict[str, Endpoint]:
    """The workloads by address; the oldest has an address that several claim."""
    found: dict[str, Endpoint] = {}
    for config in snapshot.workloads:
        if config.spec.address:
            found.setdefault(config.spec.address, _endpoint(config))
    return found


def workloads_differ(before: MeshSnapshot, after: MeshSnapshot) -> bool:
    """Whether the resources can differ; whether a workload is healthy does not matter to them."""
    return before.workloads is not after.workloads and workload_endpoints(before) != workload_endpoints(after)


@lru_cache(maxsize=4096)
def _endpoint(config: Config[WorkloadEntrySpec]) -> Endpoint:
    return endpoint_of(config.spec, config.name, config.namespace)


def _build(endpoint: Endpoint, cluster_id: str) -> BuiltResource:
    return built(endpoint.address, Workload(**describe(endpoint, cluster_id)))


def describe(endpoint: Endpoint, cluster_id: str) -> dict[str, Any]:
    """What metrics say of a workload. `app` and `version` are its labels, and without them the canonical ones."""
    name, namespace, service, revision, cluster = endpoint.description(cluster_id).split(";")
    labels = endpoint.label_map
    return {
        "address": endpoint.address,
        "name": name,
        "namespace": namespace,
        "app": labels.get("app") or service,
        "version": labels.get("version") or revision,
        "canonical_service": service,
        "canonical_revision": revision or "latest",
        "service_account": endpoint.service_account,
        "cluster_id": cluster,
    }
