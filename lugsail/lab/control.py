"""The lab's own socket: other `lugsail` commands stop the lab through it, and programs join it.

A Unix socket of this user alone, in the state folder. One request per connection, a line of JSON, then answers:

    {"op": "stop"}                              -> events until the lab has ended
    {"op": "status"}                            -> the state as in lab.json
    {"op": "join", "workload": {…}, "proxy": …}
        -> {"pod": {…}}                         its sidecar is ready: start the program
        -> {"joined": true}                     its port answers: it gets traffic now
       The pod leaves when the connection closes, however the other end came to its end.

A refusal is {"error": text, "exit_code": n}.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lugsail.lab import probes
from lugsail.lab.checks import CannotStart
from lugsail.lab.mesh import Mesh
from lugsail.lab.pod import Pod, http_workload

REQUEST_LIMIT_BYTES = 65536
JOIN_POLL_S = 0.05


class ControlServer:
    """Serves the socket for one mesh. `events` of the mesh reach those who wait for its end."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._listeners: set[asyncio.StreamWriter] = set()

    async def serve(self) -> None:
        path = self._mesh.options.home.control_socket
        with contextlib.suppress(OSError):
            path.unlink()
        before = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(self._handle, path=str(path), limit=REQUEST_LIMIT_BYTES)
        finally:
            os.umask(before)
        async with server:
            try:
                await server.serve_forever()
            finally:
                with contextlib.suppress(OSError):
                    path.unlink()

    def tell(self, event: dict[str, Any]) -> None:
        """Pass an event to everybody who waits for the lab's end."""
        for writer in self._listeners:
            _send(writer, event)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = json.loads(await reader.readline())
            if request["op"] == "stop":
                self._listeners.add(writer)
                self._mesh.stopping.set()
                await reader.read()  # this end closes with the process
            elif request["op"] == "status":
                _send(writer, self._mesh.state())
            elif request["op"] == "join":
                await self._join(request, reader, writer)
            else:
                _send(writer, {"error": f"unknown request {request['op']!r}", "exit_code": 1})
        except (ValueError, KeyError, TypeError) as error:
            _send(writer, {"error": f"malformed request: {error}", "exit_code": 1})
        except CannotStart as error:
            _send(writer, {"error": str(error), "exit_code": error.exit_code})
        except (OSError, asyncio.CancelledError):
            pass  # the other end is gone, or the lab is
        finally:
            self._listeners.discard(writer)
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.drain()
            writer.close()

    async def _join(self, request: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        spec = request["workload"]
        workload = http_workload(
            name=spec["name"],
            namespace=spec["namespace"],
            app=spec["app"],
            version=spec["version"],
            port=spec["port"],
            service_account=spec.get("service_account"),
        )
        pod = await self._mesh.join(workload, request.get("proxy", "python"), spec.get("app_port"))
        try:
            _send(writer, {"pod": describe(pod), "environment": self._mesh.environment_of(pod)})
            registering = asyncio.create_task(self._register_when_open(pod, writer))
            await reader.read()
            registering.cancel()
        finally:
            if not self._mesh.stopping.is_set():
                await self._mesh.leave(pod)

    async def _register_when_open(self, pod: Pod, writer: asyncio.StreamWriter) -> None:
        assert pod.app_port is not None
        while not await probes.tcp_open("127.0.0.1", pod.app_port):  # noqa: ASYNC110 - another program's port
            await asyncio.sleep(JOIN_POLL_S)
        self._mesh.register(pod)
        _send(writer, {"joined": True})


def describe(pod: Pod) -> dict[str, Any]:
    return {
        "workload": pod.name,
        "namespace": pod.namespace,
        "ip": pod.ip,
        "outbound_ip": pod.outbound_ip,
        "app_port": pod.app_port,
        "service": pod.workload.service,
        "ports": [port.number for port in pod.workload.ports],
        "service_account": pod.workload.service_account,
    }


def _send(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError, RuntimeError):
        writer.write(json.dumps(message).encode() + b"\n")


class ControlConnection:
    """The other end, for commands: blocking. Raises OSError when no lab listens."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._file = self._socket.makefile("rb")

    def send(self, request: dict[str, Any]) -> None:
        self._socket.sendall(json.dumps(request).encode() + b"\n")

    def answers(self) -> Iterator[dict[str, Any]]:
        """Each answer as it comes, until the lab closes the connection."""
        with contextlib.suppress(OSError):
            for line in self._file:
                yield json.loads(line)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._file.close()
        self._socket.close()
