"""What a matched rule does: forward (with retries, rewrites, mirrors, hashing), redirect, or answer at once."""

import base64
from dataclasses import dataclass
from typing import Any

from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from envoy.extensions.retry.priority.previous_priorities.v3 import previous_priorities_config_pb2
from google.protobuf.wrappers_pb2 import BoolValue

from controlplane.model.destination_rule import MergedRule
from controlplane.model.mesh_config import MeshConfig
from controlplane.model.names import outbound_cluster, resolve_host
from controlplane.model.service import Service
from controlplane.translate.header_changes import HeaderChanges, header_changes
from controlplane.translate.percent import fractional, hundred, runtime
from controlplane.translate.protos import any_of, duration
from controlplane.translate.string_match import regex
from lugsail.api.destination_rule import ConsistentHash, TrafficPolicy
from lugsail.api.scalars import parse_duration
from lugsail.api.virtual_service import Destination, HTTPRedirect, HTTPRetry, HTTPRoute, Percent

_ACTION = route_components_pb2.RouteAction
_REDIRECT_CODES = {
    301: route_components_pb2.RedirectAction.MOVED_PERMANENTLY,
    302: route_components_pb2.RedirectAction.FOUND,
    303: route_components_pb2.RedirectAction.SEE_OTHER,
    307: route_components_pb2.RedirectAction.TEMPORARY_REDIRECT,
    308: route_components_pb2.RedirectAction.PERMANENT_REDIRECT,
}
# How often a retry looks for a host that was not tried yet (Istio's constant).
HOST_SELECTION_ATTEMPTS = 5
PREVIOUS_HOSTS = "envoy.retry_host_predicates.previous_hosts"
PREVIOUS_PRIORITIES = "envoy.retry_priorities.previous_priorities"


@dataclass(frozen=True, eq=False, slots=True)
class RouteContext:
    """What translating a rule needs to know besides the rule."""

    mesh: MeshConfig
    port: int  # the port that the request came to; destinations without a port go to the same
    services: dict[str, Service]
    rules: dict[str, MergedRule | None]  # destination host -> its DestinationRule
    tls: bool = False


def destination_cluster(destination: Destination, namespace: str, services: dict[str, Service], port: int) -> str:
    """The cluster of a destination: its port, else the service's only port, else the port that was called."""
    host = resolve_host(destination.host, namespace)
    service = services.get(host)
    number = port
    if destination.port is not None and destination.port.number:
        number = destination.port.number
    elif service is not None and len(service.ports) == 1:
        number = service.ports[0].number
    return outbound_cluster(host, number, destination.subset)


def apply_forward(route: Any, rule: HTTPRoute, namespace: str, changes: HeaderChanges, context: RouteContext) -> None:
    """Forward to one cluster or to weighted ones."""
    action = route.route
    set_timeouts(action, rule.timeout)
    authority = changes.authority
    if rule.rewrite is not None:
        if rule.rewrite.uri_regex_rewrite is not None:
            action.regex_rewrite.pattern.CopyFrom(regex(rule.rewrite.uri_regex_rewrite.match))
            action.regex_rewrite.substitution = rule.rewrite.uri_regex_rewrite.rewrite
        elif rule.rewrite.uri:
            action.prefix_rewrite = rule.rewrite.uri
        authority = rule.rewrite.authority or authority
    if authority:
        action.host_rewrite_literal = authority
    _apply_mirrors(action, rule, namespace, context)
    hashed = _apply_destinations(route, rule, namespace, context)
    retry = retry_policy(context.mesh, rule.retries, hashed)
    if retry is not None:
        action.retry_policy.CopyFrom(retry)


