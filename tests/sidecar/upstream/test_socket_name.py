"""Socket names as text."""

from __future__ import annotations

from sidecar.upstream.socket_name import socket_name


def test_names() -> None:
    assert socket_name(("127.0.0.1", 80)) == "127.0.0.1:80"
    assert socket_name(("::1", 80, 0, 0)) == "[::1]:80"
    assert socket_name("/run/x.sock") == "/run/x.sock"
    assert socket_name(None) == ""
