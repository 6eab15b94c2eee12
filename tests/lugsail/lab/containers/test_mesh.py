"""What the engine answers to an inspection, over HTTP as Docker's library asks it."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator

import docker
import pytest

from lugsail.lab.containers.mesh import inspect
from tests.lugsail.lab.containers.engine_answers import containers, control_plane


class Answers(http.server.BaseHTTPRequestHandler):
    known: bytes = b""

    def do_GET(self) -> None:
        found = self.path.endswith("/json") and bool(self.known)
        body = self.known if found else b'{"message": "No such container: made a moment ago"}'
        self.send_response(200 if found else 404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def client() -> Iterator[docker.APIClient]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made = docker.APIClient(base_url=f"tcp://127.0.0.1:{server.server_port}", version="1.41")
        made.trust_env = False
        yield made
        made.close()
        server.shutdown()


def test_a_container_that_is_listed_and_not_there_yet(
    client: docker.APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    (listed,) = containers(control_plane())
    assert inspect(client, listed) == {}
    monkeypatch.setattr(Answers, "known", json.dumps({"RestartCount": 3}).encode())
    assert inspect(client, listed) == {"RestartCount": 3}
