"""DestinationRules made ready: merged for each host, found for a service as one proxy sees it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from controlplane.model.config import Config, labels_match, visible
from controlplane.model.names import most_specific, resolve_host
from lugsail.api.destination_rule import (
    ClientTLSSettings,
    ConnectionPoolSettings,
    DestinationRuleSpec,
    LoadBalancerSettings,
    OutlierDetection,
    ProxyProtocol,
    RetryBudget,
    Subset,
    TrafficPolicy,
)


@dataclass(frozen=True, eq=False, slots=True)
class MergedRule:
    """The DestinationRules of one namespace for one host, as one: the oldest's policy, subsets of all.

    Identity as for Config: the object stays while none of its rules changes.
    """

    host: str
    configs: tuple[Config[DestinationRuleSpec], ...]
    traffic_policy: TrafficPolicy | None
    subsets: tuple[Subset, ...]

    @property
    def config(self) -> Config[DestinationRuleSpec]:
        return self.configs[0]

    def subset(self, name: str) -> Subset | None:
        return next((subset for subset in self.subsets if subset.name == name), None)


@dataclass(frozen=True, slots=True)
class EffectivePolicy:
    """What a DestinationRule says for one port of one subset."""

    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    load_balancer: LoadBalancerSettings | None = None
    tls: ClientTLSSettings | None = None
    proxy_protocol: ProxyProtocol | None = None
    retry_budget: RetryBudget | None = None


def effective_policy(rule: MergedRule | None, port: int, subset: str = "") -> EffectivePolicy:
    """The policy of the host overlaid by the subset's. A port's settings replace the rest of their level whole."""
    if rule is None:
        return EffectivePolicy()
    policy = _overlay(EffectivePolicy(), rule.traffic_policy, port)
    chosen = rule.subset(subset) if subset else None
    return _overlay(policy, chosen.traffic_policy, port) if chosen is not None else policy


def _overlay(base: EffectivePolicy, policy: TrafficPolicy | None, port: int) -> EffectivePolicy:
    if policy is None:
        return base
    for setting in policy.port_level_settings:
        if setting.port is not None and setting.port.number == port:
            return EffectivePolicy(
                connection_pool=setting.connection_pool,
                outlier_detection=setting.outlier_detection,
                load_balancer=setting.load_balancer,
                tls=setting.tls,
                proxy_protocol=policy.proxy_protocol or base.proxy_protocol,
                retry_budget=policy.retry_budget or base.retry_budget,
            )
    return EffectivePolicy(
        connection_pool=policy.connection_pool or base.connection_pool,
        outlier_detection=policy.outlier_detection or base.outlier_detection,
        load_balancer=policy.load_balancer or base.load_balancer,
        tls=policy.tls or base.tls,
        proxy_protocol=policy.proxy_protocol or base.proxy_protocol,
        retry_budget=policy.retry_budget or base.retry_budget,
    )


MergedTable = Mapping[tuple[Config[DestinationRuleSpec], ...], MergedRule]


class DestinationRules:
    """The index: namespace -> host -> rules, oldest first."""

    def __init__(
        self, configs: Iterable[Config[DestinationRuleSpec]], root_namespace: str, known: MergedTable | None = None
    ) -> None:
        """`known`: merged rules of an earlier index, kept where their rules are the same."""
        self._root_namespace = root_namespace
        self._by_host: dict[str, dict[str, list[Config[DestinationRuleSpec]]]] = {}
        self._known = dict(known or {})
        self.merged: dict[tuple[Config[DestinationRuleSpec], ...], MergedRule] = {}
        self._found: dict[tuple[object, ...], MergedRule | None] = {}
        self._selective = False
        self.configs = tuple(sorted(configs, key=lambda c: c.age_order))
        for config in self.configs:
            host = resolve_host(config.spec.host, config.namespace)
            self._by_host.setdefault(config.namespace, {}).setdefault(host, []).append(config)
            self._selective = self._selective or config.spec.workload_selector is not None

    def hosts(self) -> Iterable[tuple[Config[DestinationRuleSpec], str]]:
        """Every rule with its full host name."""
        for hosts in self._by_host.values():
            for host, configs in hosts.items():
                for config in configs:
                    yield config, host

    def overlaps(self) -> Iterable[tuple[Config[DestinationRuleSpec], str]]:
        """What of a rule has no effect because an older rule of its namespace says it for the same host."""
        for hosts in self._by_host.values():
            for host, configs in hosts.items():
                subsets: dict[str, Config[DestinationRuleSpec]] = {}
                policy: Config[DestinationRuleSpec] | None = None
                for config in (c for c in configs if c.spec.workload_selector is None):
                    if policy is not None and config.spec.traffic_policy is not None:
                        yield config, f"trafficPolicy: {policy.key} already has one for host {host}"
                    elif config.spec.traffic_policy is not None:
                        policy = config
                    for subset in config.spec.subsets:
                        owner = subsets.setdefault(subset.name, config)
                        if owner is not config:
                            yield config, f"subset {subset.name!r}: {owner.key} already defines it for host {host}"

    def find(
        self, host: str, service_namespace: str, proxy_namespace: str, proxy_labels: dict[str, str]
    ) -> MergedRule | None:
        """The rule that a proxy applies: its own namespace's, else the service's, else the root namespace's."""
        labels = tuple(sorted(proxy_labels.items())) if self._selective else ()
        key = (host, service_namespace, proxy_namespace, labels)
        if key not in self._found:
            self._found[key] = self._find(host, service_namespace, proxy_namespace, proxy_labels)
        return self._found[key]

    def _find(
        self, host: str, service_namespace: str, proxy_namespace: str, proxy_labels: dict[str, str]
    ) -> MergedRule | None:
        namespaces = [proxy_namespace] if proxy_namespace != self._root_namespace else []
        for namespace in dict.fromkeys([*namespaces, service_namespace, self._root_namespace]):
            found = self._in_namespace(host, namespace, proxy_namespace, proxy_labels)
            if found is not None:
                return found
        return None

    def _in_namespace(
        self, host: str, namespace: str, viewer: str, labels: dict[str, str]
    ) -> MergedRule | None:
        hosts = self._by_host.get(namespace)
        if not hosts:
            return None
        usable: dict[str, list[Config[DestinationRuleSpec]]] = {}
        for rule_host, configs in hosts.items():
            seen = [c for c in configs if _applies(c, namespace, viewer, labels)]
            if seen:
                usable[rule_host] = seen
        best = most_specific(host, usable)
        if best is None:
            return None
        chosen = usable[best]
        selected = [c for c in chosen if c.spec.workload_selector is not None]
        return self._merge(best, tuple(selected or chosen))

    def _merge(self, host: str, configs: tuple[Config[DestinationRuleSpec], ...]) -> MergedRule:
        rule = self.merged.get(configs) or self._known.get(configs)
        if rule is None:
            policy = next((c.spec.traffic_policy for c in configs if c.spec.traffic_policy is not None), None)
            subsets: dict[str, Subset] = {}
            for config in configs:
                for subset in config.spec.subsets:
                    subsets.setdefault(subset.name, subset)
            rule = MergedRule(host, configs, policy, tuple(subsets.values()))
        self.merged[configs] = rule
        return rule


def _applies(
    config: Config[DestinationRuleSpec], namespace: str, viewer: str, labels: dict[str, str]
) -> bool:
    selector = config.spec.workload_selector
    if selector is not None and (namespace != viewer or not labels_match(selector.match_labels, labels)):
        return False
    return visible(config.spec.export_to, namespace, viewer)
