"""Locality-aware balancing: DestinationRule.localityLbSetting as priorities and weights of endpoint groups.

Istio applies `distribute` always, `failover` and `failoverPriority` only together with outlier detection, since
without it no endpoint is ever found to be down.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from controlplane.model.destination_rule import EffectivePolicy, MergedRule
from controlplane.model.endpoint import Endpoint
from controlplane.translate.view import View
from lugsail.api.destination_rule import PortTrafficPolicy, TrafficPolicy

_PARTS = 3


@dataclass(frozen=True, slots=True)
class Placed:
    """The endpoints of one locality with their priority (0 is best) and weight."""

    locality: str
    endpoints: tuple[Endpoint, ...]
    weight: int
    priority: int


@dataclass(frozen=True, slots=True)
class Preference:
    """What a proxy of one locality prefers. The default prefers nothing: every locality by its endpoints' weights."""

    locality: str = ""
    distribute: tuple[tuple[str, int], ...] = ()  # locality pattern -> percent
    failover: bool = False
    failover_regions: tuple[tuple[str, str], ...] = ()  # region -> region that takes over
    failover_labels: tuple[tuple[str, str], ...] = ()  # label -> the value to prefer, most important first

    def place(self, groups: Mapping[str, list[Endpoint]]) -> list[Placed]:
        """Groups in order of locality, with weights and priorities."""
        ordered = [(name, tuple(groups[name])) for name in sorted(groups)]
        if self.distribute:
            return self._distributed(ordered)
        if self.failover_labels:
            return self._by_labels(ordered)
        placed = [(name, eps, self._rank(name) if self.failover else 0) for name, eps in ordered]
        ranks = {rank: index for index, rank in enumerate(sorted({rank for *_, rank in placed}))}
        return [Placed(name, eps, sum(e.weight for e in eps), ranks[rank]) for name, eps, rank in placed]

    def _distributed(self, ordered: list[tuple[str, tuple[Endpoint, ...]]]) -> list[Placed]:
        """`to` shares: the endpoints of all localities that a pattern covers share its percent by their weights."""
        out: list[Placed] = []
        taken: set[str] = set()
        for pattern, percent in self.distribute:
            covered = [(n, eps) for n, eps in ordered if n not in taken and locality_matches(n, pattern)]
            total = sum(e.weight for _, eps in covered for e in eps)
            for name, eps in covered:
                taken.add(name)
                weight = sum(e.weight for e in eps)
                share = -(-percent * weight // total)  # rounded up, so that no group is left without
                if share > 0:
                    out.append(Placed(name, eps, share, 0))
        return sorted(out, key=lambda placed: placed.locality)

    def _by_labels(self, ordered: list[tuple[str, tuple[Endpoint, ...]]]) -> list[Placed]:
        """One group for each locality and number of leading labels that agree with the proxy's."""
        split: dict[tuple[int, str], list[Endpoint]] = {}
        for name, endpoints in ordered:
            for endpoint in endpoints:
                agreeing = 0
                for label, value in self.failover_labels:
                    if endpoint.label_map.get(label) != value:
                        break
                    agreeing += 1
                split.setdefault((len(self.failover_labels) - agreeing, name), []).append(endpoint)
        ranks = {rank: index for index, rank in enumerate(sorted({rank for rank, _ in split}))}
        return [
            Placed(name, tuple(eps), sum(e.weight for e in eps), ranks[rank])
            for (rank, name), eps in sorted(split.items(), key=lambda item: item[0])
        ]

    def _rank(self, other: str) -> int:
        """0 same sub-zone, 1 same zone, 2 same region, 3 the region to fail over to, 4 the rest."""
        mine, theirs = _parts(self.locality), _parts(other)
        for rank, length in ((0, 3), (1, 2), (2, 1)):
            if mine[:length] == theirs[:length]:
                return rank
        regions = dict(self.failover_regions)
        if mine[0] not in regions:
            return 3
        return 3 if regions[mine[0]] == theirs[0] else 4


def stance(view: View, rule: MergedRule | None) -> tuple[object, ...]:
    """What of the proxy any preference under this rule depends on: the part of a key."""
    if rule is None:
        return ()
    by_labels = any(
        policy.load_balancer is not None
        and policy.load_balancer.locality_lb_setting is not None
        and policy.load_balancer.locality_lb_setting.failover_priority
        for policy in _policies(rule)
    )
    return (view.locality, view.proxy.labels if by_labels else ())


def _policies(rule: MergedRule) -> list[TrafficPolicy | PortTrafficPolicy]:
    whole = [rule.traffic_policy, *(subset.traffic_policy for subset in rule.subsets)]
    given = [policy for policy in whole if policy is not None]
    return [*given, *(setting for policy in given for setting in policy.port_level_settings)]


def preference(view: View, policy: EffectivePolicy) -> Preference:
    """The preference that a policy gives to the view's proxy."""
    balancer = policy.load_balancer
    setting = balancer.locality_lb_setting if balancer is not None else None
    where = view.locality
    if setting is None and where and policy.outlier_detection is not None:
        return Preference(locality=where, failover=True)
    if setting is None or setting.enabled is False:
        return Preference()
    if setting.distribute:
        for share in setting.distribute:
            if where and locality_matches(where, share.from_):
                return Preference(locality=where, distribute=tuple(share.to.items()))
        return Preference()
    if policy.outlier_detection is None:
        return Preference()
    if setting.failover_priority:
        labels = view.proxy.label_map
        pairs = (entry.partition("=") for entry in setting.failover_priority)
        wanted = tuple((key, value if eq else labels.get(key, "")) for key, eq, value in pairs)
        return Preference(locality=where, failover=True, failover_labels=wanted)
    if not where:
        return Preference()
    regions = tuple((f.from_, f.to) for f in setting.failover)
    return Preference(locality=where, failover=True, failover_regions=regions)


def locality_matches(locality: str, pattern: str) -> bool:
    """Whether `region/zone/subzone` is covered by a pattern that may end in `*` or be shorter."""
    if pattern in ("", "*"):
        return True
    actual = _parts(locality)
    for index, part in enumerate(pattern.split("/")[:_PARTS]):
        if part == "*":
            return True
        if part and part != actual[index]:
            return False
    return True


def _parts(locality: str) -> tuple[str, str, str]:
    region, zone, sub_zone = (*locality.split("/"), "", "", "")[:_PARTS]
    return region, zone, sub_zone
