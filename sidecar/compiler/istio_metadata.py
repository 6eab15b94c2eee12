"""What Istio writes into metadata: the resource something came from, the services of a cluster, the workload behind
an endpoint. All of it is told, none of it changes how requests go, so what is malformed is left out."""

from __future__ import annotations

from typing import Any

from sidecar.config.clusters import Service
from sidecar.config.endpoints import UNKNOWN_WORKLOAD, Workload

_ISTIO = "istio"
_TRANSPORT_SOCKET_MATCH = "envoy.transport_socket_match"


def resource_of(metadata: Any) -> str:
    """filter_metadata.istio.config: the path of the resource that configured this, or ""."""
    return _text(metadata, "config")


def services_of(metadata: Any) -> tuple[Service, ...]:
    """filter_metadata.istio.services of a cluster."""
    fields = _fields(metadata)
    if fields is None or "services" not in fields:
        return ()
    found = []
    for value in fields["services"].list_value.values:
        entry = value.struct_value.fields
        host, name, namespace = (
            entry[key].string_value if key in entry else "" for key in ("host", "name", "namespace")
        )
        found.append(Service(host=host, name=name, namespace=namespace))
    return tuple(found)


def workload_of(metadata: Any) -> Workload:
    """filter_metadata.istio.workload of an endpoint: `name;namespace;canonical name;revision;cluster`."""
    text = _text(metadata, "workload")
    if not text:
        return UNKNOWN_WORKLOAD
    name, namespace, canonical_name, revision, cluster_id = ([*text.split(";"), "", "", "", ""])[:5]
    return Workload(
        name=name,
        namespace=namespace,
        canonical_name=canonical_name,
        canonical_revision=revision,
        cluster_id=cluster_id,
    )


def transport_labels_of(metadata: Any) -> dict[str, str]:
    """The labels of an endpoint that transport_socket_matches compare."""
    if _TRANSPORT_SOCKET_MATCH not in metadata.filter_metadata:
        return {}
    return {k: v.string_value for k, v in metadata.filter_metadata[_TRANSPORT_SOCKET_MATCH].fields.items()}


def _fields(metadata: Any) -> Any:
    return metadata.filter_metadata[_ISTIO].fields if _ISTIO in metadata.filter_metadata else None


def _text(metadata: Any, key: str) -> str:
    fields = _fields(metadata)
    return fields[key].string_value if fields is not None and key in fields else ""
