"""`python -m sidecar.agent.interception`: writes a pod's redirection rules, with the options of istio-iptables.

Runs once in the pod's network namespace, as root with NET_ADMIN, before the app starts. Running it again gives the
same rules; `--clean` takes them away.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from sidecar.agent.iptables_rules import Capture, apply_text, clean_text
from sidecar.agent.resolv_conf import ResolvConf, read_resolv_conf

_EXAMPLE = """\
What goes to 15001: all that users other than 1337 send over TCP, unless it stays in the pod. What goes to 15006: all
that comes to the pod. IPv4 alone; IPv6 is not captured.

example, the rules of a pod that calls a database past the mesh:
  python -m sidecar.agent.interception --redirect-dns -o 3306 -x 10.20.0.0/16 --dry-run
"""
_INTERFACE = re.compile(r"[A-Za-z0-9_.:@-]{1,15}\+?")
#: Chooses the variant that holds rules already (Docker's for its resolver), else the first that works.
_VARIANTS = ("iptables-nft", "iptables-legacy", "iptables")
_TIME_LIMIT_S = 30
_CAP_NET_ADMIN = 12


T = TypeVar("T")


class InterceptionError(Exception):
    """The rules can not be written; the text says why and what would help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the command was asked to do."""

    capture: Capture
    dry_run: bool
    clean: bool


@dataclass(frozen=True, slots=True)
class Iptables:
    """The iptables of this machine: the name of its variant, and what it holds now."""

    name: str
    saved: str

    def restore(self, text: str) -> None:
        """Apply a whole text. Raises InterceptionError with what iptables says."""
        done = _run([f"{self.name}-restore", "--noflush"], text)
        if done.returncode != 0:
            raise InterceptionError(_reason(done.stderr) or f"{self.name}-restore ended with status {done.returncode}")


def parse_request(argv: Sequence[str]) -> Request:
    """The request of a command line. Ends the process with status 2 and the flag that is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m sidecar.agent.interception",
        description="Write the iptables rules that bring a pod's traffic to its sidecar.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("-p", "--envoy-port", type=_port, default=15001, metavar="PORT", help="where outbound traffic goes (15001)")
    add("-z", "--inbound-capture-port", type=_port, default=15006, metavar="PORT", help="and inbound traffic (15006)")
    add("-u", "--proxy-uid", type=_numbers, default=(1337,), metavar="UIDS", help="who is not redirected (1337)")
    add("-g", "--proxy-gid", type=_numbers, default=(1337,), metavar="GIDS", help="and which groups (1337)")
    add("-m", "--istio-inbound-interception-mode", choices=("REDIRECT",), default="REDIRECT", help="(REDIRECT)")
    add("-i", "--istio-service-cidr", type=_included_ranges, default="*", metavar="CIDRS",
        help="redirect what goes there; '*' everything (default), '' nothing")  # fmt: skip
    add("-x", "--istio-service-exclude-cidr", type=_excluded_ranges, default=(), metavar="CIDRS",
        help="but not what goes there")  # fmt: skip
    add("-b", "--istio-inbound-ports", type=_included_ports, default="*", metavar="PORTS",
        help="redirect what comes for these; '*' all (default), '' none")  # fmt: skip
    add("-d", "--istio-local-exclude-ports", type=_ports, default=(15090, 15021, 15020), metavar="PORTS",
        help="but not what comes for these (15090,15021,15020)")  # fmt: skip
    add("-q", "--istio-outbound-ports", type=_ports, default=(), metavar="PORTS",
        help="redirect what goes to these, whatever -i says")  # fmt: skip
    add("-o", "--istio-local-outbound-ports-exclude", type=_ports, default=(), metavar="PORTS",
        help="do not redirect what goes to these")  # fmt: skip
    add("-c", "--istio-exclude-interfaces", type=_interfaces, default=(), metavar="NAMES",
        help="leave the traffic of these interfaces alone")  # fmt: skip
    add("--redirect-dns", action="store_true", help="questions to name servers go to the agent, port 15053")
    add("--dry-run", action="store_true", help="print the rules instead; needs no privileges")
    add("--clean", action="store_true", help="take our rules away, and nothing else")
    given = parser.parse_args(argv)
    capture = Capture(
        outbound_port=given.envoy_port,
        inbound_port=given.inbound_capture_port,
        proxy_uids=given.proxy_uid,
        proxy_gids=given.proxy_gid,
        outbound_ranges=given.istio_service_cidr,
        excluded_outbound_ranges=given.istio_service_exclude_cidr,
        inbound_ports=given.istio_inbound_ports,
        excluded_inbound_ports=given.istio_local_exclude_ports,
        outbound_ports=given.istio_outbound_ports,
        excluded_outbound_ports=given.istio_local_outbound_ports_exclude,
        excluded_interfaces=given.istio_exclude_interfaces,
        dns=given.redirect_dns,
    )
    return Request(capture=capture, dry_run=given.dry_run, clean=given.clean)


