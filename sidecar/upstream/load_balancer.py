"""Choosing the host for a request: priorities and localities first, then the cluster's policy among their hosts.

Envoy's rules: a priority carries load as long as enough of it is healthy (overprovisioning factor 1.4), what it cannot
carry spills to the next; where too little is healthy all in all, a priority panics and uses every host. Degraded hosts
count as healthy. Pure: random numbers and the request's hash arrive as arguments; the tables change only by `update`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import accumulate

from sidecar.config.clusters import LoadBalancing
from sidecar.config.endpoints import Endpoints, Locality
from sidecar.upstream.consistent_hash import maglev_picker, ring_picker
from sidecar.upstream.host import Host
from sidecar.upstream.host_pickers import Picker, least_request_picker, random_picker, round_robin_picker

_NO_PRIORITIES: frozenset[int] = frozenset()


class _Choice:
    """Something picked by weight; `bounds` are running sums."""

    __slots__ = ("bounds", "items", "total")

    def __init__(self, items: Sequence[Picker], weights: Iterable[float]) -> None:
        self.items = items
        self.bounds = list(accumulate(weights))
        self.total = self.bounds[-1] if self.bounds else 0.0

    def pick(self, random: float) -> Picker:
        return self.items[min(bisect_right(self.bounds, random * self.total), len(self.items) - 1)]


class LoadBalancer:
    """The balancer of one cluster. Call `update` with every change of hosts or of their health."""

    __slots__ = ("_by_priority", "_choice", "_config", "_loads", "_overprovisioning", "_weights", "only")

    def __init__(self, config: LoadBalancing) -> None:
        self._config = config
        self._overprovisioning = 1.4
        self._weights: dict[tuple[int, Locality | None], int] = {}
        self._by_priority: dict[int, Picker | None] = {}
        self._loads: dict[int, float] = {}
        self._choice: _Choice | None = None
        #: Where one picker takes everything, which is the usual case.
        self.only: Picker | None = None

    def update(self, hosts: Sequence[Host], endpoints: Endpoints | None = None) -> None:
        """Take the hosts as they are now; `endpoints` gives locality weights and the overprovisioning factor."""
        if endpoints is not None:
            self._overprovisioning = endpoints.overprovisioning
            self._weights = {(group.priority, group.locality): group.weight or 0 for group in endpoints.localities}
        members: dict[int, list[Host]] = {}
        for host in hosts:
            members.setdefault(host.priority, []).append(host)
        panicking = self._assess(members)
        self._by_priority = {
            priority: self._priority_picker(priority, group, panicking[priority]) for priority, group in members.items()
        }
        loaded = [(picker, self._loads[p]) for p, picker in self._by_priority.items() if picker and self._loads[p] > 0]
        self.only = loaded[0][0] if len(loaded) == 1 else None
        self._choice = _Choice([p for p, _ in loaded], (load for _, load in loaded)) if len(loaded) > 1 else None

    @property
    def priorities(self) -> Sequence[int]:
        """The priorities that have hosts."""
        return tuple(self._by_priority)

    def pick(
        self,
        random: Callable[[], float],
        request_hash: int | None = None,
        excluded: Collection[Host] = (),
        attempts: int = 1,
        excluded_priorities: frozenset[int] = _NO_PRIORITIES,
    ) -> Host | None:
        """The host for a request, or None where no host may take it (503, UH).

        `random()` gives numbers in [0, 1). A host of `excluded` is taken only when `attempts` further picks found no
        other. `excluded_priorities` are left out, unless nothing would be left.
        """
        picker = self._picker(random, excluded_priorities)
        if picker is None:
            return None
        if not excluded:
            return picker(random, request_hash, 0)
        host = picker(random, request_hash, 0)
        for attempt in range(1, attempts + 1):
            if host is None or host not in excluded:
                return host
            picker = self._picker(random, excluded_priorities) or picker
            host = picker(random, request_hash, attempt)
        return host

    def _picker(self, random: Callable[[], float], excluded: frozenset[int]) -> Picker | None:
        if excluded:
            left = [(p, max(self._loads[n], 1e-9)) for n, p in self._by_priority.items() if p and n not in excluded]
            if left:
                return _Choice([picker for picker, _ in left], (load for _, load in left)).pick(random())
        if self.only is not None:
            return self.only
        return self._choice.pick(random()) if self._choice is not None else None

    def _assess(self, members: dict[int, list[Host]]) -> dict[int, bool]:
        """Set each priority's share of the load; answer which of them panic."""
        health = {
            priority: min(1.0, self._overprovisioning * sum(host.healthy for host in group) / len(group))
            for priority, group in members.items()
        }
        total = min(1.0, sum(health.values()))
        panicking = {
            priority: total < 1.0 and sum(host.healthy for host in group) / len(group) < self._config.panic_threshold
            for priority, group in members.items()
        }
        order = sorted(members)
        if total > 0:
            left = 1.0
            self._loads = {}
            for priority in order:
                self._loads[priority] = min(left, health[priority] / total)
                left -= self._loads[priority]
        elif any(panicking.values()):
            count = sum(len(members[priority]) for priority in order if panicking[priority])
            self._loads = {p: len(members[p]) / count if panicking[p] else 0.0 for p in order}
        else:
            self._loads = {priority: 1.0 if priority == order[0] else 0.0 for priority in order}
        return panicking

    def _priority_picker(self, priority: int, hosts: list[Host], panic: bool) -> Picker | None:
        if panic and self._config.fail_traffic_on_panic:
            return None
        usable = hosts if panic else [host for host in hosts if host.healthy]
        if not usable:
            return None
        if not self._config.locality_weighted or panic:
            return self._host_picker(usable)
        return self._locality_picker(priority, hosts)

    def _locality_picker(self, priority: int, hosts: list[Host]) -> Picker | None:
        """Localities by weight, each less as less of it is healthy."""
        groups: dict[Locality | None, list[Host]] = {}
        for host in hosts:
            groups.setdefault(host.locality, []).append(host)
        pickers: list[Picker] = []
        weights: list[float] = []
        for locality, group in groups.items():
            usable = [host for host in group if host.healthy]
            weight = self._weights.get((priority, locality), 0)
            if usable and weight:
                pickers.append(self._host_picker(usable))
                weights.append(weight * min(1.0, self._overprovisioning * len(usable) / len(group)))
        if len(pickers) < 2:
            return pickers[0] if pickers else None
        choice = _Choice(pickers, weights)
        return lambda random, request_hash, attempt: choice.pick(random())(random, request_hash, attempt)

    def _host_picker(self, hosts: list[Host]) -> Picker:
        config = self._config
        if len(hosts) == 1:
            only = hosts[0]
            return lambda random, request_hash, attempt: only
        if config.kind == "random":
            return random_picker(hosts)
        if config.kind == "least_request":
            return least_request_picker(hosts, config.choice_count, config.active_request_bias)
        if config.kind == "ring_hash":
            return ring_picker(hosts, config.minimum_ring_size, config.maximum_ring_size)
        if config.kind == "maglev":
            return maglev_picker(hosts, config.maglev_table_size)
        return round_robin_picker(hosts)
