"""What the debug pages say, as JSON values, from the running parts. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from google.protobuf.json_format import MessageToDict

from controlplane.model.mesh_snapshot import MeshSnapshot
from controlplane.sources.aggregate import Registry
from controlplane.xds.connection import Connection
from controlplane.xds.status import NOT_SENT, ProxyStatus, StatusBoard
from controlplane.xds.translation import Translates
from controlplane.xds.type_urls import CDS, EDS, LDS, NDS, PUSH_ORDER, RDS, short_name

Json = dict[str, Any]


def _time(seconds: float | None) -> str | None:
    """Seconds since the epoch as RFC 3339."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds") if seconds is not None else None


def syncz(board: StatusBoard) -> list[Json]:
    """Per proxy, whether it has what it should have."""
    names = board.names_streams()
    return [_sync_row(status, names.get(proxy_id)) for proxy_id, status in sorted(board.current().items())]


def _sync_row(status: ProxyStatus, names: ProxyStatus | None) -> Json:
    """`names`: the agent's own stream for the name table, when the proxy does not ask for it itself."""
    summaries = status.summaries()
    name_status = (names.summaries() if names is not None else summaries)[NDS]
    return {
        "proxy": status.proxy_id,
        "type": status.kind,
        "ip": status.address,
        "connected_since": _time(status.connected_since),
        "cluster_status": summaries[CDS],
        "listener_status": summaries[LDS],
        "route_status": summaries[RDS],
        "endpoint_status": summaries[EDS],
        **({"name_status": name_status} if name_status != NOT_SENT else {}),  # most proxies never ask for names
        "revision": status.latest_revision,
        "errors": {**status.errors(), **(names.errors() if names is not None else {})},
    }


def connections(board: StatusBoard) -> list[Json]:
    """Every stream, also old ones of a proxy that has a newer one."""
    newest = (*board.current().values(), *board.names_streams().values())
    current = {status.connection_id for status in newest}
    return [
        {
            "connection": status.connection_id,
            "proxy": status.proxy_id,
            "peer": status.peer,
            "protocol": status.variant,
            "names_only": status.names_only,
            "connected_since": _time(status.connected_since),
            "current": status.connection_id in current,
        }
        for status in board.connections.values()
    ]


def adsz(streams: Iterable[Connection], revision: int) -> Json:
    """Every stream's subscriptions: what was asked for, sent and answered."""
    return {"revision": revision, "clients": [_client(stream) for stream in streams]}


def _client(stream: Connection) -> Json:
    status = stream.status
    return {
        "connection": status.connection_id,
        "proxy": status.proxy_id,
        "protocol": status.variant,
        "connected_since": _time(status.connected_since),
        "watches": {
            short_name(type_url): _watch(stream, type_url)
            for type_url in PUSH_ORDER
            if type_url in stream.subscriptions
        },
    }


def _watch(stream: Connection, type_url: str) -> Json:
    subscription, status = stream.subscriptions[type_url], stream.status.type(type_url)
    return {
        "wildcard": subscription.wildcard,
        "names": sorted(subscription.names),
        "version_sent": subscription.sent_version,
        "version_acked": subscription.acked_version,
        "nonce_sent": subscription.nonce_sent,
        "nonce_acked": subscription.nonce_acked,
        "sent_at": _time(status.sent_at),
        "acked_at": _time(status.acked_at),
        "pushes": status.pushes,
        "rejects": status.rejects,
        "error": status.error,
        "error_at": _time(status.error_at),
        "translation_error": status.translation_error,
    }


def registryz(snapshot: MeshSnapshot | None, registry: Registry) -> Json:
    """Services as the mesh sees them, and the sources that said so."""
    services = snapshot.services if snapshot is not None else ()
    return {
        "sources": [
            {
                "name": s.name,
                "synced": s.synced,
                "resources": len(s.resources),
                "error": s.error,
                "warnings": list(s.warnings),
            }
            for s in registry.states
        ],
        "services": [
            {
                "host": service.host,
                "namespace": service.namespace,
                "addresses": list(service.addresses),
                "ports": [
                    {"number": p.number, "name": p.name, "protocol": p.protocol, "target_port": p.target}
                    for p in service.ports
                ],
                "resolution": service.resolution,
                "external": service.external,
                "resource": str(service.config.key),
            }
            for service in services
        ],
        "resources": [resource.to_dict() for resource in registry.resources()],
    }


