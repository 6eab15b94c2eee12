"""The lab run's own parts; the lab itself is tested end to end."""

import socket

from loadtests.lab_run import free_port, has_page


def test_a_free_port_can_be_bound():
    with socket.create_server(("127.0.0.1", free_port())):
        pass


def test_nobody_listening_has_no_page():
    assert not has_page(f"http://127.0.0.1:{free_port()}/")
