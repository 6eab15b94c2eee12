"""The table of resource kinds: names, groups, versions and models."""

from dataclasses import dataclass
from typing import Any

from lugsail.api.base import Resource
from lugsail.api.destination_rule import DestinationRule
from lugsail.api.envoy_filter import EnvoyFilter
from lugsail.api.gateway import Gateway
from lugsail.api.service_entry import ServiceEntry
from lugsail.api.sidecar import Sidecar
from lugsail.api.telemetry import Telemetry
from lugsail.api.virtual_service import VirtualService
from lugsail.api.workload_entry import WorkloadEntry

NETWORKING_GROUP = "networking.istio.io"
NETWORKING_VERSIONS = ("v1", "v1beta1", "v1alpha3")
TELEMETRY_GROUP = "telemetry.istio.io"
TELEMETRY_VERSIONS = ("v1", "v1alpha1")


@dataclass(frozen=True)
class Kind:
    """One kind; `versions` names the preferred one first. All versions share the model."""

    kind: str
    group: str
    versions: tuple[str, ...]
    plural: str
    singular: str
    short_names: tuple[str, ...]
    model: type[Resource]

    @property
    def api_version(self) -> str:
        """The preferred `apiVersion`, such as `networking.istio.io/v1`."""
        return f"{self.group}/{self.versions[0]}"


class UnknownKind(LookupError):
    """No supported kind has that name; the text says which there are."""


def _networking(kind: str, plural: str, short_names: tuple[str, ...], model: type[Resource]) -> Kind:
    return Kind(kind, NETWORKING_GROUP, NETWORKING_VERSIONS, plural, kind.lower(), short_names, model)


KINDS: dict[str, Kind] = {
    kind.kind: kind
    for kind in (
        _networking("VirtualService", "virtualservices", ("vs",), VirtualService),
        _networking("DestinationRule", "destinationrules", ("dr",), DestinationRule),
        _networking("Gateway", "gateways", ("gw",), Gateway),
        _networking("ServiceEntry", "serviceentries", ("se",), ServiceEntry),
        _networking("WorkloadEntry", "workloadentries", ("we",), WorkloadEntry),
        _networking("Sidecar", "sidecars", (), Sidecar),
        _networking("EnvoyFilter", "envoyfilters", (), EnvoyFilter),
        Kind("Telemetry", TELEMETRY_GROUP, TELEMETRY_VERSIONS, "telemetries", "telemetry", ("telemetry",), Telemetry),
    )
}

_BY_NAME: dict[str, Kind] = {
    name.lower(): kind
    for kind in KINDS.values()
    for name in (
        kind.kind,
        kind.plural,
        kind.singular,
        f"{kind.plural}.{kind.group}",
        f"{kind.singular}.{kind.group}",
        *kind.short_names,
    )
}


def find_kind(name: str) -> Kind:
    """The kind by any of its names (kind, plural, singular, short name, `plural.group`), in any letter case.

    Raises UnknownKind.
    """
    kind = _BY_NAME.get(name.strip().lower())
    if kind is None:
        known = ", ".join(f"{k.plural} ({k.short_names[0]})" if k.short_names else k.plural for k in KINDS.values())
        raise UnknownKind(f"no resource kind is called {name!r}; there are {known}")
    return kind


def kind_schema(kind: str) -> dict[str, Any]:
    """JSON schema of the kind (any name that find_kind takes), camelCase, with `$defs` inside."""
    return find_kind(kind).model.model_json_schema(by_alias=True)
