from __future__ import annotations

import errno
import socket

import pytest

from lugsail.lab import checks
from lugsail.lab.addressing import Subnet
from lugsail.lab.checks import (
    CannotStart,
    check_addresses,
    check_gateway_port,
    check_pod_ports,
    free_port,
    missing_address,
)
from lugsail.lab.pod import Pod, gateway_workload, http_workload

SUBNET = Subnet("127.133")


def test_a_taken_port_names_its_owner_and_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(
            CannotStart, match=rf"Port {port} of 127\.0\.0\.1 is taken by .*\(pid \d+\).* --port {port + 1}"
        ):
            check_gateway_port(port)
    check_gateway_port(port)


def test_a_port_for_root_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "bind_error", lambda ip, port: errno.EACCES)
    with pytest.raises(CannotStart, match="Port 80 needs root"):
        check_gateway_port(80)


def test_missing_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CannotStart, match=r"192\.0\.2\.1 is not there"):
        check_addresses(SUBNET, ["127.0.0.1", "192.0.2.1"])
    check_addresses(SUBNET, ["127.133.1.1"])
    monkeypatch.setattr("sys.platform", "darwin")
    text = missing_address(SUBNET, ["127.133.1.1", "127.133.1.2"])
    assert "for ip in 127.133.1.1 127.133.1.2; do sudo ifconfig lo0 alias $ip up; done" in text


def test_a_pods_port_that_is_taken() -> None:
    workload = http_workload(name="a-v1", namespace="default", app="a", version="v1", port=9080)
    pods = [Pod(workload, 1, SUBNET), Pod(gateway_workload(), 2, SUBNET, kind="router")]
    check_pod_ports(pods)
    for ip, port in (("127.133.1.1", 9080), ("127.133.1.2", 15080), ("127.133.2.1", 15021)):
        where = rf"{ip}:{port}, where the sidecar of .* will listen, is taken by .*\(pid \d+\)"
        with socket.create_server((ip, port)), pytest.raises(CannotStart, match=where):
            check_pod_ports(pods)


def test_the_preferred_port_unless_it_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert free_port(port, set()) != port
    assert free_port(port, set()) == port
    assert free_port(port, {port}) != port
