"""VirtualServices made ready: names resolved, delegates merged in, what they depend on written down."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from controlplane.model.config import Config
from controlplane.model.names import MESH_GATEWAY, resolve_gateway, resolve_host
from lugsail.api.virtual_service import (
    Destination,
    HTTPMatchRequest,
    HTTPRoute,
    TCPRoute,
    TLSRoute,
    VirtualServiceSpec,
)


@dataclass(frozen=True, eq=False, slots=True)
class HttpRule:
    """One http[] entry that decides. `namespace` is where its short host names are resolved."""

    rule: HTTPRoute
    index: str  # path in the user's resource, "http[1]"; a delegate's "http[1] > ns/name http[0]"
    namespace: str


@dataclass(frozen=True, eq=False, slots=True)
class VirtualServiceConfig:
    """A VirtualService with resolved hosts and gateways. Identity as for Config."""

    config: Config[VirtualServiceSpec]
    sources: tuple[Config[VirtualServiceSpec], ...]  # itself and the delegates it took rules from
    hosts: tuple[str, ...]
    gateways: frozenset[str]
    http: tuple[HttpRule, ...]
    tls: tuple[TLSRoute, ...]
    tcp: tuple[TCPRoute, ...]
    source_label_keys: frozenset[str]  # labels of the proxy that its matches ask about
    asks_namespace: bool  # whether a match asks about the proxy's namespace

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def namespace(self) -> str:
        return self.config.namespace

    @property
    def for_mesh(self) -> bool:
        return MESH_GATEWAY in self.gateways

    def destination_host(self, destination: Destination, namespace: str | None = None) -> str:
        """The full host name of a destination that a rule of this resource names."""
        return resolve_host(destination.host, self.namespace if namespace is None else namespace)

    def destinations(self) -> Iterable[tuple[str, Destination]]:
        """(full host, destination) of everything this resource may send traffic to."""
        for rule in self.http:
            for route in rule.rule.route:
                if route.destination is not None:
                    yield self.destination_host(route.destination, rule.namespace), route.destination
            mirrors = [rule.rule.mirror, *(mirror.destination for mirror in rule.rule.mirrors)]
            for mirror in mirrors:
                if mirror is not None:
                    yield self.destination_host(mirror, rule.namespace), mirror
        l4_routes = [target for tls in self.tls for target in tls.route]
        l4_routes += [target for tcp in self.tcp for target in tcp.route]
        for target in l4_routes:
            if target.destination is not None:
                yield self.destination_host(target.destination), target.destination


def prepare(
    config: Config[VirtualServiceSpec], delegates: Mapping[tuple[str, str], Config[VirtualServiceSpec]]
) -> tuple[VirtualServiceConfig, tuple[str, ...]]:
    """The prepared VirtualService, and what was wrong with its delegates.

    `delegates`: the VirtualServices without hosts, by (namespace, name).
    """
    spec = config.spec
    gateways = frozenset(resolve_gateway(gateway, config.namespace) for gateway in spec.gateways)
    http, sources, problems = _merge_delegates(config, delegates)
    matches: list[object] = [match for rule in http for match in rule.rule.match]
    matches += [match for tls in spec.tls for match in tls.match]
    matches += [match for tcp in spec.tcp for match in tcp.match]
    label_keys: set[str] = set()
    asks_namespace = False
    for match in matches:
        label_keys.update(getattr(match, "source_labels", {}))
        asks_namespace = asks_namespace or bool(getattr(match, "source_namespace", ""))
    prepared = VirtualServiceConfig(
        config=config,
        sources=(config, *sources),
        hosts=tuple(resolve_host(host, config.namespace) for host in spec.hosts),
        gateways=gateways or frozenset({MESH_GATEWAY}),
        http=tuple(http),
        tls=spec.tls,
        tcp=spec.tcp,
        source_label_keys=frozenset(label_keys),
        asks_namespace=asks_namespace,
    )
    return prepared, tuple(problems)


def _merge_delegates(
    config: Config[VirtualServiceSpec], delegates: Mapping[tuple[str, str], Config[VirtualServiceSpec]]
) -> tuple[list[HttpRule], list[Config[VirtualServiceSpec]], list[str]]:
    rules: list[HttpRule] = []
    sources: list[Config[VirtualServiceSpec]] = []
    problems: list[str] = []
    for index, rule in enumerate(config.spec.http):
        path = f"http[{index}]"
        if rule.delegate is None:
            rules.append(HttpRule(rule, path, config.namespace))
            continue
        where = (rule.delegate.namespace or config.namespace, rule.delegate.name)
        target = delegates.get(where)
        if target is None:
            problems.append(
                f"{path}.delegate: there is no VirtualService {where[0]}/{where[1]} without hosts; the rule is left out"
            )
            continue
        sources.append(target)
        for inner_index, inner in enumerate(target.spec.http):
            merged = _merge_rule(rule, inner)
            if merged is None:
                problems.append(f"{path}.delegate: http[{inner_index}] of {where[0]}/{where[1]} contradicts its match")
                continue
            rules.append(HttpRule(merged, f"{path} > {where[0]}/{where[1]} http[{inner_index}]", target.namespace))
    return rules, sources, problems


def _merge_rule(root: HTTPRoute, inner: HTTPRoute) -> HTTPRoute | None:
    """The delegate's rule under the root's: matches are combined, the root's settings fill what the delegate left."""
    matches = _merge_matches(root.match, inner.match)
    if matches is None:
        return None
    changes: dict[str, object] = {"match": matches}
    changes["name"] = "-".join(filter(None, (root.name, inner.name)))
    fill = ("rewrite", "timeout", "retries", "fault", "mirror", "mirror_percent", "mirror_percentage", "cors_policy")
    for name in (*fill, "headers"):
        if getattr(inner, name) is None and getattr(root, name) is not None:
            changes[name] = getattr(root, name)
    if not inner.mirrors and root.mirrors:
        changes["mirrors"] = root.mirrors
    return inner.model_copy(update=changes)


