"""A stand-in for the control plane's REST API: the resource paths, distribution, syncz and watch, in memory."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Resource = dict[str, Any]


class FakeControlPlane:
    """State that tests set and look at. `outcomes` are the lines of every distribution answer."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str, str], Resource] = {}
        self.revision = 0
        self.writes: list[tuple[str, str, str]] = []
        self.outcomes: list[Resource] = []
        self.refusals: dict[str, Resource] = {}
        self.conflicts = 0
        self.syncz: list[Resource] = []
        self.watch_events: list[Resource] = []
        self.distribution_requests: list[dict[str, list[str]]] = []

    def handle(self, method: str, target: str, body: Resource | None) -> tuple[int, Any, bool]:
        """(status, answer, whether the answer is a list of NDJSON lines)."""
        url = urlsplit(target)
        query = parse_qs(url.query)
        parts = url.path.strip("/").split("/")
        if url.path == "/ready":
            return 200, {}, False
        if url.path == "/debug/syncz":
            return 200, self.syncz, False
        if url.path in ("/debug/mesh", "/debug/endpointz"):
            return 200, [] if parts[1] == "endpointz" else {}, False
        if url.path == "/apis/lugsail.io/v1/workloads":
            return 404, {"kind": "Status", "message": "not found", "reason": "NotFound"}, False
        if parts[:3] == ["apis", "lugsail.io", "v1"]:
            self.distribution_requests.append(query)
            return 200, [{"revision": int(query["revision"][0]), "proxies": []}, *self.outcomes, {"done": True}], True
        namespace = parts[4] if len(parts) > 4 and parts[3] == "namespaces" else None
        rest = parts[5:] if namespace else parts[3:]
        plural, name = rest[0], rest[1] if len(rest) > 1 else None
        if method == "GET" and "watch" in query:
            return 200, self.watch_events, True
        if method == "GET" and name is None:
            found = [r for (ns, p, _), r in self.stored.items() if p == plural and namespace in (None, ns)]
            return 200, {"items": found, "metadata": {"resourceVersion": str(self.revision)}}, False
        key = (str(namespace), plural, str(name or (body or {}).get("metadata", {}).get("name")))
        return (*self._one(method, key, body), False)

    def _one(self, method: str, key: tuple[str, str, str], body: Resource | None) -> tuple[int, Any]:
        if method != "GET" and key[2] in self.refusals:
            return 422, self.refusals[key[2]]
        if method in ("GET", "DELETE") and key not in self.stored:
            return 404, {"kind": "Status", "message": "not found", "reason": "NotFound"}
        if method == "GET":
            return 200, self.stored[key]
        if method == "PUT" and self.conflicts:
            self.conflicts -= 1
            return 409, {"kind": "Status", "message": "it has changed", "reason": "Conflict"}
        self.revision += 1
        self.writes.append((method, key[1], key[2]))
        if method == "DELETE":
            return 200, self.stored.pop(key)
        assert body is not None
        stored = {**body, "metadata": {**body["metadata"], "namespace": key[0], "resourceVersion": str(self.revision)}}
        self.stored[key] = stored
        return 201 if method == "POST" else 200, stored


def handler_for(plane: FakeControlPlane) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, answer, lines = plane.handle(self.command, self.path, body)
            data = "".join(json.dumps(each) + "\n" for each in answer) if lines else json.dumps(answer)
            self.send_response(status)
            self.send_header("content-length", str(len(data.encode())))
            self.send_header("X-Lugsail-Revision", str(plane.revision))
            self.end_headers()
            self.wfile.write(data.encode())

        do_GET = do_POST = do_PUT = do_DELETE = _answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


@contextmanager
def serving(plane: FakeControlPlane, address: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve it; gives its URL."""
    server = ThreadingHTTPServer((address, port), handler_for(plane))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://{address}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def main(argv: list[str]) -> int:
    """As a process of the lab: `--address IP`, its other options ignored."""
    address = argv[argv.index("--address") + 1]
    server = ThreadingHTTPServer((address, 8080), handler_for(FakeControlPlane()))
    print("fake control plane", file=sys.stderr)
    server.serve_forever()
    return 0
