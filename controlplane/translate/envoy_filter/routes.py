"""ROUTE_CONFIGURATION, VIRTUAL_HOST and HTTP_ROUTE patches."""

from collections.abc import Iterable
from typing import Any

from envoy.config.route.v3 import route_components_pb2, route_pb2

from controlplane.translate.envoy_filter.lists import patch_list, replace_all
from controlplane.translate.envoy_filter.merge import merge, parse
from controlplane.translate.envoy_filter.select import Patch

ROUTE_KINDS = frozenset({"ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE"})
_ACTIONS = {"ROUTE": "route", "REDIRECT": "redirect", "DIRECT_RESPONSE": "direct_response"}


def patch_routes(configuration: Any, patches: Iterable[Patch], context: str) -> None:
    """Apply the patches of routes to a RouteConfiguration. Raises BadPatch."""
    fitting = [p for p in patches if p.in_context(context) and _fits(p, configuration, context)]
    for patch in fitting:
        if patch.spec.apply_to == "ROUTE_CONFIGURATION" and patch.operation == "MERGE":
            merge(configuration, parse(route_pb2.RouteConfiguration, patch.value))
    hosts = [patch for patch in fitting if patch.spec.apply_to == "VIRTUAL_HOST"]
    if hosts:
        patched = patch_list([*configuration.virtual_hosts], hosts, route_components_pb2.VirtualHost, _is_host)
        replace_all(configuration.virtual_hosts, patched)
    routes = [patch for patch in fitting if patch.spec.apply_to == "HTTP_ROUTE"]
    for host in configuration.virtual_hosts if routes else ():
        mine = [patch for patch in routes if _is_host(patch, host)]
        if mine:
            replace_all(host.routes, patch_list([*host.routes], mine, route_components_pb2.Route, _is_route))


def _fits(patch: Patch, configuration: Any, context: str) -> bool:
    wanted = patch.match.route_configuration
    if wanted is None:
        return True
    name = str(configuration.name)
    if wanted.name and wanted.name != name:
        return False
    parts = name.split(".")
    if wanted.port_number:
        port = name.split("|")[1] if "|" in name else parts[1] if context == "GATEWAY" and len(parts) > 1 else name
        if port != str(wanted.port_number):
            return False
    if context == "GATEWAY" and parts[0] == "https" and len(parts) >= 5:
        # https.<port>.<port name>.<gateway>.<namespace>
        if wanted.port_name and wanted.port_name != parts[2]:
            return False
        if wanted.gateway and wanted.gateway != f"{parts[4]}/{parts[3]}":
            return False
    return True


def _is_host(patch: Patch, host: Any) -> bool:
    wanted = patch.match.route_configuration
    if wanted is None or wanted.vhost is None:
        return True
    if wanted.vhost.name and wanted.vhost.name != host.name:
        return False
    return not wanted.vhost.domain_name or wanted.vhost.domain_name in host.domains


def _is_route(patch: Patch, route: Any) -> bool:
    configuration = patch.match.route_configuration
    wanted = configuration.vhost.route if configuration is not None and configuration.vhost is not None else None
    if wanted is None:
        return True
    if wanted.name and wanted.name != route.name:
        return False
    return wanted.action == "ANY" or route.WhichOneof("action") == _ACTIONS[wanted.action]
