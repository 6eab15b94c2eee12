import socket
import threading

import pytest

from sidecar.agent.health import active_requests, ask_admin, is_ready


def serve_once(answer: bytes) -> tuple[str, int]:
    """A server that gives one connection one answer."""
    listening = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)
        listening.close()

    threading.Thread(target=run, daemon=True).start()
    ip, port = listening.getsockname()
    return ip, port


def test_a_plain_answer() -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nLIVE\n"
    assert ask_admin(*serve_once(answer), "/ready") == (200, "LIVE\n")
    assert is_ready(*serve_once(answer))
    assert not is_ready(*serve_once(b"HTTP/1.1 503 Service Unavailable\r\n\r\nPRE_INITIALIZING\n"))


def test_a_chunked_answer() -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    assert ask_admin(*serve_once(answer), "/stats") == (200, "abcde")


def test_something_else_than_http() -> None:
    with pytest.raises(OSError, match="does not speak HTTP"):
        ask_admin(*serve_once(b"SSH-2.0-x\r\n"), "/ready")


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
    assert not is_ready(*address)


def test_requests_in_flight_do_not_count_the_admin_page() -> None:
    body = (
        b"http.admin.downstream_rq_active: 1\nhttp.inbound_1;.downstream_rq_active: 2\nhttp.x.downstream_rq_active: 3\n"
    )
    answer = b"HTTP/1.1 200 OK\r\n\r\n" + body
    assert active_requests(*serve_once(answer)) == 5
