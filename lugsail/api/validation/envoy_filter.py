"""The rules of EnvoyFilter."""

from lugsail.api.envoy_filter import EnvoyConfigObjectMatch, EnvoyConfigObjectPatch, EnvoyFilter, ListenerMatch
from lugsail.api.validation.envoy_value import check_value
from lugsail.api.validation.names import check_selector
from lugsail.api.validation.place import Place
from lugsail.api.validation.values import check_at_most_one, check_regex

HTTP_CONNECTION_MANAGER = "envoy.filters.network.http_connection_manager"

_LISTENER_CLASS = ("LISTENER", "FILTER_CHAIN", "NETWORK_FILTER", "HTTP_FILTER", "LISTENER_FILTER")
_ROUTE_CLASS = ("ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE")
# What each operation can be applied to; MERGE, ADD and REMOVE have no such limit.
_OPERATION_TARGETS = {
    "INSERT_BEFORE": ("NETWORK_FILTER", "HTTP_FILTER", "LISTENER_FILTER", "HTTP_ROUTE"),
    "INSERT_AFTER": ("NETWORK_FILTER", "HTTP_FILTER", "LISTENER_FILTER", "HTTP_ROUTE"),
    "INSERT_FIRST": ("NETWORK_FILTER", "HTTP_FILTER", "LISTENER_FILTER", "HTTP_ROUTE"),
    "REPLACE": ("NETWORK_FILTER", "HTTP_FILTER", "LISTENER_FILTER"),
}
_TARGET_KINDS = frozenset(
    (
        ("gateway.networking.k8s.io", "Gateway"),
        ("gateway.networking.k8s.io", "GatewayClass"),
        ("networking.istio.io", "ServiceEntry"),
        ("", "Service"),
    )
)


def check_envoy_filter(place: Place, resource: EnvoyFilter) -> None:
    """The whole spec."""
    spec = resource.spec
    if spec.workload_selector is not None:
        labels = spec.workload_selector.labels
        check_selector(place / "workloadSelector" / "labels", labels, "it applies to all workloads of the namespace")
        if spec.target_refs:
            (place / "targetRefs").fail("has no place beside workloadSelector", "keep one of the two")
    for index, target in enumerate(spec.target_refs):
        here = place / "targetRefs" / index
        if not target.name:
            (here / "name").fail("is required")
        if target.namespace:
            (here / "namespace").fail("must not be set: targets are in the resource's own namespace", "remove it")
        group = "" if target.group == "core" else target.group
        if (group, target.kind) not in _TARGET_KINDS:
            (here / "kind").fail(f"{target.group}/{target.kind} cannot be a target", "write Gateway or Service")
    for index, patch in enumerate(spec.config_patches):
        _check_patch(place / "configPatches" / index, patch)


def _check_patch(place: Place, item: EnvoyConfigObjectPatch) -> None:
    if item.apply_to == "INVALID":
        (place / "applyTo").fail("is required", "write such as HTTP_FILTER, VIRTUAL_HOST or CLUSTER")
    if item.match is not None:
        _check_match(place / "match", item.match, item.apply_to)
    patch = item.patch
    if patch is None or patch.operation == "INVALID":
        (place / "patch" / "operation").fail("is required", "write such as MERGE, ADD, REMOVE or INSERT_BEFORE")
        return
    here = place / "patch"
    if patch.operation != "REMOVE" and patch.value is None:
        (here / "value").fail(f"is required for {patch.operation}", "write the Envoy configuration")
    targets = _OPERATION_TARGETS.get(patch.operation)
    if targets is not None and item.apply_to not in (*targets, "INVALID"):
        (here / "operation").warn(
            f"{patch.operation} has no effect on {item.apply_to}", f"it is for {', '.join(targets)}"
        )
    if patch.value is not None:
        check_value(here / "value", item.apply_to, patch.value)


def _check_match(place: Place, match: EnvoyConfigObjectMatch, apply_to: str) -> None:
    objects = {
        "listener": match.listener,
        "routeConfiguration": match.route_configuration,
        "cluster": match.cluster,
    }
    check_at_most_one(place, objects.items())
    if match.proxy is not None and match.proxy.proxy_version:
        check_regex(place / "proxy" / "proxyVersion", match.proxy.proxy_version)
    fitting = _fitting_match(apply_to)
    for name, given in objects.items():
        if given is not None and fitting and name != fitting:
            (place / name).fail(f"has no place with applyTo {apply_to}", f"match on `{fitting}`")
    if match.listener is not None and fitting == "listener":
        _check_listener_match(place / "listener", match.listener, apply_to)


def _fitting_match(apply_to: str) -> str:
    if apply_to in _LISTENER_CLASS:
        return "listener"
    if apply_to in _ROUTE_CLASS:
        return "routeConfiguration"
    return "cluster" if apply_to == "CLUSTER" else ""


def _check_listener_match(place: Place, match: ListenerMatch, apply_to: str) -> None:
    chosen = match.filter_chain.filter if match.filter_chain is not None else None
    if chosen is None:
        return
    here = place / "filterChain" / "filter"
    if apply_to in ("LISTENER", "FILTER_CHAIN"):
        here.warn(f"has no effect with applyTo {apply_to}", "remove it")
    if not chosen.name:
        (here / "name").fail("is required")
    if chosen.sub_filter is None:
        return
    if apply_to != "HTTP_FILTER":
        (here / "subFilter").fail(f"has no place with applyTo {apply_to}", "it is for HTTP_FILTER")
    elif chosen.name not in ("", HTTP_CONNECTION_MANAGER, "envoy.http_connection_manager"):
        (here / "name").fail("a subFilter is inside the connection manager", f"write {HTTP_CONNECTION_MANAGER}")
    if not chosen.sub_filter.name:
        (here / "subFilter" / "name").fail("is required")
