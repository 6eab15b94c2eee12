"""Collectors that hang, refuse or are gone: no request notices, and what was lost is counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from sidecar.telemetry.istio_metrics import LocalWorkload, RequestRecorder
from sidecar.telemetry.tracing import LocalNode
from tests.ports import free_ports
from tests.sidecar.oracle.collector import Collector
from tests.sidecar.oracle.proxies import PythonProxy
from tests.sidecar.oracle.test_tracing import App, Case, ask
from tests.sidecar.oracle.tracing_config import LISTENERS, clusters, listeners

pytestmark = pytest.mark.e2e
HOST = "127.49.4.1"
WORKLOAD = LocalWorkload(
    workload="w",
    namespace="default",
    app="w",
    version="v1",
    canonical_service="w",
    canonical_revision="v1",
    cluster_id="c",
)


@pytest.fixture
def event_loop_policy() -> uvloop.EventLoopPolicy:
    return uvloop.EventLoopPolicy()


class Lab:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.collector = Collector()
        ports = free_ports(HOST, len(LISTENERS))
        self.addresses = {one: (HOST, port) for one, port in zip(LISTENERS, ports, strict=True)}

    async def start(self) -> None:
        app = await asyncio.get_running_loop().create_server(App, "127.49.4.2", 0)
        self.http = await self.collector.start_http("127.49.4.3")
        self.grpc = await self.collector.start_grpc("127.49.4.3")
        made = clusters(app.sockets[0].getsockname(), ("127.49.4.2", 1), self.http, self.grpc)
        self.proxy = PythonProxy(
            listeners(self.addresses, str(self.folder / "log")),
            made,
            node=LocalNode(id="id", cluster="w.default", ip="10.0.0.1"),
            recorders=lambda stats: (RequestRecorder(stats, WORKLOAD).record,),
        )
        await self.proxy.listeners.settled()

    async def load(self, on: str, count: int) -> float:
        """So many requests, each answered 200; how long the slowest took."""
        slowest = 0.0
        for number in range(count):
            began = time.monotonic()
            answer = await ask(self.addresses[on], Case(f"{on}.{number}", on))
            slowest = max(slowest, time.monotonic() - began)
            assert answer.startswith("HTTP/1.1 200")
        return slowest

    def count(self, name: str, tracer: str = "zipkin") -> int:
        return self.proxy.stats.counter(f"tracing.{tracer}.{name}").value


async def eventually(check: Callable[[], Any]) -> None:
    async with asyncio.timeout(15):
        while not check():  # noqa: ASYNC110  what is awaited is a counter of the proxy's
            await asyncio.sleep(0.05)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    lab = Lab(tmp_path)
    await lab.start()
    yield lab
    lab.proxy.close()
    await lab.collector.stop()


@pytest.mark.parametrize(
    ("on", "tracer"), [("out", "zipkin"), ("otel", "opentelemetry"), ("otel-gateway", "opentelemetry")]
)
async def test_every_span_arrives(lab: Lab, on: str, tracer: str) -> None:
    spans = 2 if on == "otel-gateway" else 1
    await lab.load(on, 150)
    await eventually(lambda: len(lab.collector.spans) == 150 * spans)
    assert lab.count("spans_sent", tracer) == 150 * spans
    await eventually(lambda: lab.count("reports_sent", tracer) > 0)
    assert lab.count("reports_failed", tracer) == lab.count("spans_dropped", tracer) == 0
    if on == "out":
        assert {span.service for span in lab.collector.spans} == {"w.default"}
        assert lab.collector.requests[0][1]["host"] == "collector.example"


async def test_a_hanging_collector(lab: Lab) -> None:
    lab.collector.hangs = True
    assert await lab.load("out", 300) < 0.5
    await eventually(lambda: lab.count("reports_failed"))  # after the report's timeout
    lab.collector.hangs = False
    known = len(lab.collector.spans)
    await lab.load("out", 10)
    await eventually(lambda: len(lab.collector.spans) > known)


async def test_a_collector_that_refuses(lab: Lab) -> None:
    lab.collector.status = 503
    await lab.load("out", 70)
    await eventually(lambda: lab.count("reports_dropped"))


@pytest.mark.parametrize(("on", "tracer"), [("out", "zipkin"), ("otel-gateway", "opentelemetry")])
async def test_a_dead_collector(lab: Lab, on: str, tracer: str) -> None:
    await lab.collector.stop()
    assert await lab.load(on, 150) < 0.5
    await eventually(lambda: lab.count("reports_failed", tracer))


async def test_a_collector_that_is_not_there(lab: Lab) -> None:
    lab.proxy.clusters.update_clusters({}, {"collector"})
    await lab.load("out", 70)
    await eventually(lambda: lab.count("reports_skipped_no_cluster"))


async def test_reports_are_no_requests_of_the_mesh(lab: Lab) -> None:
    await lab.load("out", 150)
    await eventually(lambda: len(lab.collector.spans) == 150)
    lab.proxy.listeners.flush()
    counters = [one for one in lab.proxy.stats.counters() if one.name == "istio_requests_total"]
    assert sum(one.value for one in counters) == 150
    assert {span.tags["case"].partition(".")[0] for span in lab.collector.spans} == {"out"}
