"""The iptables rules that bring a pod's traffic to its sidecar, as data: settings in, text out. Pure.

Chains, their order and what they let past are those of Istio's istio-iptables in REDIRECT mode, so what is known of one
holds for the other. Two things differ: excluded interfaces are rules of our own chains, so that `--clean` can tell them
from somebody else's; and there is no HBONE port (15008) to spare.

IPv4 alone: a pod of a compose file has no other address. IPv6 traffic is not captured.

    PREROUTING → ISTIO_INBOUND → ISTIO_IN_REDIRECT → 15006      what comes from outside the pod
    OUTPUT     → ISTIO_OUTPUT  → ISTIO_REDIRECT    → 15001      what the app sends
                               → ISTIO_IN_REDIRECT → 15006      what the proxy sends to the pod's own address
                               → ISTIO_OUTPUT_DNS  → 15053      the app's questions to name servers, UDP and TCP
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

INBOUND, IN_REDIRECT = "ISTIO_INBOUND", "ISTIO_IN_REDIRECT"
OUTPUT, REDIRECT, OUTPUT_DNS = "ISTIO_OUTPUT", "ISTIO_REDIRECT", "ISTIO_OUTPUT_DNS"

#: Tables in the order in which they are applied: an app's packet must not find redirection without its zones.
TABLES = ("raw", "nat")
#: Every chain that is ours, by table; in the order in which they are declared.
CHAINS = {
    "raw": (INBOUND, OUTPUT_DNS),
    "nat": (INBOUND, REDIRECT, IN_REDIRECT, OUTPUT, OUTPUT_DNS),
}
#: Who jumps to us, by table: (built-in chain, rule).
JUMPS = {
    "raw": (("PREROUTING", f"-j {INBOUND}"), ("OUTPUT", f"-j {OUTPUT_DNS}")),
    "nat": (("PREROUTING", f"-p tcp -j {INBOUND}"), ("OUTPUT", f"-j {OUTPUT}")),
}

#: The source that inbound clusters connect to the app from: how it is told that the proxy has seen this connection.
_PASSTHROUGH_SOURCE = "127.0.0.6/32"
_LOOPBACK = "127.0.0.1/32"
_LOCAL_RESOLVERS = "127.0.0.0/8"
DNS_PORT = 15053

Ports = tuple[int, ...]
Ranges = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """What of a pod's traffic goes to its sidecar. CIDRs are IPv4 in canonical form; "*" stands for everything.

    Excluded ports of one direction count only where all ports of it are included (Istio: `-d` goes with `-b '*'`).
    """

    outbound_port: int = 15001
    inbound_port: int = 15006
    proxy_uids: tuple[int, ...] = (1337,)
    proxy_gids: tuple[int, ...] = (1337,)
    outbound_ranges: Ranges | Literal["*"] = "*"
    excluded_outbound_ranges: Ranges = ()
    inbound_ports: Ports | Literal["*"] = "*"
    excluded_inbound_ports: Ports = (15090, 15021, 15020)
    outbound_ports: Ports = ()
    excluded_outbound_ports: Ports = ()
    excluded_interfaces: tuple[str, ...] = ()
    dns: bool = False
    #: Of DNS, only questions to these resolvers; empty: questions to any. A resolver that lives in the pod's own
    #: network (Docker's 127.0.0.11) asks others from there, as root, and must not be sent back to us.
    resolvers: Ranges = ()


def rules(capture: Capture) -> dict[str, list[str]]:
    """The rules of our chains by table, each without its `-A`; a table without rules is left out."""
    nat = [
        f"{REDIRECT} -p tcp -j REDIRECT --to-ports {capture.outbound_port}",
        f"{IN_REDIRECT} -p tcp -j REDIRECT --to-ports {capture.inbound_port}",
        *_inbound(capture),
        *_output(capture),
    ]
    if not capture.dns:
        return {"nat": nat}
    nat += [
        f"{OUTPUT_DNS} {to}-p {protocol} --dport 53 -j REDIRECT --to-ports {DNS_PORT}"
        for to in _to_resolvers(capture)
        for protocol in ("tcp", "udp")
    ]
    return {"raw": _dns_zones(capture), "nat": nat}


def _inbound(capture: Capture) -> Iterator[str]:
    for interface in capture.excluded_interfaces:
        yield f"{INBOUND} -i {interface} -j RETURN"
    if capture.inbound_ports == "*":
        for port in capture.excluded_inbound_ports:
            yield f"{INBOUND} -p tcp --dport {port} -j RETURN"
        yield f"{INBOUND} -p tcp -j {IN_REDIRECT}"
    else:
        for port in capture.inbound_ports:
            yield f"{INBOUND} -p tcp --dport {port} -j {IN_REDIRECT}"


def _output(capture: Capture) -> Iterator[str]:
    for interface in capture.excluded_interfaces:
        yield f"{OUTPUT} -o {interface} -j RETURN"
    # Before what the proxy sends to its own pod: an excluded port is excluded there too.
    for port in capture.excluded_outbound_ports:
        yield f"{OUTPUT} -p tcp --dport {port} -j RETURN"
        yield f"{OUTPUT} -p udp --dport {port} -j RETURN"
    yield f"{OUTPUT} -o lo -s {_PASSTHROUGH_SOURCE} -j RETURN"
    for owner in _owners(capture):
        yield from _output_of(owner, capture)
    if capture.dns:
        yield f"{OUTPUT} -j {OUTPUT_DNS}"
    yield f"{OUTPUT} -d {_LOOPBACK} -j RETURN"
    for cidr in capture.excluded_outbound_ranges:
        yield f"{OUTPUT} -d {cidr} -j RETURN"
    for port in capture.outbound_ports:
        yield f"{OUTPUT} -p tcp --dport {port} -j {REDIRECT}"
    if capture.outbound_ranges == "*":
        yield f"{OUTPUT} -j {REDIRECT}"
    else:
        for cidr in capture.outbound_ranges:
            yield f"{OUTPUT} -d {cidr} -j {REDIRECT}"


def _owners(capture: Capture) -> list[str]:
    return [
        *(f"--uid-owner {uid}" for uid in capture.proxy_uids),
        *(f"--gid-owner {gid}" for gid in capture.proxy_gids),
    ]


def _output_of(owner: str, capture: Capture) -> Iterator[str]:
    """What one owner that is a proxy may send past the rules, and what everybody else may send to the pod itself."""
    # The app called its own service's address, and the proxy picked this very pod: in by the front door.
    # Port 53 is a resolver in the pod (Docker's is 127.0.0.11), never an endpoint.
    yield f"{OUTPUT} -o lo ! -d {_LOOPBACK} -p tcp ! --dport 53 -m owner {owner} -j {IN_REDIRECT}"
    # The app calls itself, by localhost or by the pod's address. Questions to a resolver in the pod are captured below.
    everything = not capture.dns
    yield f"{OUTPUT} -o lo {'' if everything else '-p tcp ! --dport 53 '}-m owner ! {owner} -j RETURN"
    # Whatever else the proxy sends leaves, or it would come back to the proxy for ever.
    yield f"{OUTPUT} -m owner {owner} -j RETURN"


def _dns_zones(capture: Capture) -> list[str]:
    """Two conntrack zones for questions over UDP: to us (2), and from us to the resolver (1).

    In one zone, a question of ours from a port that an app asked from in the last half minute is taken for the app's
    and sent back to us. A resolver in the pod (Docker's) answers from another port than 53, which Docker's own rules
    put right in the zone that everything is in; so our questions to it stay there.
    """
    found = []
    for owner in _owners(capture):
        found.append(f"{OUTPUT_DNS} -d {_LOCAL_RESOLVERS} -p udp --dport 53 -m owner {owner} -j RETURN")
        found.append(f"{OUTPUT_DNS} -p udp --dport 53 -m owner {owner} -j CT --zone 1")
        found.append(f"{OUTPUT_DNS} -p udp --sport {DNS_PORT} -m owner {owner} -j CT --zone 2")
    found += [f"{OUTPUT_DNS} {to}-p udp --dport 53 -j CT --zone 2" for to in _to_resolvers(capture)]
    found.append(f"{INBOUND} -p udp --sport 53 -j CT --zone 1")
    return found


def _to_resolvers(capture: Capture) -> list[str]:
    return [f"-d {resolver} " for resolver in capture.resolvers] or [""]


def apply_text(capture: Capture, saved: str = "") -> str:
    """`iptables-restore --noflush` input after which exactly `capture` holds, whatever of ours was there.

    `saved` is what `iptables-save` says now. Rules of others stay. Our jumps go first: Docker's own redirection of
    127.0.0.11 would otherwise have the app's questions before us.
    """
    wanted = rules(capture)
    return "".join(
        _table(table, wanted[table], saved) if table in wanted else _removal(table, saved) for table in TABLES
    )


def clean_text(saved: str) -> str:
    """`iptables-restore --noflush` input that takes away exactly what is ours; "" where nothing is."""
    return "".join(_removal(table, saved) for table in TABLES)


def _table(table: str, wanted: list[str], saved: str) -> str:
    used = {rule.split(" ", 1)[0] for rule in wanted}
    jumps, chains = _ours_in(table, saved)
    declared = [chain for chain in CHAINS[table] if chain in used or chain in chains]
    lines = [f"*{table}", *(f":{chain} - [0:0]" for chain in declared)]  # which empties those that exist
    lines += [f"-D {jump}" for jump in jumps]
    # The first that matches decides: the last inserted is the first asked.
    lines += [f"-I {chain} 1 {rule}" for chain, rule in JUMPS[table] if rule.rsplit(" ", 1)[1] in used]
    lines += [f"-A {rule}" for rule in wanted]
    lines += [f"-X {chain}" for chain in declared if chain not in used]
    return "\n".join([*lines, "COMMIT", ""])


def _removal(table: str, saved: str) -> str:
    jumps, chains = _ours_in(table, saved)
    if not jumps and not chains:
        return ""
    lines = [f"*{table}", *(f":{chain} - [0:0]" for chain in chains)]
    lines += [f"-D {jump}" for jump in jumps]
    lines += [f"-X {chain}" for chain in chains]
    return "\n".join([*lines, "COMMIT", ""])


def _ours_in(table: str, saved: str) -> tuple[list[str], list[str]]:
    """(jumps from chains of others into ours, our chains) of a table in what `iptables-save` printed."""
    jumps, chains, current = [], [], ""
    for line in saved.splitlines():
        if line.startswith("*"):
            current = line[1:].strip()
        elif current != table:
            continue
        elif line.startswith(":"):
            name = line[1:].split(" ", 1)[0]
            if name in CHAINS[table]:
                chains.append(name)
        elif line.startswith("-A "):
            words = line.split()
            if words[1] not in CHAINS[table] and "-j" in words and words[-1] in CHAINS[table]:
                jumps.append(line.removeprefix("-A "))
    return jumps, chains
