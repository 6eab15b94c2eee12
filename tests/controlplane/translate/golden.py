"""Goldens: resources in, the xDS that they make out.

`tests/testdata/goldens/NAME.yaml` holds the resources of one feature. Its first lines say which proxies it shows:

    # proxy: frontend-v1.default [router] [NONE] [DNS] [envoy]

`DNS`: its agent captures DNS, so its name table is shown too. `envoy`: it says that it is a stock Envoy.
`NAME.mesh-config.yaml`, where there is one, is the mesh config.
`NAME.xds.yaml` holds, for each of these proxies, what differs from the mesh of `registry.yaml` alone (for the golden
`registry`, everything), with the empty filters that every connection manager has left out, and access logs too unless
the golden has a mesh config or is named `telemetry…`.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from google.protobuf.json_format import MessageToDict

from controlplane.model.mesh_config import MeshConfig, mesh_config_of
from controlplane.model.mesh_snapshot import MeshSnapshot, build_snapshot
from controlplane.model.proxy import Proxy
from controlplane.translate.build import Translator
from controlplane.translate.built import BuiltResource
from controlplane.translate.protos import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, NAME_TABLE_TYPE, ROUTE_TYPE
from lugsail.api.mesh_config import load_mesh_config
from lugsail.cli.render import endpoint_names, find_proxy, load_texts, route_names

FOLDER = Path(__file__).parents[2] / "testdata" / "goldens"
REGISTRY = FOLDER / "registry.yaml"
TITLES = {
    "Listener": LISTENER_TYPE,
    "RouteConfiguration": ROUTE_TYPE,
    "Cluster": CLUSTER_TYPE,
    "ClusterLoadAssignment": ENDPOINT_TYPE,
    "NameTable": NAME_TABLE_TYPE,
}
Answer = dict[str, dict[str, BuiltResource]]
NOISE = frozenset({"access_log", "alt_stat_name"})
# Protobuf maps, whose order is not kept: they are written in order of their keys.
_MAPS = frozenset({"filter_metadata", "typed_per_filter_config", "typed_extension_protocol_options", "table"})


@dataclass(frozen=True)
class GoldenProxy:
    """One proxy line of a golden."""

    identity: str
    kind: str = "sidecar"
    interception: str = "REDIRECT"
    captures_dns: bool = False
    is_envoy: bool = False

    @property
    def title(self) -> str:
        """What it is called in the expected output."""
        words = (" DNS" if self.captures_dns else "") + (" envoy" if self.is_envoy else "")
        return f"{self.identity} {self.kind} {self.interception}{words}"

    def find(self, resources: list[Any]) -> Proxy:
        """The proxy beside its WorkloadEntry."""
        found = find_proxy(resources, self.identity, self.kind, self.interception)
        if self.captures_dns:
            found = replace(found, metadata=(("DNS_CAPTURE", "true"),))
        return replace(found, user_agent="envoy") if self.is_envoy else found


def names() -> list[str]:
    """All goldens, `registry` first."""
    found = sorted(path.stem for path in FOLDER.glob("*.yaml") if "." not in path.stem)
    return ["registry", *(name for name in found if name != "registry")]


def proxies(name: str) -> list[GoldenProxy]:
    """The proxies that a golden shows."""
    out: list[GoldenProxy] = []
    for line in (FOLDER / f"{name}.yaml").read_text().splitlines():
        if not line.startswith("# proxy: "):
            continue
        identity, *words = line.removeprefix("# proxy: ").split()
        kind = "router" if "router" in words else "sidecar"
        interception = "NONE" if "NONE" in words else "REDIRECT"
        out.append(GoldenProxy(identity, kind, interception, "DNS" in words, "envoy" in words))
    assert out, f"{name}.yaml names no proxy"
    return out


def snapshot(name: str) -> tuple[MeshSnapshot, list[Any]]:
    """The mesh of a golden and its resources."""
    texts = [(str(REGISTRY), REGISTRY.read_text())]
    if name != "registry":
        path = FOLDER / f"{name}.yaml"
        texts.append((str(path), path.read_text()))
    resources, unsupported = load_texts(texts)
    assert not unsupported, unsupported
    return build_snapshot(resources, mesh_config=mesh_config(name)), resources


def mesh_config(name: str) -> MeshConfig | None:
    """The mesh config of a golden, None when it has none."""
    path = FOLDER / f"{name}.mesh-config.yaml"
    return mesh_config_of(load_mesh_config(path.read_text(), path.name).spec) if path.exists() else None


def shows_logs(name: str) -> bool:
    """Whether access logs are what a golden is about."""
    return name.startswith("telemetry") or mesh_config(name) is not None


def answer(mesh: MeshSnapshot, proxy: Proxy, translator: Translator | None = None) -> Answer:
    """All types by title and name; the name table for proxies that use it."""
    translator = translator or Translator()
    clusters = dict(translator.build(mesh, proxy, CLUSTER_TYPE, None))
    listeners = dict(translator.build(mesh, proxy, LISTENER_TYPE, None))
    routes = dict(translator.build(mesh, proxy, ROUTE_TYPE, route_names(listeners.values())))
    endpoints = dict(translator.build(mesh, proxy, ENDPOINT_TYPE, endpoint_names(clusters.values())))
    return {
        "Listener": listeners,
        "RouteConfiguration": routes,
        "Cluster": clusters,
        "ClusterLoadAssignment": endpoints,
        "NameTable": dict(translator.build(mesh, proxy, NAME_TABLE_TYPE, None)) if proxy.captures_dns else {},
    }


def answers(name: str) -> dict[str, Answer]:
    """The answer for each proxy of a golden, by the proxy's line."""
    mesh, resources = snapshot(name)
    out: dict[str, Answer] = {}
    for shown in proxies(name):
        out[shown.title] = answer(mesh, shown.find(resources))
    return out