def _apply_destinations(route: Any, rule: HTTPRoute, namespace: str, context: RouteContext) -> bool:
    """Set the cluster(s) and hash policies; returns whether a lone destination is picked by hash."""
    action = route.route
    if len(rule.route) == 1:
        only = rule.route[0]
        destination = only.destination or Destination()
        action.cluster = destination_cluster(destination, namespace, context.services, context.port)
        changes = header_changes(only.headers)
        changes.apply(route)
        if changes.authority and not action.host_rewrite_literal:
            action.host_rewrite_literal = changes.authority
        policy = hash_policy(_destination_hash(destination, namespace, context))
        if policy is not None:
            action.hash_policy.append(policy)
        return policy is not None
    for target in rule.route:
        if target.weight == 0:
            continue
        destination = target.destination or Destination()
        cluster = action.weighted_clusters.clusters.add(
            name=destination_cluster(destination, namespace, context.services, context.port)
        )
        cluster.weight.value = target.weight
        changes = header_changes(target.headers)
        changes.apply(cluster)
        if changes.authority:
            cluster.host_rewrite_literal = changes.authority
        policy = hash_policy(_destination_hash(destination, namespace, context))
        if policy is not None:
            action.hash_policy.append(policy)
    return False


def set_timeouts(action: Any, timeout: str | None) -> None:
    """Istio's default is no timeout, which Envoy has to be told. `grpc-timeout` may not outlast it."""
    limit = duration(parse_duration(timeout) if timeout is not None else 0)
    action.timeout.CopyFrom(limit)
    action.max_grpc_timeout.CopyFrom(limit)


def retry_policy(mesh: MeshConfig, retries: HTTPRetry | None, hashed: bool = False) -> Any | None:
    """Envoy's RetryPolicy, or None where `attempts: 0` turns retries off.

    Retries go to hosts that were not tried, unless the host is picked by hash or the rule says otherwise.
    """
    if retries is not None and retries.attempts <= 0:
        return None
    out = route_components_pb2.RetryPolicy(
        retry_on=mesh.retry_on, host_selection_retry_max_attempts=HOST_SELECTION_ATTEMPTS
    )
    out.num_retries.value = mesh.retry_attempts if retries is None else retries.attempts
    ignore_previous = retries.retry_ignore_previous_hosts if retries is not None else None
    if ignore_previous or (ignore_previous is None and not hashed):
        out.retry_host_predicate.add(
            name=PREVIOUS_HOSTS, typed_config=any_of(previous_hosts_pb2.PreviousHostsPredicate())
        )
    if retries is None:
        return out
    if retries.retry_on:
        _set_retry_on(out, retries.retry_on)
    if retries.per_try_timeout is not None:
        out.per_try_timeout.CopyFrom(duration(parse_duration(retries.per_try_timeout)))
    if retries.retry_remote_localities:
        config = previous_priorities_config_pb2.PreviousPrioritiesConfig(update_frequency=2)
        out.retry_priority.name = PREVIOUS_PRIORITIES
        out.retry_priority.typed_config.CopyFrom(any_of(config))
    if retries.backoff is not None:
        out.retry_back_off.base_interval.CopyFrom(duration(parse_duration(retries.backoff)))
    return out


def _set_retry_on(policy: Any, retry_on: str) -> None:
    """`retryOn` may list status codes among the conditions."""
    conditions = [part.strip() for part in retry_on.split(",") if part.strip()]
    codes = [int(part) for part in conditions if part.isdigit()]
    words = [part for part in conditions if not part.isdigit()]
    if codes and "retriable-status-codes" not in words:
        words.append("retriable-status-codes")
    policy.retry_on = ",".join(words)
    policy.retriable_status_codes.extend(codes)


def _apply_mirrors(action: Any, rule: HTTPRoute, namespace: str, context: RouteContext) -> None:
    mirrors: list[tuple[Destination, Any]] = []
    if rule.mirror is not None:
        if rule.mirror_percentage is not None:
            share = fractional(rule.mirror_percentage.value)
        elif rule.mirror_percent is not None:
            share = fractional(rule.mirror_percent)
        else:
            share = hundred()
        mirrors.append((rule.mirror, share))
    mirrors += [(mirror.destination, _share(mirror.percentage)) for mirror in rule.mirrors if mirror.destination]
    for destination, share in mirrors:
        if share.numerator == 0:
            continue
        action.request_mirror_policies.add(
            cluster=destination_cluster(destination, namespace, context.services, context.port),
            runtime_fraction=runtime(share),
            trace_sampled=BoolValue(value=False),
            disable_shadow_host_suffix_append=True,
        )


def _share(percentage: Percent | None) -> Any:
    return hundred() if percentage is None else fractional(percentage.value)


