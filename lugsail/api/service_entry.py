"""ServiceEntry: a service of the registry, inside or outside the mesh (networking.istio.io)."""

from typing import Literal

from lugsail.api.base import ApiModel, LabelSelector, Resource
from lugsail.api.scalars import UInt32
from lugsail.api.workload_entry import WorkloadEntrySpec


class ServicePort(ApiModel):
    """A port of the service; `targetPort` 0 means the same number at the endpoint."""

    number: UInt32 = 0
    protocol: str = ""
    name: str = ""
    target_port: UInt32 = 0


class ServiceEntrySpec(ApiModel):
    """Endpoints come from `endpoints`, from the workloads that `workloadSelector` picks, or from DNS of the hosts."""

    hosts: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    location: Literal["MESH_EXTERNAL", "MESH_INTERNAL"] = "MESH_EXTERNAL"
    resolution: Literal["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"] = "NONE"
    endpoints: tuple[WorkloadEntrySpec, ...] = ()
    workload_selector: LabelSelector | None = None
    export_to: tuple[str, ...] = ()
    subject_alt_names: tuple[str, ...] = ()


class ServiceEntry(Resource):
    """ServiceEntry."""

    spec: ServiceEntrySpec
