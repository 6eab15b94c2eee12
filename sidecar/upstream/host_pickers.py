"""The policies that choose among equals: round robin, random and least request, with weights where they differ.

A picker is `(random, request_hash, attempt) -> Host`; `random()` gives numbers in [0, 1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heapify, heapreplace

from sidecar.upstream.host import Host

Picker = Callable[[Callable[[], float], int | None, int], Host]


def random_picker(hosts: Sequence[Host]) -> Picker:
    """Any host alike; Envoy's RANDOM knows no weights."""
    count = len(hosts)
    return lambda random, request_hash, attempt: hosts[int(random() * count)]


def round_robin_picker(hosts: Sequence[Host]) -> Picker:
    """One after the other, from a random start; with differing weights by earliest deadline first."""
    if _weights_differ(hosts):
        return _EarliestDeadline(hosts, None)
    count = len(hosts)
    position = -1

    def pick(random: Callable[[], float], request_hash: int | None, attempt: int) -> Host:
        nonlocal position
        position = int(random() * count) if position < 0 else (position + 1) % count
        return hosts[position]

    return pick


def least_request_picker(hosts: Sequence[Host], choice_count: int, bias: float) -> Picker:
    """The least busy of some hosts drawn at random (with repetition); with differing weights by earliest deadline,
    a host's weight divided by (active requests + 1) to the power of `bias`."""
    if _weights_differ(hosts):
        return _EarliestDeadline(hosts, bias)
    count = len(hosts)
    if choice_count == 2:

        def pick_two(random: Callable[[], float], request_hash: int | None, attempt: int) -> Host:
            first, second = hosts[int(random() * count)], hosts[int(random() * count)]
            return second if second.active_requests < first.active_requests else first

        return pick_two

    def pick(random: Callable[[], float], request_hash: int | None, attempt: int) -> Host:
        best = hosts[int(random() * count)]
        for _ in range(choice_count - 1):
            other = hosts[int(random() * count)]
            if other.active_requests < best.active_requests:
                best = other
        return best

    return pick


def _weights_differ(hosts: Sequence[Host]) -> bool:
    return any(host.weight != hosts[0].weight for host in hosts)


class _EarliestDeadline:
    """Weighted picking: the next host is the one with the earliest deadline, which then moves on by 1 / weight."""

    __slots__ = ("_bias", "_heap", "_started")

    def __init__(self, hosts: Sequence[Host], bias: float | None) -> None:
        self._bias = bias
        self._started = False
        self._heap = [(1.0 / max(host.weight, 1), index, host) for index, host in enumerate(hosts)]
        heapify(self._heap)

    def __call__(self, random: Callable[[], float], request_hash: int | None, attempt: int) -> Host:
        if not self._started:
            # A random start, so that proxies which begin together do not all call the same host first.
            self._started = True
            for _ in range(int(random() * len(self._heap))):
                self._next()
        return self._next()

    def _next(self) -> Host:
        deadline, index, host = self._heap[0]
        weight = float(max(host.weight, 1))
        if self._bias is not None and self._bias > 0:
            weight /= (host.active_requests + 1) ** self._bias
        heapreplace(self._heap, (deadline + 1.0 / weight, index, host))
        return host
