"""`lugsail render`: the xDS that the control plane would send to one proxy, from files alone."""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

from controlplane.model.mesh_config import MeshConfig
from controlplane.model.mesh_snapshot import MeshSnapshot, build_snapshot
from controlplane.model.proxy import Proxy
from controlplane.translate.build import Translator
from controlplane.translate.built import BuiltResource
from controlplane.translate.protos import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE
from lugsail.api.base import Resource, ResourceKey
from lugsail.api.documents import parse_documents
from lugsail.api.errors import DocumentError, InvalidResource
from lugsail.api.kinds import KINDS
from lugsail.api.load import describe, load_resource
from lugsail.api.workload_entry import WorkloadEntry


class UnknownProxy(ValueError):
    """No WorkloadEntry describes the proxy; the text names those that there are."""


class InvalidTexts(ValueError):
    """A resource of the files is invalid: a line for each error, with its file, line and path."""


@dataclass
class Rendering:
    """`resources`: {Listener|RouteConfiguration|Cluster|ClusterLoadAssignment: {name: resource}} with proto field
    names. `messages`: what was left out or cannot take effect."""

    resources: dict[str, dict[str, Any]]
    messages: list[str] = field(default_factory=list)


def load_texts(texts: Iterable[tuple[str, str]]) -> tuple[list[Resource], list[str]]:
    """Resources of (source, text) pairs, and a message for each kind that is not supported.

    A later resource of the same identity replaces the earlier. Raises InvalidTexts with every
    error there is, and DocumentError.
    """
    resources: dict[ResourceKey, Resource] = {}
    messages: list[str] = []
    errors: list[str] = []
    for source, text in texts:
        for document in parse_documents(text, source):
            if isinstance(document.data, dict) and document.data.get("kind") not in KINDS:
                ref = describe(document.data)
                messages.append(f"{source}:{document.line}: {ref} is left out: the kind is not supported yet")
                continue
            try:
                resource = load_resource(document.data)
            except InvalidResource as invalid:
                errors += [f"{source}:{document.line_of(e.path)}: {invalid.ref}: {e}" for e in invalid.errors]
                continue
            resources[resource.key] = resource
    if errors:
        raise InvalidTexts("\n".join(errors))
    return list(resources.values()), messages


def find_proxy(resources: Iterable[Resource], identity: str, kind: str, interception: str) -> Proxy:
    """The proxy beside the workload `NAME.NAMESPACE`: its address and labels are the WorkloadEntry's.

    Raises UnknownProxy.
    """
    name, _, namespace = identity.rpartition(".")
    known: list[str] = []
    for resource in resources:
        if not isinstance(resource, WorkloadEntry):
            continue
        known.append(f"{resource.name}.{resource.namespace}")
        if (resource.name, resource.namespace) == (name, namespace):
            return Proxy(
                kind=kind,
                name=name,
                namespace=namespace,
                addresses=(resource.spec.address,),
                labels=tuple(sorted(resource.spec.labels.items())),
                service_account=resource.spec.service_account,
                interception=interception,
                locality=resource.spec.locality,
            )
    shown = ", ".join(known) or "none"
    raise UnknownProxy(f"no WorkloadEntry describes the proxy {identity!r} (NAME.NAMESPACE); the files have: {shown}")


def render(
    texts: Iterable[tuple[str, str]],
    proxy: str,
    type: str = "sidecar",  # the option's own name
    interception: str = "REDIRECT",
    mesh_config: MeshConfig | None = None,
) -> Rendering:
    """What the control plane would send. `texts`: (source, YAML) with the registry's entries too.

    Raises InvalidTexts, DocumentError, UnknownProxy.
    """
    resources, messages = load_texts(texts)
    snapshot = build_snapshot(resources, mesh_config=mesh_config)
    found = find_proxy(resources, proxy, type, interception)
    rendering = render_snapshot(snapshot, found)
    messages += [str(warning) for warning in snapshot.warnings]
    return Rendering(rendering.resources, list(dict.fromkeys(messages + rendering.messages)))


def render_snapshot(snapshot: MeshSnapshot, proxy: Proxy) -> Rendering:
    """All four types for one proxy. Routes and endpoints are those that its listeners and clusters name."""
    translator = Translator()
    clusters = translator.build(snapshot, proxy, CLUSTER_TYPE, None)
    listeners = translator.build(snapshot, proxy, LISTENER_TYPE, None)
    routes = translator.build(snapshot, proxy, ROUTE_TYPE, route_names(listeners.values()))
    endpoints = translator.build(snapshot, proxy, ENDPOINT_TYPE, endpoint_names(clusters.values()))
    parts = {
        "Listener": listeners,
        "RouteConfiguration": routes,
        "Cluster": clusters,
        "ClusterLoadAssignment": endpoints,
    }
    resources = {
        title: {name: MessageToDict(found[name].message, preserving_proto_field_name=True) for name in sorted(found)}
        for title, found in parts.items()
    }
    return Rendering(resources, [str(conflict) for conflict in translator.conflicts(proxy)])


def route_names(listeners: Iterable[BuiltResource]) -> frozenset[str]:
    """The route configurations that listeners ask for."""
    names: set[str] = set()
    for listener in listeners:
        _collect_route_names(MessageToDict(listener.message, preserving_proto_field_name=True), names)
    return frozenset(names)


def _collect_route_names(value: Any, names: set[str]) -> None:
    if isinstance(value, dict):
        rds = value.get("rds")
        if isinstance(rds, dict) and "route_config_name" in rds:
            names.add(str(rds["route_config_name"]))
        for inner in value.values():
            _collect_route_names(inner, names)
    elif isinstance(value, list):
        for inner in value:
            _collect_route_names(inner, names)


def endpoint_names(clusters: Iterable[BuiltResource]) -> frozenset[str]:
    """The assignments that clusters ask for."""
    return frozenset(
        str(cluster.message.eds_cluster_config.service_name or cluster.name)
        for cluster in clusters
        if cluster.message.HasField("eds_cluster_config")
    )


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m lugsail.cli.render`: exit 0, 65 for data that is not valid."""
    parser = argparse.ArgumentParser(prog="lugsail render", description=__doc__)
    parser.add_argument("-f", "--filename", action="append", required=True, metavar="FILE")
    parser.add_argument("--proxy", required=True, metavar="NAME.NAMESPACE")
    parser.add_argument("--type", choices=("sidecar", "router"), default="sidecar")
    parser.add_argument("--interception", choices=("REDIRECT", "NONE"), default="REDIRECT")
    parser.add_argument("-o", "--output", choices=("json",), default="json")
    options = parser.parse_args(argv)
    texts = [(name, Path(name).read_text(encoding="utf-8")) for name in options.filename]
    try:
        rendering = render(texts, options.proxy, options.type, options.interception)
    except (InvalidTexts, DocumentError, UnknownProxy) as error:
        print(error, file=sys.stderr)
        return 65
    for message in rendering.messages:
        print(f"warning: {message}", file=sys.stderr)
    json.dump(rendering.resources, sys.stdout, indent=2)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
