"""RouteConfiguration to `sidecar.config.routes`: everything a route inherits is merged into it here, once.

Compiled virtual hosts are kept: an update of one host of many, which is what most updates are, compiles that one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import accumulate
from typing import Any

from sidecar.compiler.header_mutations import request_mutations, response_mutations
from sidecar.compiler.http_filters import compile_route_filters, layer_route_filters
from sidecar.compiler.ignored import check
from sidecar.compiler.istio_metadata import resource_of
from sidecar.compiler.route_action import (
    Inherited,
    compile_action,
    compile_direct_response,
    compile_mirrors,
    compile_redirect,
    compile_retry,
)
from sidecar.compiler.route_match import compile_match
from sidecar.compiler.tracing import compile_decorator, compile_route_tracing
from sidecar.config.protos import wrapped
from sidecar.config.rejected import At
from sidecar.config.routes import (
    HeaderMutations,
    HostRewrite,
    Route,
    RouteAction,
    RouteConfiguration,
    VirtualHost,
    WeightedSplit,
)

_HEADERS = (
    "request_headers_to_add",
    "request_headers_to_remove",
    "response_headers_to_add",
    "response_headers_to_remove",
)
_CONFIGURATION_FIELDS = (
    *_HEADERS,
    "name",
    "virtual_hosts",
    "most_specific_header_mutations_wins",
    "request_mirror_policies",
    "ignore_port_in_host_matching",
    "typed_per_filter_config",
)
_HOST_FIELDS = (
    *_HEADERS,
    "name",
    "domains",
    "routes",
    "require_tls",
    "typed_per_filter_config",
    "include_request_attempt_count",
    "include_attempt_count_in_response",
    "retry_policy",
    "request_mirror_policies",
)
_ROUTE_FIELDS = (
    *_HEADERS,
    "name",
    "match",
    "route",
    "redirect",
    "direct_response",
    "metadata",
    "typed_per_filter_config",
    "decorator",
    "tracing",
)
_BRANCH_FIELDS = (*_HEADERS, "name", "weight", "typed_per_filter_config", "host_rewrite_literal")
_REQUIRE_TLS = ("none", "external_only", "all")
_MAX_TOTAL_WEIGHT = 0xFFFFFFFF


class _Level:
    """What one level (route configuration, virtual host, route, branch) adds, over the levels above it."""

    __slots__ = ("_wins", "filters", "request", "response")

    def __init__(self, message: Any, at: At, upper: _Level | None = None, wins: bool = False) -> None:
        self._wins: bool = upper._wins if upper else wins
        self.request: HeaderMutations = self._join(request_mutations(message, at), upper.request if upper else ())
        self.response: HeaderMutations = self._join(response_mutations(message, at), upper.response if upper else ())
        own = compile_route_filters(message.typed_per_filter_config, at)
        self.filters: Mapping[str, object] = layer_route_filters(upper.filters, own) if upper else own

    def _join(self, own: HeaderMutations, upper: HeaderMutations) -> HeaderMutations:
        """Envoy applies the most specific level first, or last with most_specific_header_mutations_wins."""
        return upper + own if self._wins else own + upper


class _HostContext:
    """What the routes of a virtual host share."""

    __slots__ = ("clusters", "host", "inherited", "level")

    def __init__(self, host: Any, level: _Level, inherited: Inherited, clusters: set[str]) -> None:
        self.host = host
        self.level = level
        self.inherited = inherited
        self.clusters = clusters


@dataclass(frozen=True, slots=True)
class _CompiledHost:
    """A virtual host, and the clusters that its routes name."""

    host: VirtualHost
    clusters: frozenset[str]


#: Digest of a virtual host's bytes → what was made of them, under one and the same upper level.
_KnownHosts = dict[bytes, _CompiledHost]


class RouteCompiler:
    """Compiles successive versions of route configurations; virtual hosts that stay the same keep their identity."""

    def __init__(self) -> None:
        # Name → (digest of all but the virtual hosts, these), of the last version that compiled.
        self._known: dict[str, tuple[bytes, _KnownHosts]] = {}

    def compile(self, proto: Any) -> RouteConfiguration:
        """envoy.config.route.v3.RouteConfiguration. Raises Rejected, and then forgets nothing."""
        shell = type(proto)()
        shell.CopyFrom(proto)
        shell.ClearField("virtual_hosts")
        upper = _digest(shell)
        known_upper, known = self._known.get(proto.name, (b"", {}))
        used: _KnownHosts = {}
        compiled = _compile(proto, At(proto.name), known if known_upper == upper else {}, used)
        self._known[proto.name] = (upper, used)
        return compiled

    def forget(self, names: Iterable[str]) -> None:
        """Drop what is kept of configurations that are no longer wanted."""
        for name in names:
            self._known.pop(name, None)


def compile_route_configuration(proto: Any, at: At | None = None) -> RouteConfiguration:
    """envoy.config.route.v3.RouteConfiguration. Raises Rejected; `at` is where it stands when it is inlined."""
    return _compile(proto, at or At(proto.name), {}, {})


def _compile(proto: Any, at: At, known: _KnownHosts, used: _KnownHosts) -> RouteConfiguration:
    """Takes virtual hosts from `known` and leaves all it made or took in `used`."""
    check(proto, _CONFIGURATION_FIELDS, at)
    level = _Level(proto, at, wins=proto.most_specific_header_mutations_wins)
    mirrors = compile_mirrors(proto.request_mirror_policies, at)
    inherited = Inherited(mirrors=mirrors)
    clusters = {mirror.cluster for mirror in mirrors}
    hosts: list[VirtualHost] = []
    for index, host in enumerate(proto.virtual_hosts):
        digest = _digest(host)
        made = known.get(digest)
        if made is None:
            named: set[str] = set()
            compiled = _virtual_host(host, level, inherited, named, at.field("virtual_hosts", index))
            made = _CompiledHost(compiled, frozenset(named))
        used[digest] = made
        clusters |= made.clusters
        hosts.append(made.host)
    _check_unique(hosts, at)
    return RouteConfiguration(
        name=proto.name,
        virtual_hosts=tuple(hosts),
        ignore_port_in_host_matching=proto.ignore_port_in_host_matching,
        clusters=frozenset(clusters),
    )


def _digest(message: Any) -> bytes:
    return blake2b(message.SerializeToString(deterministic=True), digest_size=16).digest()


def _check_unique(hosts: Iterable[VirtualHost], at: At) -> None:
    """Names and domains are unique over the whole configuration (Envoy refuses the rest too)."""
    names: set[str] = set()
    domains: dict[bytes, str] = {}
    for index, host in enumerate(hosts):
        place = at.field("virtual_hosts", index)
        if host.name in names:
            place.field("name").reject(
                f"virtual hosts must have unique names in a route configuration: {host.name!r} is there twice"
            )
        names.add(host.name)
        for domain in host.domains:
            if domain in domains:
                place.field("domains").reject(
                    f"Only unique values for domains are permitted. Duplicate entry of domain {domain.decode()!r} "
                    f"in virtual hosts {domains[domain]!r} and {host.name!r}"
                )
            domains[domain] = host.name


def _virtual_host(host: Any, upper: _Level, inherited: Inherited, clusters: set[str], at: At) -> VirtualHost:
    check(host, _HOST_FIELDS, at)
    if not host.name:
        at.field("name").reject("empty; give the virtual host a name")
    if not host.domains:
        at.field("domains").reject("empty; give at least one domain, or * for all")
    for index, domain in enumerate(host.domains):
        if not domain or "*" in domain[1:-1] or (domain.count("*") > 1):
            at.field("domains", index).reject(f"{domain!r}: a wildcard may only be the first or the last character")
    retry = inherited.retry
    if host.HasField("retry_policy"):
        retry = compile_retry(host.retry_policy, at.field("retry_policy"))
    mirrors = compile_mirrors(host.request_mirror_policies, at) or inherited.mirrors
    clusters.update(mirror.cluster for mirror in mirrors)
    context = _HostContext(host, _Level(host, at, upper), Inherited(retry=retry, mirrors=mirrors), clusters)
    return VirtualHost(
        name=host.name,
        domains=tuple(domain.lower().encode() for domain in host.domains),
        routes=tuple(_route(route, context, at.field("routes", index)) for index, route in enumerate(host.routes)),
        require_tls=_REQUIRE_TLS[host.require_tls],  # type: ignore[arg-type]
    )


def _route(route: Any, context: _HostContext, at: At) -> Route:
    check(route, _ROUTE_FIELDS, at)
    match = compile_match(route.match, at.field("match"))
    level = _Level(route, at, context.level)
    host = context.host
    compiled = Route(
        name=route.name,
        match=match,
        request_headers=level.request,
        response_headers=level.response,
        filter_configs=level.filters,
        virtual_host=host.name,
        include_request_attempt_count=host.include_request_attempt_count,
        include_attempt_count_in_response=host.include_attempt_count_in_response,
        decorator=compile_decorator(route, at),
        tracing=compile_route_tracing(route, at),
        source=resource_of(route.metadata),
    )
    kind = route.WhichOneof("action")
    place = at.field(kind or "route")
    if kind == "redirect":
        return replace(compiled, redirect=compile_redirect(route.redirect, match, place))
    if kind == "direct_response":
        return replace(compiled, direct_response=compile_direct_response(route.direct_response, place))
    if kind != "route":
        at.reject("a route needs one of route, redirect, direct_response")
    action = compile_action(route.route, match, context.inherited, place)
    context.clusters.update(mirror.cluster for mirror in action.mirrors)
    if route.route.WhichOneof("cluster_specifier") == "weighted_clusters":
        return _split(route.route.weighted_clusters, compiled, action, level, context, place.field("weighted_clusters"))
    context.clusters.add(action.cluster)
    return replace(compiled, action=action)


def _split(weighted: Any, route: Route, action: RouteAction, level: _Level, context: _HostContext, at: At) -> Route:
    """A route with one complete route per branch that has a weight."""
    check(weighted, ("clusters",), at)
    branches: list[Route] = []
    weights: list[int] = []
    for index, branch in enumerate(weighted.clusters):
        place = at.field("clusters", index)
        check(branch, _BRANCH_FIELDS, place)
        if not branch.name:
            place.field("name").reject("empty; name the cluster")
        own = _Level(branch, place, level)
        target = replace(action, cluster=branch.name)
        if branch.host_rewrite_literal:
            literal = HostRewrite(kind="literal", value=branch.host_rewrite_literal.encode())
            target = replace(target, host_rewrite=literal)
        context.clusters.add(branch.name)
        weights.append(wrapped(branch, "weight", 0))
        branches.append(
            replace(
                route,
                action=target,
                request_headers=own.request,
                response_headers=own.response,
                filter_configs=own.filters,
            )
        )
    total = sum(weights)
    if not 0 < total <= _MAX_TOTAL_WEIGHT:
        at.reject(f"the weights sum up to {total}; the sum must be 1 to {_MAX_TOTAL_WEIGHT}")
    return replace(route, split=WeightedSplit(bounds=tuple(accumulate(weights)), routes=tuple(branches), total=total))
