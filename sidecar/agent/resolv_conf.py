"""What /etc/resolv.conf says that a forwarder needs (resolv.conf(5)). Pure but for `read_resolv_conf`."""

from __future__ import annotations

import ipaddress
import pathlib
from dataclasses import dataclass

DNS_PORT = 53
#: The C library reads no more than this.
MAX_NAMESERVERS = 3


@dataclass(frozen=True, slots=True)
class ResolvConf:
    """`nameservers`: addresses with ports, in order; `search`: domains without a dot at the end."""

    nameservers: tuple[tuple[str, int], ...] = ()
    search: tuple[str, ...] = ()


def parse_resolv_conf(text: str) -> ResolvConf:
    """Lines that are not understood are passed over; of several `search` or `domain` lines the last counts."""
    nameservers: list[tuple[str, int]] = []
    search: tuple[str, ...] = ()
    for line in text.splitlines():
        if line.startswith(("#", ";")):
            continue
        words = line.split()
        if len(words) < 2:
            continue
        keyword, *values = words
        if keyword == "nameserver" and _is_ip(values[0]):
            nameservers.append((values[0], DNS_PORT))
        elif keyword in ("search", "domain"):
            search = tuple(domain.rstrip(".") for domain in values if domain.strip("."))
    return ResolvConf(tuple(nameservers[:MAX_NAMESERVERS]), search)


def read_resolv_conf(path: pathlib.Path = pathlib.Path("/etc/resolv.conf")) -> ResolvConf:
    """The file's content. Without a nameserver, or unreadable, that is 127.0.0.1, as for the C library."""
    try:
        found = parse_resolv_conf(path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        found = ResolvConf()
    return found if found.nameservers else ResolvConf((("127.0.0.1", DNS_PORT),), found.search)


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)  # with a zone too: fe80::1%eth0
    except ValueError:
        return False
    return True
