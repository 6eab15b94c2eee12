"""WorkloadEntry: one endpoint of a service (networking.istio.io)."""

from pydantic import Field

from lugsail.api.base import ApiModel, Resource
from lugsail.api.scalars import UInt32


class WorkloadEntrySpec(ApiModel):
    """`address`: an IP, a DNS name or `unix:///path`. `ports`: service port name -> endpoint port."""

    address: str = ""
    ports: dict[str, UInt32] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    network: str = ""
    locality: str = ""
    weight: UInt32 = 0
    service_account: str = ""


class WorkloadEntry(Resource):
    """WorkloadEntry."""

    spec: WorkloadEntrySpec
