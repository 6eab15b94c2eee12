"""The REST client against a stand-in, and against connections that break."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from lugsail.client import ApiError, Client, Unreachable
from tests.lugsail.fake_control_plane import FakeControlPlane, serving

GROUP = "networking.istio.io"
RESOURCE = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "Gateway",
    "metadata": {"name": "g"},
    "spec": {"servers": []},
}


@pytest.fixture
def plane() -> FakeControlPlane:
    return FakeControlPlane()


@pytest.fixture
def client(plane: FakeControlPlane) -> Iterator[Client]:
    with serving(plane) as url:
        client = Client(url + "/")
        yield client
        client.close()


def test_create_get_replace_list_delete(client: Client) -> None:
    assert client.is_ready()
    assert client.get(GROUP, "gateways", "default", "g") is None
    written = client.create(GROUP, "gateways", "default", RESOURCE)
    assert (written.revision, written.resource["metadata"]["resourceVersion"]) == (1, "1")
    assert client.replace(GROUP, "gateways", "default", RESOURCE).revision == 2
    listed = client.list(GROUP, "gateways", None)
    assert [item["metadata"]["name"] for item in listed["items"]] == ["g"]
    assert client.list(GROUP, "gateways", "other")["items"] == []
    assert client.delete(GROUP, "gateways", "default", "g") == 3
    assert client.delete(GROUP, "gateways", "default", "g") is None


def test_a_refusal_has_its_causes(client: Client, plane: FakeControlPlane) -> None:
    causes = [{"field": "spec.servers", "message": "is required"}]
    plane.refusals["g"] = {"message": "invalid", "reason": "Invalid", "details": {"causes": causes}}
    with pytest.raises(ApiError) as caught:
        client.create(GROUP, "gateways", "default", RESOURCE)
    assert (caught.value.status, caught.value.reason) == (422, "Invalid")
    assert caught.value.causes == [("spec.servers", "is required")]
    assert str(caught.value) == "invalid"


def test_distribution_and_watch_are_streams(client: Client, plane: FakeControlPlane) -> None:
    plane.outcomes = [{"proxy": "a.default", "state": "ACKED"}]
    assert [sorted(line) for line in client.distribution(7, 1.5)] == [
        ["proxies", "revision"],
        ["proxy", "state"],
        ["done"],
    ]
    assert plane.distribution_requests == [{"revision": ["7"], "timeout": ["1.5s"]}]
    plane.watch_events = [{"type": "ADDED", "object": {}}]
    assert list(client.watch(GROUP, "gateways", None, "1")) == plane.watch_events


def test_nobody_there() -> None:
    client = Client("http://127.0.0.1:1")
    with pytest.raises(Unreachable, match=r"http://127.0.0.1:1 \(Connection refused\)"):
        client.debug("syncz")
    with pytest.raises(Unreachable):
        list(client.distribution(1, 1.0))
    assert not client.is_ready()


def test_a_kept_alive_connection_that_was_closed_is_opened_anew() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(2):  # one answer per connection, and no `connection: close` to warn of it
                peer, _ = server.accept()
                peer.recv(65536)
                peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]")
                peer.close()

        thread = threading.Thread(target=serve)
        thread.start()
        client = Client(f"http://127.0.0.1:{server.getsockname()[1]}")
        assert client.debug("syncz") == []
        assert client.debug("syncz") == []
        thread.join()


def test_an_error_that_is_no_status_is_shown_as_it_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            peer, _ = server.accept()
            peer.recv(65536)
            peer.sendall(b"HTTP/1.1 502 Bad\r\ncontent-length: 4\r\n\r\noops")
            peer.close()

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(ApiError, match="answered 502: oops"):
            Client(f"http://127.0.0.1:{server.getsockname()[1]}").debug("syncz")
        thread.join()
