"""The composed agent as a process: it starts without a control plane, says what is wrong, and ends cleanly."""

from __future__ import annotations

import asyncio
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import grpc.aio
import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from google.protobuf.message import Message

from sidecar.agent.health import ask_admin
from sidecar.xds.client import CLUSTER_TYPE, LISTENER_TYPE, ROUTE_TYPE
from tests.sidecar.loopback import own_ip
from tests.sidecar.xds.test_client import listener, response, routes

IP = own_ip(94)
REPO = pathlib.Path(__file__).parents[2]


def start(folder: pathlib.Path, discovery: str = "127.0.0.9:15010") -> subprocess.Popen[str]:
    command = [
        sys.executable, "-m", "sidecar", "--workload", "x-v1", "--ip", IP, "--discovery", discovery,
        "--state-dir", str(folder),
    ]  # fmt: skip
    return subprocess.Popen(command, cwd=REPO, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def agent(tmp_path: pathlib.Path) -> Iterator[subprocess.Popen[str]]:
    process = start(tmp_path)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                ask_admin(IP, 15000, "/server_info")
                break
            except OSError:
                assert time.monotonic() < deadline and process.poll() is None, "it does not start"
                time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.communicate()


def test_without_a_control_plane_it_waits_and_ends_when_told(agent: subprocess.Popen[str]) -> None:
    assert ask_admin(IP, 15021, "/healthz/ready") == (503, "PRE_INITIALIZING\n")
    assert ask_admin(IP, 15090, "/stats/prometheus")[0] == 200
    assert agent.stderr is not None
    # The line comes with the first attempt that fails; should it not, the test's time limit ends this.
    next(line for line in agent.stderr if "traffic goes on with the last configuration" in line)
    agent.terminate()
    _, errors = agent.communicate(timeout=6)
    assert agent.returncode == 0
    assert "Traceback" not in errors


def test_quitquitquit_ends_it(agent: subprocess.Popen[str]) -> None:
    assert ask_admin(IP, 15000, "/quitquitquit", "POST") == (200, "OK\n")
    assert agent.wait(6) == 0


def test_a_busy_port_is_named(tmp_path: pathlib.Path) -> None:
    with socket.create_server((IP, 15000)):
        process = start(tmp_path)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert f"can not listen on {IP}:15000" in errors
    assert "Traceback" not in errors


def test_importing_it_starts_nothing() -> None:
    check = "import threading, sidecar.main, grpc; print(threading.active_count())"
    done = subprocess.run([sys.executable, "-c", check], cwd=REPO, capture_output=True, text=True, timeout=30)
    assert done.stdout.strip() == "1", done.stderr


async def control_plane(resources: dict[str, Message]) -> tuple[grpc.aio.Server, int]:
    """Answers the first request for each type with that one resource."""

    async def stream(requests: AsyncIterator[DiscoveryRequest], _: Any) -> AsyncIterator[DiscoveryResponse]:
        async for request in requests:
            if not request.response_nonce and request.type_url in resources:
                yield response(request.type_url, "1", "n", resources[request.type_url])

    server = grpc.aio.server()
    handler = grpc.stream_stream_rpc_method_handler(
        stream, DiscoveryRequest.FromString, DiscoveryResponse.SerializeToString
    )
    name = "envoy.service.discovery.v3.AggregatedDiscoveryService"
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(name, {"StreamAggregatedResources": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, port


def static_cluster(port: int) -> Cluster:
    cluster = Cluster(name="a", type=Cluster.STATIC)
    cluster.load_assignment.cluster_name = "a"
    endpoint = cluster.load_assignment.endpoints.add().lb_endpoints.add().endpoint
    endpoint.address.socket_address.address = "127.0.0.1"
    endpoint.address.socket_address.port_value = port
    return cluster


async def test_a_request_in_flight_survives_sigterm(tmp_path: pathlib.Path) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        reached.set()
        await go_on.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    upstream = await asyncio.start_server(app, "127.0.0.1", 0)
    outside = listener("l", "9080", port=19094)
    outside.address.socket_address.address = IP
    server, port = await control_plane(
        {
            CLUSTER_TYPE: static_cluster(upstream.sockets[0].getsockname()[1]),
            LISTENER_TYPE: outside,
            ROUTE_TYPE: routes("9080"),
        }
    )
    process = await asyncio.to_thread(start, tmp_path, f"127.0.0.1:{port}")
    try:
        async with asyncio.timeout(20):
            while True:
                try:
                    reader, writer = await asyncio.open_connection(IP, 19094)
                    break
                except OSError:
                    await asyncio.sleep(0.05)
            assert (await asyncio.to_thread(ask_admin, IP, 15021, "/healthz/ready"))[0] == 200
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            await reached.wait()
            process.terminate()
            # Another process: there is nothing of it to wait for but its answer.
            while (await asyncio.to_thread(ask_admin, IP, 15000, "/ready"))[1] != "DRAINING\n":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(IP, 19094)
            go_on.set()
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert answer.endswith(b"ok")
        writer.close()
        _, errors = await asyncio.to_thread(process.communicate, timeout=6)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)
        upstream.close()
        await server.stop(None)
