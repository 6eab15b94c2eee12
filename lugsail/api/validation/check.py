"""Runs the rules of a resource's kind."""

from collections.abc import Callable
from typing import Any

from lugsail.api.base import Resource
from lugsail.api.errors import FieldError
from lugsail.api.validation.destination_rule import check_destination_rule
from lugsail.api.validation.envoy_filter import check_envoy_filter
from lugsail.api.validation.gateway import check_gateway
from lugsail.api.validation.names import check_labels, is_dns_label, is_resource_name
from lugsail.api.validation.place import Place, Report
from lugsail.api.validation.service_entry import check_service_entry
from lugsail.api.validation.sidecar import check_sidecar
from lugsail.api.validation.telemetry import check_telemetry
from lugsail.api.validation.virtual_service import check_virtual_service
from lugsail.api.validation.workload_entry import check_workload_entry

_CHECKS: dict[str, Callable[[Place, Any], None]] = {
    "VirtualService": check_virtual_service,
    "DestinationRule": check_destination_rule,
    "Gateway": check_gateway,
    "ServiceEntry": check_service_entry,
    "WorkloadEntry": check_workload_entry,
    "Sidecar": check_sidecar,
    "EnvoyFilter": check_envoy_filter,
    "Telemetry": check_telemetry,
}


def inspect(resource: Resource) -> Report:
    """Errors and warnings of the rules of meaning, in the order of the fields."""
    report = Report()
    metadata = Place("metadata", report)
    if not is_resource_name(resource.name):
        (metadata / "name").fail(
            f"{resource.name!r} is not a resource name", "lower-case letters, digits, - and . are allowed"
        )
    if not is_dns_label(resource.namespace) or resource.namespace != resource.namespace.lower():
        (metadata / "namespace").fail(f"{resource.namespace!r} is not a namespace", "lower-case letters, digits and -")
    check_labels(metadata / "labels", resource.metadata.labels)
    _CHECKS[resource.kind](Place("spec", report), resource)
    return report


def check(resource: Resource) -> list[FieldError]:
    """Everything that breaks a rule of meaning; empty for a good resource."""
    return inspect(resource).errors
