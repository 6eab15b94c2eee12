"""How many spans a second the tracing service takes, on how much CPU and memory.

    python -m loadtests.tracing_ingest [--spans 1000000] [--batch 300] [--max-size 512MB] [--json FILE]

Starts the service and sends spans as a mesh's proxies would (20 tags, two spans of a trace from each proxy) by
OTLP over gRPC, from 8 exporters that each wait for their answer. All is acknowledged, so all is committed. The rate per
core is what the service's own CPU time allows; the sender's is not in it. Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

ADDRESS = "127.47.0.61"
PORTS = {"otlp-grpc": 24317, "otlp-http": 24318, "zipkin": 29411, "ui": 26686}
SERVICES = ("istio-ingressgateway.istio-system", "productpage.default", "details.default", "reviews.default")
EXPORTERS = 8
POOL = 200  # bodies made beforehand; each is sent with other trace ids every time
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
START_S = 10.0


def body(size: int, seed: int) -> tuple[bytes, list[bytes]]:
    """A request, and the trace ids in it."""
    dice = random.Random(seed)
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    of_resource.resource.attributes.add(key="service.name").value.string_value = SERVICES[seed % len(SERVICES)]
    spans = of_resource.scope_spans.add().spans
    now = time.time_ns()
    traces = []
    for number in range(size):
        if number % 2 == 0:  # a proxy has two spans of a trace: the request that came, and the one it made
            traces.append(dice.randbytes(16))
            request_id = str(uuid.UUID(int=dice.getrandbits(128)))
        start = now + number * 10_000
        span = spans.add(
            trace_id=traces[-1],
            span_id=dice.randbytes(8),
            parent_span_id=dice.randbytes(8),
            name="reviews.default.svc.cluster.local:9080/*",
            kind=Span.SPAN_KIND_CLIENT if number % 2 else Span.SPAN_KIND_SERVER,
            start_time_unix_nano=start,
            end_time_unix_nano=start + dice.randrange(1, 50_000_000),
        )
        for key, value in tags(request_id, dice).items():
            span.attributes.add(key=key).value.string_value = value
    return request.SerializeToString(), traces


def tags(request_id: str, dice: random.Random) -> dict[str, str]:
    """Istio's."""
    return {
        "guid:x-request-id": request_id,
        "node_id": "sidecar~127.20.3.1~reviews-v1.default~default.svc.cluster.local",
        "zone": "",
        "http.url": "http://reviews:9080/reviews/0",
        "http.method": "GET",
        "downstream_cluster": "-",
        "user_agent": "curl/8.1",
        "http.protocol": "HTTP/1.1",
        "peer.address": "127.20.2.1",
        "request_size": "0",
        "response_size": str(dice.randrange(400)),
        "component": "proxy",
        "upstream_cluster": "inbound|9080||",
        "upstream_cluster.name": "inbound|9080||;",
        "http.status_code": "200" if dice.random() < 0.99 else "503",
        "response_flags": "-",
        "istio.canonical_revision": "v1",
        "istio.canonical_service": "reviews",
        "istio.mesh_id": "cluster.local",
        "istio.namespace": "default",
    }


async def send(total: int, batch: int) -> float:
    """Seconds that it took until the last was acknowledged."""
    pool = [body(batch, seed) for seed in range(POOL)]
    left = iter(range(-(-total // batch)))

    async def exporter(channel: grpc.aio.Channel) -> None:
        export = channel.unary_unary(EXPORT)
        for number in left:
            payload, traces = pool[number % POOL]
            if number >= POOL:
                for trace in traces:
                    payload = payload.replace(trace, os.urandom(16), 2)
            while True:
                try:
                    await export(payload, timeout=30)
                    break
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                    await asyncio.sleep(0.1)

    began = time.monotonic()
    channels = [
        grpc.aio.insecure_channel(f"{ADDRESS}:{PORTS['otlp-grpc']}", options=(("grpc.use_local_subchannel_pool", 1),))
        for _ in range(EXPORTERS)
    ]
    await asyncio.gather(*(exporter(channel) for channel in channels))
    took = time.monotonic() - began
    for channel in channels:
        await channel.close()
    return took


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    """What a process has in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def measure(total: int, batch: int, max_size: str) -> dict[str, Any]:
    """Start, warm up, measure, ask a few questions, stop."""
    with tempfile.TemporaryDirectory(prefix="lugsail-tracing-") as place:
        ports = [part for name, port in PORTS.items() for part in (f"--{name}-port", str(port))]
        data = Path(place) / "traces.db"
        command = [sys.executable, "-m", "services.tracing", "--address", ADDRESS, "--data", str(data)]
        service = subprocess.Popen([*command, "--max-size", max_size, "--log-level", "warning", *ports])
        try:
            wait_ready()
            asyncio.run(send(20_000, batch))
            result: dict[str, Any] = {"spans": total, "batch": batch, "rss_before_mb": round(rss_mb(service.pid), 1)}
            cpu, peaks = cpu_s(service.pid), []
            took = 0.0
            for _ in range(10):
                took += asyncio.run(send(total // 10, batch))
                peaks.append(round(rss_mb(service.pid), 1))
            used = cpu_s(service.pid) - cpu
            result |= {
                "rss_mb": peaks,
                "spans_per_s": round(total / took),
                "cpu_us_per_span": round(used / total * 1e6, 1),
                "spans_per_core_s": round(total / used),
                "files_mb": round(sum(f.stat().st_size for f in Path(place).iterdir()) / (1 << 20)),
                "questions_ms": ask(),
            }
            result["rss_after_questions_mb"] = round(rss_mb(service.pid), 1)
            return result
        finally:
            service.send_signal(signal.SIGTERM)
            service.wait(30)


def ask() -> dict[str, float]:
    """How long some questions take, in ms."""
    took = {}
    for name, path in (
        ("services", "/api/services"),
        ("newest 20 of a service", "/api/traces?service=reviews.default&limit=20"),
        ("20 with an error code", "/api/traces?service=reviews.default&limit=20&tag=http.status_code:503"),
        ("a request id that is nowhere", "/api/traces?requestId=nowhere"),
        ("a tag that is nowhere", "/api/traces?service=reviews.default&tag=zone:nowhere"),
        ("a duration that is nowhere", "/api/traces?service=reviews.default&minDuration=1h"),
        ("dependencies", "/api/dependencies"),
    ):
        began = time.monotonic()
        with urllib.request.urlopen(f"http://{ADDRESS}:{PORTS['ui']}{path}", timeout=60) as answer:
            answer.read()
        took[name] = round((time.monotonic() - began) * 1000, 1)
    return took


def wait_ready() -> None:
    """Until /ready says so. Raises OSError after `START_S`."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(f"http://{ADDRESS}:{PORTS['ui']}/ready", timeout=1):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def main(argv: list[str]) -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.tracing_ingest", description=__doc__)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=300)
    parser.add_argument("--max-size", default="512MB")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    text = json.dumps(measure(args.spans, args.batch, args.max_size), indent=2)
    print(text)
    if args.json:
        args.json.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
