"""The pod's own address, asked of the kernel: `--ip auto`."""

from __future__ import annotations

import fcntl
import pathlib
import socket
import struct

_ROUTES = pathlib.Path("/proc/net/route")
_SIOCGIFADDR = 0x8915
_RTF_UP = 0x1


class NoAddress(Exception):
    """This network namespace has no IPv4 address but loopback's."""


def pod_address() -> str:
    """The IPv4 address of the default route's interface, else of the first other than lo. Raises NoAddress."""
    preferred = default_interface(_ROUTES.read_text(encoding="ascii"))
    names = [name for _, name in socket.if_nameindex() if name != "lo"]
    for name in ([preferred] if preferred else []) + names:
        address = _address_of(name)
        if address:
            return address
    raise NoAddress(f"no interface has an IPv4 address (there are: {', '.join(names) or 'none but lo'})")


def default_interface(routes: str) -> str:
    """The interface of the default route with the lowest metric in /proc/net/route; "" without one. Pure."""
    found: list[tuple[int, str]] = []
    for line in routes.splitlines()[1:]:
        words = line.split()
        # Iface Destination Gateway Flags RefCnt Use Metric Mask …, numbers in hexadecimal, the metric in decimal.
        if len(words) >= 8 and words[1] == words[7] == "00000000" and int(words[3], 16) & _RTF_UP:
            found.append((int(words[6]), words[0]))
    return min(found)[1] if found else ""


def _address_of(interface: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        request = struct.pack("256s", interface.encode()[:15])
        try:
            answer = fcntl.ioctl(asking.fileno(), _SIOCGIFADDR, request)
        except OSError:
            return ""
    return socket.inet_ntoa(answer[20:24])
