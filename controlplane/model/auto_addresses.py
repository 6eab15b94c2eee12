"""Automatic addresses: virtual addresses from 240.240.0.0/16 for services that have none of their own.

A proxy that answers its app's DNS queries gives each such service its address, so that plain TCP services on one port
can be told apart by where the connection was going. The range is class E, which no network routes: the addresses mean
something inside one pod only. Source: Istio's ServiceEntry registry (`autoAllocateIPs`).
"""

from collections.abc import Collection, Iterable

# 240.240.0.1 … 240.240.255.254, without the .0 and .255 of every /24.
_PER_OCTET = 254
SLOTS = 256 * _PER_OCTET
# For the second hash: a prime below the number of slots.
_PRIME = 65011

_FNV_OFFSET, _FNV_PRIME = 2166136261, 16777619


class NoAddressLeft(ValueError):
    """More services than addresses."""


def address_key(namespace: str, host: str) -> str:
    """What an address is for: `namespace/host`, as Istio hashes it."""
    return f"{namespace}/{host}"


def allocate(keys: Iterable[str], taken: Collection[str] = ()) -> dict[str, str]:
    """An address for each key. `taken`: addresses that others have already.

    A key's address follows from its hash, so it stays when others come and go; where two meet in one slot, the
    earlier in `keys` has it and the later probes on. Raises NoAddressLeft.
    """
    used = set(taken)
    out: dict[str, str] = {}
    for key in keys:
        if key not in out:
            out[key] = _first_free(key, used)
            used.add(out[key])
    return out


def _first_free(key: str, used: Collection[str]) -> str:
    """Double hashing: (h1 + i·h2) mod slots, where h2 = prime − h1 mod prime.

    h2 may share a factor with the number of slots and then meets only part of them; after that every slot is tried.
    """
    first = _fnv1a(key.encode())
    step = _PRIME - first % _PRIME
    for i in range(SLOTS):
        address = address_of_slot((first + i * step) % SLOTS)
        if address not in used:
            return address
    for slot in range(SLOTS):
        address = address_of_slot(slot)
        if address not in used:
            return address
    raise NoAddressLeft(f"no automatic address is left for {key}: all {SLOTS} of 240.240.0.0/16 are taken")


def address_of_slot(slot: int) -> str:
    """0 → 240.240.0.1, 253 → 240.240.0.254, 254 → 240.240.1.1"""
    return f"240.240.{slot // _PER_OCTET}.{slot % _PER_OCTET + 1}"


def _fnv1a(data: bytes) -> int:
    """FNV-1a, 32 bits."""
    value = _FNV_OFFSET
    for byte in data:
        value = (value ^ byte) * _FNV_PRIME & 0xFFFFFFFF
    return value
