"""Applies a proxy's patches to its finished resources. A patch that cannot be applied is left out and said so."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from controlplane.model.mesh_snapshot import Conflict
from controlplane.translate.built import BuiltResource, built
from controlplane.translate.envoy_filter.clusters import added_clusters, patch_cluster
from controlplane.translate.envoy_filter.listeners import added_listeners, patch_listener
from controlplane.translate.envoy_filter.merge import BadPatch
from controlplane.translate.envoy_filter.routes import ROUTE_KINDS, patch_routes
from controlplane.translate.envoy_filter.select import GATEWAY, OUTBOUND, Patch, patches_for
from controlplane.translate.protos import CLUSTER_TYPE, LISTENER_TYPE, ROUTE_TYPE
from controlplane.translate.view import View

_LISTENER_KINDS = frozenset({"LISTENER", "LISTENER_FILTER", "FILTER_CHAIN", "NETWORK_FILTER", "HTTP_FILTER"})
_KINDS = {
    CLUSTER_TYPE: frozenset({"CLUSTER"}),
    LISTENER_TYPE: _LISTENER_KINDS | ROUTE_KINDS,
    ROUTE_TYPE: ROUTE_KINDS,
}
_Result = tuple[BuiltResource | None, tuple[Conflict, ...]]


def patched(view: View, type_url: str, resources: dict[str, BuiltResource]) -> dict[str, BuiltResource]:
    """The resources of a type after the patches for the proxy; the same mapping when there are none."""
    kinds = _KINDS.get(type_url, frozenset())
    patches = tuple(patch for patch in patches_for(view) if patch.spec.apply_to in kinds)
    if not patches:
        return resources
    out: dict[str, BuiltResource] = {}
    for name, resource in resources.items():
        result, conflicts = view.memo.get(
            ("patched", resource, patches, view.proxy.is_router),
            partial(_patch_one, type_url, resource, patches, view.proxy.is_router),
        )
        view.conflicts.extend(conflicts)
        if result is not None:
            out[name] = result
    for resource in _added(view, type_url, patches):
        out.setdefault(resource.name, resource)
    return out


def _patch_one(type_url: str, resource: BuiltResource, patches: tuple[Patch, ...], router: bool) -> _Result:
    """One resource after the patches, one by one, so that a bad one does not take the others with it."""
    conflicts: list[Conflict] = []
    message = _copy(resource.message)
    for patch in patches:
        attempt = _copy(message)
        try:
            kept = _apply(type_url, attempt, (patch,), router)
        except BadPatch as problem:
            conflicts.append(Conflict(patch.config.key, f"{patch.path}.patch: {problem}"))
            continue
        if not kept:
            return None, tuple(conflicts)
        message = attempt
    return (resource if message == resource.message else built(resource.name, message)), tuple(conflicts)


def _apply(type_url: str, message: Any, patches: Iterable[Patch], router: bool) -> bool:
    if type_url == CLUSTER_TYPE:
        return patch_cluster(message, patches, router)
    if type_url == LISTENER_TYPE:
        return patch_listener(message, patches, router)
    patch_routes(message, patches, GATEWAY if router else OUTBOUND)
    return True


def _added(view: View, type_url: str, patches: tuple[Patch, ...]) -> list[BuiltResource]:
    adders: dict[str, Callable[[Iterable[Patch], bool], list[Any]]] = {
        CLUSTER_TYPE: added_clusters,
        LISTENER_TYPE: added_listeners,
    }
    if type_url not in adders:
        return []
    out: list[BuiltResource] = []
    for patch in patches:
        try:
            messages = adders[type_url]((patch,), view.proxy.is_router)
        except BadPatch as problem:
            view.conflicts.append(Conflict(patch.config.key, f"{patch.path}.patch: {problem}"))
            continue
        out += [built(str(message.name), message) for message in messages]
    return out


def _copy(message: Any) -> Any:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy
