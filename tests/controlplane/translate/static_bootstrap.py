"""What the translation makes as one static Envoy bootstrap, so that the stock Envoy can judge all of it offline."""

import json
import subprocess
from pathlib import Path
from typing import Any

from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from google.protobuf.json_format import MessageToDict

from controlplane.translate.built import BuiltResource
from controlplane.translate.protos import any_of

HTTP_MANAGER = "envoy.filters.network.http_connection_manager"
EDS = 3
STATIC = 0


def static_bootstrap(
    listeners: dict[str, BuiltResource],
    routes: dict[str, BuiltResource],
    clusters: dict[str, BuiltResource],
    endpoints: dict[str, BuiltResource],
) -> dict[str, Any]:
    """Routes are put into their listeners, endpoints into their clusters; nothing else is changed."""
    bootstrap = bootstrap_pb2.Bootstrap()
    bootstrap.node.id = "static"
    bootstrap.node.cluster = "static"
    for resource in listeners.values():
        listener = bootstrap.static_resources.listeners.add()
        listener.CopyFrom(resource.message)
        chains = [*listener.filter_chains]
        if listener.HasField("default_filter_chain"):
            chains.append(listener.default_filter_chain)
        for chain in chains:
            for network_filter in chain.filters:
                if network_filter.name == HTTP_MANAGER:
                    _inline_routes(network_filter, routes)
    for resource in clusters.values():
        cluster = bootstrap.static_resources.clusters.add()
        cluster.CopyFrom(resource.message)
        if cluster.type == EDS:
            cluster.type = STATIC
            cluster.ClearField("eds_cluster_config")
            cluster.load_assignment.CopyFrom(endpoints[resource.name].message)
    return MessageToDict(bootstrap, preserving_proto_field_name=True)


def _inline_routes(network_filter: Any, routes: dict[str, BuiltResource]) -> None:
    manager = http_connection_manager_pb2.HttpConnectionManager()
    network_filter.typed_config.Unpack(manager)
    if manager.WhichOneof("route_specifier") != "rds":
        return
    name = manager.rds.route_config_name
    manager.route_config.CopyFrom(routes[name].message)
    network_filter.typed_config.CopyFrom(any_of(manager))


def validate(envoy: Path, bootstrap: dict[str, Any], folder: Path) -> str:
    """Envoy's complaints about a bootstrap; empty when it would start with it."""
    path = folder / "bootstrap.json"
    path.write_text(json.dumps(bootstrap))
    done = subprocess.run(
        [str(envoy), "--mode", "validate", "-c", str(path), "-l", "error", "--base-id", "0", "--use-dynamic-base-id"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return "" if done.returncode == 0 else (done.stderr + done.stdout)[-4000:]
