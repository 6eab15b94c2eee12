"""Who has which address in the process lab.

The lab lives in one /16 of the loopback network, its *subnet* (`127.20` unless told otherwise):

    127.20.0.1    the control plane
    127.20.0.k    what watches the mesh: tracing (2), metrics (3), Prometheus (4)
    127.20.n.1    pod n: what others call it by; its sidecar's inbound listeners and admin page
    127.20.n.2    pod n: where its own requests leave; its sidecar's outbound listeners
    127.20.255.k  the virtual address of service k; nothing listens there

Apps bind a private port of 127.0.0.1 and are reached through their sidecar alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

DEFAULT_SUBNET = "127.20"

CONTROL_PLANE_HTTP_PORT = 8080
CONTROL_PLANE_XDS_PORT = 15010
CONTROL_PLANE_MONITORING_PORT = 15014

ADMIN_PORT = 15000
HEALTH_PORT = 15021
METRICS_PORT = 15090
OUTBOUND_HTTP_PORT = 15080

MAX_PODS = 199  # one third octet each; also keeps the private ports of neighbouring subnets apart

_SUBNET = re.compile(r"127\.(\d{1,3})")


class BadSubnet(ValueError):
    """The subnet is not of the form `127.N`."""


@dataclass(frozen=True, slots=True)
class Subnet:
    """One /16 of the loopback network, written by its first two octets (`127.20`)."""

    prefix: str

    @classmethod
    def parse(cls, text: str) -> Subnet:
        """Read `127.N` with N from 1 to 254 (127.0 is everybody's localhost); raises BadSubnet."""
        match = _SUBNET.fullmatch(text.strip())
        if match is None or not 1 <= int(match[1]) <= 254:
            raise BadSubnet(
                f"LUGSAIL_SUBNET={text!r} is not a loopback subnet; give its first two octets, as in {DEFAULT_SUBNET}"
            )
        return cls(f"127.{int(match[1])}")

    @property
    def number(self) -> int:
        """The second octet."""
        return int(self.prefix.partition(".")[2])

    @property
    def control_plane_ip(self) -> str:
        return f"{self.prefix}.0.1"

    @property
    def control_plane_url(self) -> str:
        return f"http://{self.control_plane_ip}:{CONTROL_PLANE_HTTP_PORT}"

    @property
    def discovery(self) -> str:
        """Where sidecars ask for xDS, as HOST:PORT."""
        return f"{self.control_plane_ip}:{CONTROL_PLANE_XDS_PORT}"

    def observer_ip(self, host: int) -> str:
        """The address of what watches the mesh, by its last octet (2…254)."""
        if not 2 <= host <= 254:
            raise ValueError(f"{host} is not between 2 and 254")
        return f"{self.prefix}.0.{host}"

    def pod_ip(self, n: int) -> str:
        """The address that others reach pod n at."""
        return f"{self.prefix}.{_pod_number(n)}.1"

    def outbound_ip(self, n: int) -> str:
        """The address that pod n's own requests leave by."""
        return f"{self.prefix}.{_pod_number(n)}.2"

    def service_ip(self, k: int) -> str:
        """The virtual address of service k (1…254)."""
        if not 1 <= k <= 254:
            raise ValueError(f"service number {k} is not between 1 and 254")
        return f"{self.prefix}.255.{k}"

    def preferred_app_port(self, n: int) -> int:
        """The private port of 127.0.0.1 that pod n's app gets when it is free.

        Spread by subnet so that two labs on one machine seldom meet; below the ephemeral range for the usual subnets.
        """
        return 10_000 + self.number * (MAX_PODS + 1) + _pod_number(n)


def _pod_number(n: int) -> int:
    if not 1 <= n <= MAX_PODS:
        raise ValueError(f"pod number {n} is not between 1 and {MAX_PODS}: the lab holds {MAX_PODS} pods at most")
    return n