def make(name: str) -> dict[str, Any]:
    """The content of NAME.xds.yaml."""
    mesh, resources = snapshot(name)
    bare, _ = snapshot("registry")
    out: dict[str, Any] = {}
    for shown in proxies(name):
        proxy = shown.find(resources)
        translator = Translator()
        new = answer(mesh, proxy, translator)
        old = answer(bare, proxy) if name != "registry" else None
        content = _difference(new, old, NOISE - {"access_log"} if shows_logs(name) else NOISE)
        conflicts = [str(warning) for warning in mesh.warnings] + [str(c) for c in translator.conflicts(proxy)]
        if conflicts:
            content["conflicts"] = list(dict.fromkeys(conflicts))
        out[shown.title] = content
    return out


def _difference(new: Answer, old: Answer | None, noise: frozenset[str]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for title in TITLES:
        before = old[title] if old is not None else {}
        changed = {
            name: _plain(resource.message, noise)
            for name, resource in sorted(new[title].items())
            if name not in before or before[name].version != resource.version
        }
        removed = sorted(before.keys() - new[title].keys())
        if changed:
            out[title] = changed
        if removed:
            out[f"{title}_removed"] = removed
    return out


def _plain(message: Any, noise: frozenset[str]) -> Any:
    return _without_noise(MessageToDict(message, preserving_proto_field_name=True), noise)


def _without_noise(value: Any, noise: frozenset[str]) -> Any:
    if isinstance(value, dict):
        kept = {key: inner for key, inner in value.items() if key not in noise}
        if "http_filters" in kept:
            kept["http_filters"] = [f["name"].rpartition(".")[2] for f in kept["http_filters"]]
        return {key: _without_noise(_in_order(inner) if key in _MAPS else inner, noise) for key, inner in kept.items()}
    if isinstance(value, list):
        return [_without_noise(inner, noise) for inner in value]
    return value


def _in_order(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _in_order(value[key]) for key in sorted(value)}
    return [_in_order(inner) for inner in value] if isinstance(value, list) else value


def dump(content: Any) -> str:
    """The content as it stands in the file."""
    return yaml.safe_dump(content, sort_keys=False, width=120, allow_unicode=True)


def path_of(name: str) -> Path:
    """Where the expected output is."""
    return FOLDER / f"{name}.xds.yaml"