def _merge_matches(
    root: Sequence[HTTPMatchRequest], inner: Sequence[HTTPMatchRequest]
) -> tuple[HTTPMatchRequest, ...] | None:
    if not root or not inner:
        return tuple(root or inner)
    out: list[HTTPMatchRequest] = []
    for outer in root:
        for match in inner:
            merged = _merge_match(outer, match)
            if merged is not None:
                out.append(merged)
    return tuple(out) or None


def _merge_match(root: HTTPMatchRequest, inner: HTTPMatchRequest) -> HTTPMatchRequest | None:
    """Both conditions at once, or None when they cannot be said in one match."""
    changes: dict[str, object] = {}
    for name in ("uri", "scheme", "method", "authority"):
        mine, theirs = getattr(root, name), getattr(inner, name)
        if mine is None or theirs is None:
            changes[name] = theirs or mine
        elif name == "uri" and mine.prefix and (theirs.prefix or theirs.exact or "").startswith(mine.prefix):
            changes[name] = theirs
        elif mine != theirs:
            return None
    for name in ("headers", "without_headers", "query_params", "source_labels"):
        mine, theirs = getattr(root, name), getattr(inner, name)
        if any(theirs[key] != value for key, value in mine.items() if key in theirs):
            return None
        changes[name] = {**mine, **theirs}
    for name in ("port", "source_namespace", "stat_prefix"):
        mine, theirs = getattr(root, name), getattr(inner, name)
        if mine and theirs and mine != theirs:
            return None
        changes[name] = theirs or mine
    changes["gateways"] = root.gateways or inner.gateways
    changes["ignore_uri_case"] = root.ignore_uri_case or inner.ignore_uri_case
    changes["name"] = "-".join(filter(None, (root.name, inner.name)))
    return inner.model_copy(update=changes)
