"""Consistent hashing: Envoy's RING_HASH and MAGLEV, with xxHash64 over each host's `ip:port` (or its hash key).

Tables are built at the first pick after an update, since many updates come without a request in between.
A request without a hash gets a random one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from math import ceil

import xxhash

from sidecar.upstream.host import Host
from sidecar.upstream.host_pickers import Picker

_HASHES = 1 << 64


def ring_picker(hosts: Sequence[Host], minimum_size: int, maximum_size: int) -> Picker:
    """The host at the request's place on the ring; a further attempt takes the place after it."""
    ring: list[tuple[int, Host]] = []
    places: list[int] = []

    def pick(random: Callable[[], float], request_hash: int | None, attempt: int) -> Host:
        if not ring:
            ring.extend(_ring(hosts, minimum_size, maximum_size))
            places.extend(place for place, _ in ring)
        if request_hash is None:
            request_hash = int(random() * _HASHES)
        index = bisect_left(places, request_hash)
        return ring[(index + attempt) % len(ring)][1]

    return pick


def _ring(hosts: Sequence[Host], minimum_size: int, maximum_size: int) -> list[tuple[int, Host]]:
    """Places by weight, at least so many that the lightest host has a whole number of them.

    Fractions are carried over from host to host, so that the ring's size comes out right.
    """
    total = sum(max(host.weight, 1) for host in hosts)
    lightest = min(max(host.weight, 1) for host in hosts) / total
    scale = min(ceil(lightest * minimum_size) / lightest, float(maximum_size))
    ring: list[tuple[int, Host]] = []
    wanted = 0.0
    for host in hosts:
        wanted += scale * max(host.weight, 1) / total
        number = 0
        while len(ring) < wanted - 1e-9:
            ring.append((xxhash.xxh64_intdigest(b"%s_%d" % (host.key, number)), host))
            number += 1
    ring.sort(key=lambda place: place[0])
    return ring


def maglev_picker(hosts: Sequence[Host], table_size: int) -> Picker:
    """The host in the request's slot of the Maglev table; a further attempt hashes to another slot."""
    table: list[Host] = []

    def pick(random: Callable[[], float], request_hash: int | None, attempt: int) -> Host:
        if not table:
            table.extend(_maglev(hosts, table_size))
        if request_hash is None:
            request_hash = int(random() * _HASHES)
        if attempt:
            request_hash ^= (_HASHES - 1) - attempt + 1
        return table[request_hash % len(table)]

    return pick


def _maglev(hosts: Sequence[Host], size: int) -> list[Host]:
    """Hosts take turns, by weight, each taking the next free slot of its own permutation (Maglev, section 3.4)."""
    heaviest = max(max(host.weight, 1) for host in hosts)
    table: list[Host | None] = [None] * size
    # [host, next slot, step, its weight, how much weight it needs for its next turn]
    rows: list[tuple[Host, int, int]] = []
    for host in sorted(hosts, key=lambda one: one.key):
        offset = xxhash.xxh64_intdigest(host.key) % size
        skip = xxhash.xxh64_intdigest(host.key, 1) % (size - 1) + 1
        rows.append((host, offset, skip))
    slots = [offset for _, offset, _ in rows]
    credit = [0.0] * len(rows)
    filled = 0
    iteration = 0
    while True:
        iteration += 1
        for number, (host, _, skip) in enumerate(rows):
            weight = max(host.weight, 1)
            if iteration * weight < credit[number]:
                continue
            credit[number] += heaviest
            slot = slots[number]
            while table[slot] is not None:
                slot = (slot + skip) % size
            table[slot] = host
            slots[number] = (slot + skip) % size
            filled += 1
            if filled == size:
                return [host for host in table if host is not None]
