"""Endpoints: where the workloads of a service listen."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from controlplane.model.config import Config, labels_match
from controlplane.model.service import Port, Service
from lugsail.api.service_entry import ServiceEntrySpec
from lugsail.api.workload_entry import WorkloadEntrySpec

_CANONICAL_NAME = ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app")
_CANONICAL_REVISION = ("service.istio.io/canonical-revision", "app.kubernetes.io/version", "version")


@dataclass(frozen=True)
class Endpoint:
    """One workload as a service sees it. Compared by value."""

    address: str
    ports: tuple[tuple[str, int], ...]  # service port name -> the endpoint's own port number
    labels: tuple[tuple[str, str], ...]
    locality: str  # region/zone/subzone
    weight: int
    service_account: str
    workload: str
    namespace: str
    network: str = ""

    @cached_property
    def label_map(self) -> dict[str, str]:
        return dict(self.labels)

    def port_for(self, port: Port) -> int:
        """The port number at the endpoint for a port of the service."""
        return next((number for name, number in self.ports if name == port.name), port.target)

    def description(self, cluster_id: str) -> str:
        """`workload;namespace;canonical name;canonical revision;cluster`: the `istio.workload` metadata of Istio."""
        name = next((self.label_map[key] for key in _CANONICAL_NAME if key in self.label_map), self.workload)
        revision = next((self.label_map[key] for key in _CANONICAL_REVISION if key in self.label_map), "")
        return ";".join((self.workload, self.namespace, name, revision, cluster_id))


def is_healthy(workload: Config[WorkloadEntrySpec]) -> bool:
    """Whether it takes traffic: not while its status has Istio's condition `Healthy: False`."""
    conditions = workload.resource.status.get("conditions")
    return not isinstance(conditions, list) or not any(
        isinstance(c, dict) and c.get("type") == "Healthy" and c.get("status") == "False" for c in conditions
    )


def endpoint_of(spec: WorkloadEntrySpec, workload: str, namespace: str) -> Endpoint:
    """The endpoint that a WorkloadEntry (or an inline endpoint of a ServiceEntry) describes."""
    return Endpoint(
        address=spec.address,
        ports=tuple(sorted(spec.ports.items())),
        labels=tuple(sorted(spec.labels.items())),
        locality=spec.locality,
        weight=spec.weight or 1,
        service_account=spec.service_account,
        workload=workload,
        namespace=namespace,
        network=spec.network,
    )


def workload_endpoint(service: Service, workload: Config[WorkloadEntrySpec]) -> Endpoint | None:
    """The workload as the service's endpoint; None when the service does not select it."""
    selector = service.config.spec.workload_selector
    if selector is None or workload.namespace != service.config.namespace:
        return None
    if not labels_match(selector.labels, workload.spec.labels):
        return None
    return endpoint_of(workload.spec, workload.name, workload.namespace)


def endpoints_of(service: Service, workloads: Iterable[Config[WorkloadEntrySpec]]) -> tuple[Endpoint, ...]:
    """Endpoints of a service: the healthy workloads of its namespace that its selector picks, else the inline ones,
    else (for DNS resolution) the host itself."""
    config: Config[ServiceEntrySpec] = service.config
    spec = config.spec
    if spec.workload_selector is not None:
        selected = (workload_endpoint(service, workload) for workload in workloads if is_healthy(workload))
        return tuple(endpoint for endpoint in selected if endpoint is not None)
    if spec.endpoints:
        return tuple(
            endpoint_of(inline, f"{config.name}-{index}", config.namespace)
            for index, inline in enumerate(spec.endpoints)
        )
    if service.is_dns and "*" not in service.host:
        return (Endpoint(service.host, (), (), "", 1, "", config.name, config.namespace),)
    return ()
