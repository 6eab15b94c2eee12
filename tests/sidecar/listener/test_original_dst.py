import socket

from sidecar.listener.original_dst import original_destination, parse_sockaddr_in, parse_sockaddr_in6


def test_addresses_of_the_kernel() -> None:
    v4 = b"\x02\x00" + (9080).to_bytes(2, "big") + socket.inet_aton("10.1.2.3") + bytes(8)
    assert parse_sockaddr_in(v4) == ("10.1.2.3", 9080)
    v6 = b"\x0a\x00" + (443).to_bytes(2, "big") + bytes(4) + socket.inet_pton(socket.AF_INET6, "fd00::1") + bytes(4)
    assert parse_sockaddr_in6(v6) == ("fd00::1", 443)


def test_a_connection_that_was_not_redirected() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            # Where connections are tracked, the kernel knows where it was going: to the server itself.
            assert original_destination(accepted) in (None, server.getsockname())
        assert client.fileno() > 0
