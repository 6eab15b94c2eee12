"""Reads the values that injection annotations hold: switches, ports, CIDRs, names. Errors say what would be right."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

# Kubernetes allows 256 KiB for all annotations of an object; nothing here needs a part of that.
VALUE_LIMIT = 64 * 1024
_ITEMS_LIMIT = 1000
# Linux: IFNAMSIZ - 1 = 15 characters. iptables takes a trailing + as a wildcard.
_INTERFACE = re.compile(r"[A-Za-z0-9_.:@-]{1,15}\+?\Z")
_YES = frozenset(("true", "yes", "y", "on"))
_NO = frozenset(("false", "no", "n", "off"))
EVERYTHING = "*"


class BadAnnotation(ValueError):
    """An annotation (a label, in Compose) that cannot be used: where it is, which one, its value, and what is right."""

    def __init__(self, where: str, annotation: str, value: object, hint: str) -> None:
        self.where, self.annotation, self.value, self.hint = where, annotation, value, hint
        shown = repr(value)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        super().__init__(f"{where}: {annotation}: {shown}: {hint}")


def parse_switch(value: str, where: str, annotation: str) -> bool:
    """`true`, `yes`, `y`, `on` and their opposites, in any case, as Istio's injector reads them."""
    text = value.strip().lower()
    if text in _YES or text in _NO:
        return text in _YES
    raise BadAnnotation(where, annotation, value, 'expected "true" or "false"')


def parse_port(value: str, where: str, annotation: str) -> int:
    """One port, 1 to 65535."""
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535:
        return int(text)
    raise BadAnnotation(where, annotation, value, f"{text!r} is not a port from 1 to 65535")


def parse_ports(value: str, where: str, annotation: str, hint: str = "") -> tuple[int, ...]:
    """`80,8080` → ports in that order, each once; nothing written is no port."""
    ports: dict[int, None] = {}
    for item in _items(value, where, annotation):
        if not (item.isascii() and item.isdigit() and len(item) <= 5 and 1 <= int(item) <= 65535):
            right = hint or "write ports separated by commas, such as 80,8080"
            raise BadAnnotation(where, annotation, value, f"{item!r} is not a port from 1 to 65535; {right}")
        ports[int(item)] = None
    return tuple(ports)


def parse_ports_or_all(value: str, where: str, annotation: str) -> str:
    """`*`, or ports as parse_ports takes them, written back with commas."""
    if value.strip() == EVERYTHING:
        return EVERYTHING
    return joined(parse_ports(value, where, annotation, "write * for all, or ports such as 80,8080"))


def parse_cidrs(value: str, where: str, annotation: str, hint: str = "") -> tuple[str, ...]:
    """`10.0.0.0/8,192.168.1.0/24` → networks in that order, each once, host bits cleared as iptables would."""
    networks: dict[str, None] = {}
    for item in _items(value, where, annotation):
        try:
            network = ipaddress.ip_network(item, strict=False)
        except ValueError:
            right = hint or "write networks such as 10.0.0.0/8,192.168.1.0/24"
            raise BadAnnotation(where, annotation, value, f"{item!r} is not a network; {right}") from None
        if "/" not in item:
            raise BadAnnotation(where, annotation, value, f"{item!r} has no prefix length; write {network}")
        networks[str(network)] = None
    return tuple(networks)


def parse_cidrs_or_all(value: str, where: str, annotation: str) -> str:
    """`*`, or networks as parse_cidrs takes them, written back with commas."""
    if value.strip() == EVERYTHING:
        return EVERYTHING
    networks = parse_cidrs(value, where, annotation, "write * for all, or networks such as 10.0.0.0/8")
    for network in networks:
        if ":" in network:
            raise BadAnnotation(where, annotation, value, f"{network}: IPv6 is not captured; write IPv4 networks")
    return joined(networks)


def parse_interfaces(value: str, where: str, annotation: str) -> tuple[str, ...]:
    """`eth1,net+` → names of network interfaces."""
    names = dict.fromkeys(_items(value, where, annotation))
    for name in names:
        if not _INTERFACE.match(name):
            hint = f"{name!r} is not a network interface; write names such as eth1,net1"
            raise BadAnnotation(where, annotation, value, hint)
    return tuple(names)


def parse_choice(value: str, where: str, annotation: str, choices: Sequence[str]) -> str:
    """One of `choices`, as written there; upper and lower case are not told apart."""
    for choice in choices:
        if choice.lower() == value.strip().lower():
            return choice
    raise BadAnnotation(where, annotation, value, f"choose {', '.join(choices[:-1])} or {choices[-1]}")


def joined(values: Sequence[int] | Sequence[str]) -> str:
    """As command lines and annotations list things: `80,8080`."""
    return ",".join(str(value) for value in values)


def _items(value: str, where: str, annotation: str) -> list[str]:
    if len(value) > VALUE_LIMIT or value.count(",") >= _ITEMS_LIMIT:
        raise BadAnnotation(where, annotation, value[:40], f"longer than {_ITEMS_LIMIT} items; shorten the list")
    return [item.strip() for item in value.split(",") if item.strip()]
