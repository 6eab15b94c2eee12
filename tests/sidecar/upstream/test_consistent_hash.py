from __future__ import annotations

from collections import Counter

import pytest
import xxhash

from sidecar.config.endpoints import Endpoint
from sidecar.upstream.consistent_hash import _maglev, _ring, ring_picker
from sidecar.upstream.host import Host


def hosts(*weights: int) -> list[Host]:
    return [Host(Endpoint(address=f"10.0.0.{n}", port=80, weight=weight)) for n, weight in enumerate(weights)]


@pytest.mark.parametrize(
    ("weights", "minimum", "maximum", "size"),
    [((1, 1), 1024, 1 << 23, 1024), ((1, 1, 1), 1024, 1 << 23, 1026), ((1, 2), 8, 1 << 23, 9), ((1, 1), 1024, 10, 10)],
)
def test_the_ring_holds_a_whole_number_of_places_for_the_lightest(
    weights: tuple[int, ...], minimum: int, maximum: int, size: int
) -> None:
    ring = _ring(hosts(*weights), minimum, maximum)
    assert len(ring) == size
    assert ring == sorted(ring, key=lambda place: place[0])


def test_places_are_hashes_of_address_and_number() -> None:
    one = hosts(1)
    assert {place for place, _ in _ring(one, 3, 100)} == {
        xxhash.xxh64_intdigest(b"10.0.0.0:80_%d" % number) for number in range(3)
    }


def test_a_hash_takes_the_next_place_and_wraps_around() -> None:
    members = hosts(1, 1)
    ring = _ring(members, 4, 100)
    pick = ring_picker(members, 4, 100)
    assert pick(float, ring[1][0], 0) is ring[1][1]
    assert pick(float, ring[1][0] + 1, 0) is ring[2][1]
    assert pick(float, ring[-1][0] + 1, 0) is ring[0][1]
    assert pick(float, ring[1][0], 1) is ring[2][1]


def test_a_hash_key_replaces_the_address() -> None:
    named = [Host(Endpoint(address="10.0.0.9", port=1, hash_key="key"))]
    assert _ring(named, 1, 10)[0][0] == xxhash.xxh64_intdigest(b"key_0")


def test_the_maglev_table_is_full_and_fair() -> None:
    counted = Counter(host.address for host in _maglev(hosts(1, 1, 2), 997))
    assert sum(counted.values()) == 997
    assert counted["10.0.0.2:80"] == pytest.approx(498, abs=3)
    assert counted["10.0.0.0:80"] == pytest.approx(249, abs=3)


def test_the_maglev_table_does_not_depend_on_the_order_of_hosts() -> None:
    members = hosts(1, 1, 1)
    assert _maglev(members, 101) == _maglev(members[::-1], 101)
