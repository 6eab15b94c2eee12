"""What can stand in the way of a lab, looked at before anything starts; each answer says the remedy."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Sequence

from lugsail.lab.addressing import (
    ADMIN_PORT,
    CONTROL_PLANE_HTTP_PORT,
    CONTROL_PLANE_MONITORING_PORT,
    CONTROL_PLANE_XDS_PORT,
    HEALTH_PORT,
    METRICS_PORT,
    OUTBOUND_HTTP_PORT,
    Subnet,
)
from lugsail.lab.errors import LabError
from lugsail.lab.observers import Observer
from lugsail.lab.pod import Pod
from lugsail.lab.processes import owner_of_port


class CannotStart(LabError):
    """Something outside the lab keeps it from starting."""


def bind_error(ip: str, port: int) -> int | None:
    """The errno of binding a listener there, or None when it works."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ip, port))
            probe.listen(1)
        except OSError as error:
            return error.errno or errno.EIO
    return None


def check_gateway_port(port: int) -> None:
    """127.0.0.1:port must be free for the ingress gateway; raises CannotStart."""
    failure = bind_error("127.0.0.1", port)
    if failure is None:
        return
    if failure == errno.EACCES:
        raise CannotStart(f"Port {port} needs root. Choose one above 1023, as in: lugsail up --port 8080")
    owner = owner_of_port("127.0.0.1", port)
    by = f" by {owner}" if owner else ""
    raise CannotStart(
        f"Port {port} of 127.0.0.1 is taken{by}. Stop that, or choose another: lugsail up --port {port + 1}"
    )


def check_control_plane_address(subnet: Subnet) -> None:
    """The control plane's ports must be free; taken ones mean another lab on this subnet. Raises CannotStart."""
    ip = subnet.control_plane_ip
    for port in (CONTROL_PLANE_HTTP_PORT, CONTROL_PLANE_XDS_PORT, CONTROL_PLANE_MONITORING_PORT):
        failure = bind_error(ip, port)
        if failure is None:
            continue
        if failure == errno.EADDRNOTAVAIL:
            raise CannotStart(missing_address(subnet, [ip]))
        owner = owner_of_port(ip, port)
        by = f" by {owner}" if owner else ""
        raise CannotStart(
            f"{ip}:{port} is taken{by}: another mesh seems to run on {subnet.prefix}.0.0/16 "
            f"under another LUGSAIL_HOME. "
            f"Stop it there with `lugsail down`, or use a subnet of your own: "
            f"LUGSAIL_SUBNET=127.{subnet.number % 254 + 1} lugsail up"
        )


def check_observer_ports(observers: Sequence[Observer], subnet: Subnet) -> None:
    """Every port of what watches the mesh must be free; raises CannotStart."""
    for each in observers:
        ip = each.ip(subnet)
        for port in each.ports:
            failure = bind_error(ip, port.number)
            if failure is None:
                continue
            if failure == errno.EADDRNOTAVAIL:
                raise CannotStart(missing_address(subnet, [ip]))
            owner = owner_of_port(ip, port.number)
            by = f" by {owner}" if owner else ""
            raise CannotStart(
                f"{ip}:{port.number}, where {each.name} will listen, is taken{by}. Stop that, do without "
                f"(lugsail up --without {each.name}), or use another subnet: "
                f"LUGSAIL_SUBNET=127.{subnet.number % 254 + 1} lugsail up"
            )


def check_addresses(subnet: Subnet, addresses: list[str]) -> None:
    """Every address must exist on the loopback interface; raises CannotStart with the commands that add them."""
    missing = [ip for ip in addresses if bind_error(ip, 0) is not None]
    if missing:
        raise CannotStart(missing_address(subnet, missing))


def check_pod_ports(pods: Sequence[Pod]) -> None:
    """Every port that a sidecar will listen on must be free; raises CannotStart."""
    for pod in pods:
        inbound = [] if pod.kind == "router" else [port.number for port in pod.workload.ports]
        places = [(pod.ip, port) for port in (*inbound, ADMIN_PORT, HEALTH_PORT, METRICS_PORT)]
        if pod.kind == "sidecar":
            places.append((pod.outbound_ip, OUTBOUND_HTTP_PORT))
        for ip, port in places:
            if bind_error(ip, port) == errno.EADDRINUSE:
                owner = owner_of_port(ip, port)
                by = f" by {owner}" if owner else ""
                raise CannotStart(
                    f"{ip}:{port}, where the sidecar of {pod.name} will listen, is taken{by}. Stop that, "
                    f"or use another subnet: LUGSAIL_SUBNET=127.{pod.subnet.number % 254 + 1} lugsail up"
                )


def missing_address(subnet: Subnet, missing: list[str]) -> str:
    """Why the addresses are not there and how to add them, for this platform."""
    first = missing[0]
    if sys.platform == "darwin":
        loop = f"for ip in {' '.join(missing)}; do sudo ifconfig lo0 alias $ip up; done"
        why = f"macOS gives the loopback interface 127.0.0.1 alone, and the lab needs {first} too."
        return f"{why} Add what it needs: {loop}"
    return (
        f"The address {first} is not there: on Linux all of {subnet.prefix}.0.0/16 belongs to the interface `lo`. "
        f"Is it up, with the mask /8? `ip addr show lo` tells; `sudo ip addr add 127.0.0.1/8 dev lo` and "
        f"`sudo ip link set lo up` repair it."
    )


def free_port(preferred: int, taken: set[int]) -> int:
    """`preferred` when it is free on 127.0.0.1, else one that the system picks; never one of `taken`."""
    if preferred not in taken and bind_error("127.0.0.1", preferred) is None:
        return preferred
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port
