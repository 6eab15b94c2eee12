from __future__ import annotations

import pytest
from envoy.config.core.v3.address_pb2 import Address

from sidecar.compiler.addresses import socket_address
from sidecar.config.rejected import At, Rejected
from tests.sidecar.compiler.protos import proto


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        ("{}", "", "only a socket_address"),
        ("{pipe: {path: /x}}", "", "only a socket_address"),
        ("{socket_address: {address: '', port_value: 1}}", "socket_address.address", "empty"),
        ("{socket_address: {address: a, port_value: 65536}}", "socket_address.port_value", "is not a port"),
        ("{socket_address: {protocol: UDP, address: a, port_value: 1}}", "socket_address.protocol", "only TCP"),
        ("{socket_address: {address: a, named_port: http}}", "socket_address.named_port", "not supported"),
    ],
)
def test_refuses(text: str, path: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason) as caught:
        socket_address(proto(Address, text), At("r"))
    assert caught.value.path == path