def main(argv: Sequence[str]) -> int:
    """Do what the command line asks; the exit status."""
    request = parse_request(argv)
    if request.capture.dns:
        resolvers = resolvers_in_pod(read_resolv_conf())
        request = replace(request, capture=replace(request.capture, resolvers=resolvers))
    if request.dry_run and not request.clean:
        print(apply_text(request.capture), end="")
        return 0
    try:
        iptables = find_iptables()
        if request.clean:
            text = clean_text(iptables.saved)
            if request.dry_run:
                print(text, end="")
            else:
                _clean(iptables, text)
            return 0
        _apply(iptables, request.capture)
    except InterceptionError as error:
        print(f"interception: {error}", file=sys.stderr)
        return 1
    return 0


def resolvers_in_pod(configured: ResolvConf) -> tuple[str, ...]:
    """The resolvers, where the app asks only such as live in its own network namespace, as Docker's does; else none."""
    addresses = [ipaddress.ip_address(address.partition("%")[0]) for address, _ in configured.nameservers]
    inside = all(each.version == 4 and each.is_loopback for each in addresses)
    return tuple(f"{each}/32" for each in addresses) if inside else ()


def find_iptables() -> Iptables:
    """The variant that holds rules already, else the first that works. Raises InterceptionError."""
    problems, working = [], []
    for name in _VARIANTS:
        if shutil.which(f"{name}-restore") is None or shutil.which(f"{name}-save") is None:
            continue
        # Also makes the tables known to the kernel: a save alone shows nothing of a table that nobody has used yet.
        probe = _run([f"{name}-restore", "--noflush"], "*nat\nCOMMIT\n")
        saved = _run([f"{name}-save"])
        if probe.returncode or saved.returncode:
            problems.append(f"{name}: {_reason(probe.stderr or saved.stderr)}")
            continue
        found = Iptables(name, saved.stdout)
        if any(line.startswith("-A ") for line in saved.stdout.splitlines()):
            return found
        working.append(found)
    if working:
        return working[0]
    if not _has_net_admin():
        raise InterceptionError(
            "may not write iptables rules: run as root with the capability NET_ADMIN in the pod's network namespace "
            "(compose: user: root, cap_add: [NET_ADMIN])"
        )
    if problems:
        raise InterceptionError(f"no iptables works here: {'; '.join(problems)}")
    raise InterceptionError("no iptables-restore here: install the package iptables")


def _apply(iptables: Iptables, capture: Capture) -> None:
    try:
        iptables.restore(apply_text(capture, iptables.saved))
    except InterceptionError as error:
        # Tables are applied one by one: what the first got must not stay when the second fails.
        left = find_iptables()
        _clean(left, clean_text(left.saved), quiet=True)
        raise InterceptionError(f"the rules were refused, and none is in force: {error}") from error
    print(f"interception: rules written with {iptables.name}", file=sys.stderr)


def _clean(iptables: Iptables, text: str, quiet: bool = False) -> None:
    if text:
        iptables.restore(text)
    if not quiet:
        print(f"interception: {'rules removed' if text else 'there are no rules of ours'}", file=sys.stderr)


def _run(command: Sequence[str], text: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, input=text, capture_output=True, text=True, timeout=_TIME_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InterceptionError(f"{command[0]}: {error}") from error


def _reason(text: str) -> str:
    """What a failed iptables printed, without its warnings, as one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("# Warning")]
    return " ".join(lines)[:500]


def _has_net_admin() -> bool:
    with open(f"/proc/{os.getpid()}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> _CAP_NET_ADMIN & 1)
    return False


# ---- values of flags; argparse names the flag in front of what these say


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535")
    return int(text)


def _list(text: str, one: Callable[[str], T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(one(part.strip()) for part in text.split(",") if part.strip()))


def _ports(text: str) -> tuple[int, ...]:
    return _list(text, _port)


def _included_ports(text: str) -> tuple[int, ...] | str:
    return "*" if text.strip() == "*" else _ports(text)


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) >= 2**32 - 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not the number of a user or group, such as 1337")
    return int(text)


def _numbers(text: str) -> tuple[int, ...]:
    return _list(text, _number)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a range of addresses such as 10.96.0.0/12") from error


def _included_ranges(text: str) -> tuple[str, ...] | str:
    if text.strip() == "*":
        return "*"
    networks = _list(text, _network)
    for one in networks:
        if one.version == 6:
            raise argparse.ArgumentTypeError(f"'{one}': IPv6 is not captured; name IPv4 ranges")
    return tuple(str(one) for one in networks)


def _excluded_ranges(text: str) -> tuple[str, ...]:
    if text.strip() == "*":
        raise argparse.ArgumentTypeError("'*' would exclude everything; to redirect nothing say -i ''")
    return tuple(str(one) for one in _list(text, _network) if one.version == 4)  # IPv6 is not captured anyway


def _interface(text: str) -> str:
    if not _INTERFACE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of an interface, such as eth1 or docker+")
    return text


def _interfaces(text: str) -> tuple[str, ...]:
    return _list(text, _interface)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