def hash_policy(consistent: ConsistentHash | None) -> Any | None:
    """Envoy's hash policy of a DestinationRule's consistentHash."""
    if consistent is None:
        return None
    out = _ACTION.HashPolicy()
    if consistent.http_header_name is not None:
        out.header.header_name = consistent.http_header_name
    elif consistent.http_cookie is not None:
        out.cookie.name = consistent.http_cookie.name
        out.cookie.path = consistent.http_cookie.path
        if consistent.http_cookie.ttl is not None:
            out.cookie.ttl.CopyFrom(duration(parse_duration(consistent.http_cookie.ttl)))
        for attribute in consistent.http_cookie.attributes:
            out.cookie.attributes.add(name=attribute.name, value=attribute.value)
    elif consistent.use_source_ip is not None:
        out.connection_properties.source_ip = consistent.use_source_ip
    elif consistent.http_query_parameter_name is not None:
        out.query_parameter.name = consistent.http_query_parameter_name
    else:
        return None
    return out


def _destination_hash(destination: Destination, namespace: str, context: RouteContext) -> ConsistentHash | None:
    """Most specific first: the subset's port, the subset, the host's port, the host."""
    rule = context.rules.get(resolve_host(destination.host, namespace))
    if rule is None:
        return None
    port = destination.port.number if destination.port is not None else 0
    subset = rule.subset(destination.subset) if destination.subset else None
    subset_policy = subset.traffic_policy if subset is not None else None
    return (
        _port_hash(subset_policy, port)
        or _policy_hash(subset_policy)
        or _port_hash(rule.traffic_policy, port)
        or _policy_hash(rule.traffic_policy)
    )


def service_hash(rule: MergedRule | None, port: int) -> ConsistentHash | None:
    """The hash of a service's default route."""
    if rule is None:
        return None
    return _port_hash(rule.traffic_policy, port) or _policy_hash(rule.traffic_policy)


def _policy_hash(policy: TrafficPolicy | None) -> ConsistentHash | None:
    return policy.load_balancer.consistent_hash if policy is not None and policy.load_balancer is not None else None


def _port_hash(policy: TrafficPolicy | None, port: int) -> ConsistentHash | None:
    for setting in policy.port_level_settings if policy is not None else ():
        if setting.port is not None and setting.port.number == port and setting.load_balancer is not None:
            return setting.load_balancer.consistent_hash
    return None


def has_hash(rule: MergedRule | None) -> bool:
    """Whether any level of a rule balances by hash, so that routes depend on it."""
    if rule is None:
        return False
    policies = [rule.traffic_policy, *(subset.traffic_policy for subset in rule.subsets)]
    for policy in policies:
        if policy is None:
            continue
        balancers = [policy.load_balancer, *(setting.load_balancer for setting in policy.port_level_settings)]
        if any(balancer is not None and balancer.consistent_hash is not None for balancer in balancers):
            return True
    return False


def apply_redirect(route: Any, redirect: HTTPRedirect, port: int, tls: bool) -> None:
    """Answer with a redirect. A default port of the scheme is not spelt out."""
    action = route.redirect
    action.SetInParent()
    if redirect.authority:
        action.host_redirect = redirect.authority
    if redirect.uri:
        action.path_redirect = redirect.uri
    if redirect.scheme:
        action.scheme_redirect = redirect.scheme
    number = redirect.port or (port if redirect.derive_port == "FROM_REQUEST_PORT" else 0)
    scheme = redirect.scheme or ("https" if tls else "http")
    if number and (scheme, number) not in (("http", 80), ("https", 443)):
        action.port_redirect = number
    action.response_code = _REDIRECT_CODES.get(redirect.redirect_code or 301, _REDIRECT_CODES[301])


def apply_direct_response(route: Any, rule: HTTPRoute) -> None:
    """Answer at the proxy."""
    response = rule.direct_response
    assert response is not None
    route.direct_response.status = response.status
    if response.body is not None:
        if response.body.string is not None:
            route.direct_response.body.inline_string = response.body.string
        elif response.body.bytes is not None:
            route.direct_response.body.inline_bytes = base64.b64decode(response.body.bytes)
