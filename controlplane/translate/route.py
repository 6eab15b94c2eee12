"""VirtualService rules to Envoy routes: shared by sidecars and gateways."""

from typing import Any

from envoy.config.route.v3 import route_components_pb2, route_pb2
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from controlplane.model.names import PASSTHROUGH_CLUSTER, outbound_cluster, parse_cluster
from controlplane.model.service import Port, Service
from controlplane.model.virtual_service import HttpRule, VirtualServiceConfig
from controlplane.translate.header_changes import header_changes
from controlplane.translate.http_filters import cors, fault
from controlplane.translate.protos import metadata
from controlplane.translate.route_action import (
    RouteContext,
    apply_direct_response,
    apply_forward,
    apply_redirect,
    hash_policy,
    retry_policy,
    service_hash,
    set_timeouts,
)
from controlplane.translate.route_match import describe_path, is_catch_all, match_applies, route_match
from controlplane.translate.view import View
from lugsail.api.virtual_service import HTTPMatchRequest

DIRECT_RESPONSE_LIMIT_BYTES = 1 << 20


def routes_of(
    virtual_service: VirtualServiceConfig,
    context: RouteContext,
    gateway: str,
    labels: dict[str, str],
    namespace: str,
) -> list[Any]:
    """The routes that a VirtualService gives a proxy on one port, in order, up to the first that takes everything.

    `gateway`: the gateway (`namespace/name`) or `mesh`; labels and namespace are the proxy's.
    """
    out: list[Any] = []
    for rule in virtual_service.http:
        for match in rule.rule.match or (None,):
            if not match_applies(match, context.port, gateway, virtual_service.namespace, labels, namespace):
                continue
            route = _route(virtual_service, rule, match, context)
            out.append(route)
            if is_catch_all(route.match):
                return out
    return out


def _route(
    virtual_service: VirtualServiceConfig, rule: HttpRule, match: HTTPMatchRequest | None, context: RouteContext
) -> Any:
    spec = rule.rule
    name = spec.name + (f".{match.name}" if match is not None and match.name else "")
    route = route_components_pb2.Route(name=name, match=route_match(match))
    if match is not None and match.stat_prefix:
        route.stat_prefix = match.stat_prefix
    changes = header_changes(spec.headers)
    changes.apply(route)
    if spec.redirect is not None:
        apply_redirect(route, spec.redirect, context.port, context.tls)
    elif spec.direct_response is not None:
        apply_direct_response(route, rule.rule)
    else:
        apply_forward(route, spec, rule.namespace, changes, context)
    cluster = parse_cluster(route.route.cluster) if route.HasField("route") else None
    where = f"{cluster.host}:{cluster.port}" if cluster else f"{virtual_service.name}:{context.port}"
    route.decorator.operation = where + describe_path(route.match)
    per_filter = {fault.NAME: fault.per_route(spec.fault), cors.NAME: cors.per_route(spec.cors_policy)}
    for filter_name, config in per_filter.items():
        if config is not None:
            route.typed_per_filter_config[filter_name].CopyFrom(config)
    route.metadata.CopyFrom(
        metadata(istio={"config": virtual_service.config.path}, lugsail=_origin(rule, match))
    )
    return route


def _origin(rule: HttpRule, match: HTTPMatchRequest | None) -> dict[str, Any]:
    """Which rule of the resource a route came from, for people who ask why a request took it."""
    origin: dict[str, Any] = {"rule": rule.index}
    if match is not None:
        origin["match"] = f"{rule.index}.match[{rule.rule.match.index(match)}]"
    if rule.rule.name:
        origin["name"] = rule.rule.name
    return origin


def service_route(view: View, service: Service, port: Port) -> Any:
    """The route of a service without a VirtualService: everything, with Istio's default retries."""
    route = route_components_pb2.Route(name="default", match=route_components_pb2.RouteMatch(prefix="/"))
    route.route.cluster = outbound_cluster(service.host, port.number)
    route.route.retry_policy.CopyFrom(retry_policy(view.mesh, None))
    set_timeouts(route.route, None)
    policy = hash_policy(service_hash(view.rule(service), port.number))
    if policy is not None:
        route.route.hash_policy.append(policy)
    route.decorator.operation = f"{service.host}:{port.number}/*"
    return route


def catch_all_virtual_host(allow_any: bool) -> Any:
    """The last virtual host: pass on what the mesh does not know, or answer 502."""
    name = "allow_any" if allow_any else "block_all"
    route = route_components_pb2.Route(name=name, match=route_components_pb2.RouteMatch(prefix="/"))
    if allow_any:
        route.route.cluster = PASSTHROUGH_CLUSTER
        set_timeouts(route.route, None)
    else:
        route.direct_response.status = 502
    return virtual_host(name, ["*"], [route])


def virtual_host(name: str, domains: list[str], routes: list[Any]) -> Any:
    """A virtual host that tells servers the number of the attempt (x-envoy-attempt-count)."""
    return route_components_pb2.VirtualHost(
        name=name, domains=domains, routes=routes, include_request_attempt_count=True
    )


def route_configuration(name: str, virtual_hosts: list[Any], ignore_port: bool = True) -> Any:
    """RouteConfiguration with Istio's settings. A cluster that does not exist is no reason to refuse the rest."""
    return route_pb2.RouteConfiguration(
        name=name,
        virtual_hosts=virtual_hosts,
        validate_clusters=BoolValue(value=False),
        max_direct_response_body_size_bytes=UInt32Value(value=DIRECT_RESPONSE_LIMIT_BYTES),
        ignore_port_in_host_matching=ignore_port,
    )
