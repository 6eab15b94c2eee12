"""lugsail.workload.v1.Workload → the peer that metrics name."""

from __future__ import annotations

from typing import Any

from sidecar.telemetry.peers import Peer


def compile_workload(message: Any) -> Peer:
    """Nothing in it can be wrong: what is empty is not known."""
    return Peer(
        workload=message.name,
        namespace=message.namespace,
        app=message.app,
        version=message.version,
        canonical_service=message.canonical_service,
        canonical_revision=message.canonical_revision,
        cluster_id=message.cluster_id,
    )