def endpointz(snapshot: MeshSnapshot | None) -> list[Json]:
    """Services with their endpoints."""
    if snapshot is None:
        return []
    return [
        {
            "service": service.host,
            "namespace": service.namespace,
            "endpoints": [
                {
                    "address": endpoint.address,
                    "ports": {port.name: endpoint.port_for(port) for port in service.ports},
                    "labels": endpoint.label_map,
                    "locality": endpoint.locality,
                    "weight": endpoint.weight,
                    "workload": f"{endpoint.workload}.{endpoint.namespace}",
                    "service_account": endpoint.service_account,
                }
                for endpoint in snapshot.endpoints_for(service)
            ],
        }
        for service in snapshot.services
    ]


def mesh(snapshot: MeshSnapshot) -> Json:
    """Mesh-wide settings; `providers` as the mesh config has them, camelCase."""
    found = asdict(snapshot.mesh)
    return {**found, "providers": [provider.spec.to_dict() for provider in snapshot.mesh.providers]}


def push_status(
    board: StatusBoard, snapshot: MeshSnapshot | None, streams: Mapping[str, Connection], translator: Translates
) -> Json:
    """The newest push, and what keeps anything from taking effect."""
    return {
        "revision": board.latest_revision,
        "snapshot_error": board.build_error[1] if board.build_error else None,
        "warnings": [str(warning) for warning in snapshot.warnings] if snapshot is not None else [],
        "proxies": {
            proxy_id: {
                "revision": status.latest_revision,
                "last_push": _last_push(status),
                "conflicts": [str(c) for c in translator.conflicts(streams[status.connection_id].proxy)],
                "errors": status.errors(),
            }
            for proxy_id, status in sorted(board.current().items())
            if status.connection_id in streams
        },
    }


def _last_push(status: ProxyStatus) -> Json | None:
    if not status.records:
        return None
    record = status.records[-1]
    outcome = record.outcome
    return {
        "revision": record.revision,
        "sent": record.sent,
        "state": str(outcome.state) if outcome else "PENDING",
        "waits_for": {short_name(t): sorted(names) for t, names in record.awaits.items() if names},
    }


def config_dump(stream: Connection, translator: Translates, snapshot: Any) -> Json:
    """What the proxy should have, in the shape of Envoy's own /config_dump (admin.v3.ConfigDump)."""
    found: dict[str, list[tuple[str, str, Json]]] = {}
    for type_url in PUSH_ORDER:
        subscription = stream.subscriptions.get(type_url)
        if subscription is None or not subscription.active:
            found[type_url] = []
            continue
        built = translator.build(snapshot, stream.proxy, type_url, subscription.requested)
        found[type_url] = [
            (name, resource.version, {"@type": type_url, **_plain(resource.message)})
            for name, resource in sorted(built.items())
        ]
    admin = "type.googleapis.com/envoy.admin.v3."
    return {
        "configs": [
            {
                "@type": admin + "ClustersConfigDump",
                "dynamic_active_clusters": [{"version_info": v, "cluster": c} for _, v, c in found[CDS]],
            },
            {
                "@type": admin + "EndpointsConfigDump",
                "dynamic_endpoint_configs": [{"version_info": v, "endpoint_config": e} for _, v, e in found[EDS]],
            },
            {
                "@type": admin + "ListenersConfigDump",
                "dynamic_listeners": [
                    {"name": n, "active_state": {"version_info": v, "listener": item}} for n, v, item in found[LDS]
                ],
            },
            {
                "@type": admin + "RoutesConfigDump",
                "dynamic_route_configs": [{"version_info": v, "route_config": r} for _, v, r in found[RDS]],
            },
        ]
    }


def ndsz(stream: Connection, translator: Translates, snapshot: Any) -> Json:
    """The name table that the proxy's agent should have: host → addresses, and what short names come from."""
    (table,) = translator.build(snapshot, stream.proxy, NDS, None).values()
    return {"version": table.version, **_plain(table.message)}


def _plain(message: Any) -> Json:
    plain: Json = MessageToDict(message, preserving_proto_field_name=True)
    return plain
