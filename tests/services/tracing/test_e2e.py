"""The service as a process: real OpenTelemetry and Zipkin senders, real kills, real disks."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Link, SpanKind, StatusCode

from tests.services.tracing.process import Tracing
from tests.services.tracing.spans import CLIENT, request, span, trace_id

pytestmark = pytest.mark.e2e

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
PROTO = "application/x-protobuf"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracing]:
    with Tracing(tmp_path_factory.mktemp("tracing") / "t.db") as running:
        yield running


def request_id(name: str, traced: str = "4") -> str:
    """A random UUID of that name's own, with the digit by which proxies say why it is traced."""
    made = str(uuid.UUID(bytes=name.encode()[:16].ljust(16), version=4))
    return f"{made[:14]}{traced}{made[15:]}"


def send_by_sdk(exporter: SpanExporter, service_name: str) -> str:
    """A trace of 3 spans; its id."""
    provider = TracerProvider(resource=Resource.create({"service.name": service_name}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("a.library", "1.2")
    with tracer.start_as_current_span(
        "root", kind=SpanKind.SERVER, attributes={"guid:x-request-id": request_id(service_name, "9")}
    ) as root:
        with tracer.start_as_current_span(
            "call", kind=SpanKind.CLIENT, attributes={"n": 7, "ok": True, "f": 1.5, "l": [1, 2]}
        ):
            pass
        with tracer.start_as_current_span("work", links=[Link(root.get_span_context())]) as work:
            work.add_event("half way", {"at": "1/2"})
            work.set_status(StatusCode.ERROR, "gave up")
    provider.shutdown()
    return f"{root.get_span_context().trace_id:032x}"


@pytest.mark.parametrize("protocol", ["grpc", "grpc-gzip", "http", "http-gzip"])
def test_opentelemetrys_sdk(service: Tracing, protocol: str) -> None:
    name = f"sdk-{protocol}"
    if protocol.startswith("grpc"):
        packing = grpc.Compression.Gzip if "gzip" in protocol else grpc.Compression.NoCompression
        exporter: SpanExporter = GrpcExporter(f"http://{service.address}:4317", insecure=True, compression=packing)
    else:
        squeeze = Compression.Gzip if "gzip" in protocol else Compression.NoCompression
        exporter = HttpExporter(f"http://{service.address}:4318/v1/traces", compression=squeeze)
    found = service.trace(send_by_sdk(exporter, name))
    spans = {made["operationName"]: made for made in found["spans"]}
    assert set(spans) == {"root", "call", "work"}
    root = spans["root"]["spanID"]
    assert spans["root"]["references"] == []
    assert spans["call"]["references"] == [{"refType": "CHILD_OF", "traceID": found["traceID"], "spanID": root}]
    assert [r["refType"] for r in spans["work"]["references"]] == ["CHILD_OF", "FOLLOWS_FROM"]
    tags = {tag["key"]: (tag["type"], tag["value"]) for tag in spans["call"]["tags"]}
    assert tags["n"] == ("int64", 7)
    assert tags["ok"] == ("bool", True)
    assert tags["f"] == ("float64", 1.5)
    assert tags["l"] == ("string", "[1,2]")
    assert tags["span.kind"] == ("string", "client")
    assert tags["otel.scope.name"] == ("string", "a.library")
    work = {tag["key"]: tag["value"] for tag in spans["work"]["tags"]}
    assert (work["error"], work["otel.status_code"], work["otel.status_description"]) == (True, "ERROR", "gave up")
    assert spans["work"]["logs"][0]["fields"][0] == {"key": "event", "type": "string", "value": "half way"}
    assert found["processes"][spans["root"]["processID"]]["serviceName"] == name
    assert not any(made["warnings"] for made in found["spans"])
    for question in (
        f"service={name}&tags=%7B%22error%22%3A%22true%22%7D",
        f"service={name}&operation=work",
        f"service={name}&tag=n:7",
        f"requestId={request_id(name)}",
        f"traceID={found['traceID']}",
    ):
        (one,) = service.get(f"/api/traces?{question}")[1]["data"]
        assert one == found, question
    assert service.get(f"/api/traces?service={name}&tag=n:8")[1]["data"] == []
    v3 = service.get(f"/api/v3/traces/{found['traceID']}")[1]["result"]["resourceSpans"]
    assert {made["name"] for part in v3[0]["scopeSpans"] for made in part["spans"]} == set(spans)


def test_zipkin_with_shared_spans(service: Tracing) -> None:
    base = {"traceId": "000000000000beef", "timestamp": 1_700_000_000_000_000, "duration": 5000}
    sent = [
        {**base, "id": "1", "kind": "SERVER", "name": "in", "localEndpoint": {"serviceName": "z-front"}},
        {
            **base,
            "id": "2",
            "parentId": "1",
            "kind": "CLIENT",
            "name": "out",
            "localEndpoint": {"serviceName": "z-front"},
        },
        {
            **base,
            "id": "2",
            "parentId": "1",
            "shared": True,
            "kind": "SERVER",
            "name": "in",
            "duration": 3000,
            "localEndpoint": {"serviceName": "z-back", "ipv4": "10.0.0.1"},
            "annotations": [{"timestamp": 1_700_000_000_001_000, "value": "ping"}],
            "tags": {"http.path": "/x"},
        },
    ]
    assert service.post(9411, "/api/v2/spans", json.dumps(sent).encode())[0] == 202
    found = service.trace("beef")
    assert found["traceID"] == "000000000000beef"
    by_service = {
        (found["processes"][made["processID"]]["serviceName"], made["operationName"]): made for made in found["spans"]
    }
    assert len(by_service) == 3
    shared = by_service["z-back", "in"]
    assert shared["spanID"] not in ("0000000000000001", "0000000000000002")
    assert shared["references"][0]["spanID"] == "0000000000000002"
    assert shared["logs"][0]["timestamp"] == 1_700_000_000_001_000
    links = service.get("/api/dependencies?endTs=1700000001000&lookback=60000&service=z-back")[1]["data"]
    assert links == [{"parent": "z-front", "child": "z-back", "callCount": 1}]
    raw = service.get("/api/traces/beef?raw=true")[1]["data"][0]["spans"]
    assert sorted(made["spanID"][-1] for made in raw) == ["1", "2", "2"]


def test_answers_of_otlp_over_http(service: Tracing) -> None:
    good, bad = span(1, 1), span(1, 2)
    bad.trace_id = b""
    status, body, headers = service.post(4318, "/v1/traces", request([good, bad]), PROTO)
    answer = ExportTraceServiceResponse.FromString(body)
    assert (status, headers["Content-Type"], answer.partial_success.rejected_spans) == (200, PROTO, 1)
    assert "trace_id must be 16 bytes" in answer.partial_success.error_message
    status, body, _ = service.post(4318, "/v1/traces", request([good]), PROTO)
    assert (status, body) == (200, b"")
    status, body, _ = service.post(4318, "/v1/traces", b"\xff\xff", PROTO)
    assert (status, Status.FromString(body).code) == (400, 3)
    status, body, _ = service.post(4318, "/v1/traces", b"{", "application/json; charset=utf-8")
    assert status == 400
    assert "not JSON" in json.loads(body)["message"]
    assert service.post(4318, "/v1/traces", b"{}", "text/plain")[0] == 415
    assert service.post(4318, "/v1/traces", b"{}", Content_Encoding="br")[0] == 415
    assert service.post(4318, "/v1/traces", b"no gzip", PROTO, Content_Encoding="gzip")[0] == 400
    assert service.post(4318, "/v1/traces", gzip.compress(request([good])), PROTO, Content_Encoding="gzip")[0] == 200
    assert service.get("/v1/traces", 4318)[0] == 405


def test_bombs_and_large_bodies(service: Tracing) -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    body = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(200)) + bomb.flush()
    assert len(body) < 1 << 20
    status, text, _ = service.post(9411, "/api/v2/spans", body, Content_Encoding="gzip")
    assert status == 413
    assert b"send smaller batches" in text
    assert service.post(4318, "/v1/traces", body, PROTO, Content_Encoding="gzip")[0] == 413
    assert service.process is not None
    peak = Path(f"/proc/{service.process.pid}/status").read_text().partition("VmHWM:")[2].split()[0]
    assert int(peak) < 400_000, f"{peak} kB"


def test_answers_of_grpc(service: Tracing) -> None:
    with grpc.insecure_channel(f"{service.address}:4317") as channel:
        export = channel.unary_unary(EXPORT)
        bad = span(1, 1)
        bad.span_id = b"1"
        answer = ExportTraceServiceResponse.FromString(export(request([bad]), timeout=10))
        assert answer.partial_success.rejected_spans == 1
        with pytest.raises(grpc.RpcError) as caught:
            export(b"\xff\xff", timeout=10)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.RpcError) as caught:
            export(bytes(17 << 20), timeout=10)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_errors_in_jaegers_form(service: Tracing) -> None:
    assert service.get("/api/traces") == (
        400,
        {
            "data": None,
            "total": 0,
            "limit": 0,
            "offset": 0,
            "errors": [{"code": 400, "msg": "parameter 'service' is required"}],
        },
    )
    assert service.get("/api/traces/12345")[0] == 404
    assert service.get("/api/traces?traceID=12345")[1]["errors"] == [
        {"msg": "trace not found", "traceID": "00000000000000000000000000012345"}
    ]
    assert service.get("/api/traces/xyz")[1]["errors"][0]["code"] == 400
    assert service.get("/api/operations")[0] == 400
    assert service.get("/api/v3/traces/12345") == (404, {"error": {"httpCode": 404, "message": "No traces found"}})
    assert service.get("/api/v3/traces")[1]["error"]["httpCode"] == 400


def test_garbage_on_every_port_harms_nobody(service: Tracing) -> None:
    for port in (4317, 4318, 9411, 16686):
        for garbage in (b"\x00" * 100, b"GET / HTTP/1.1\r\n" + b"x" * 100_000, os.urandom(5000)):
            with socket.create_connection((service.address, port), timeout=5) as connection:
                try:
                    connection.sendall(garbage)
                except OSError:
                    pass  # closed on us: fine
    assert service.get("/health") == (200, {"status": "UP"})
    assert service.post(4318, "/v1/traces", request([span(1, 1)]), PROTO)[0] == 200


def test_pages_escape_and_forbid(service: Tracing) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    body = request([span(0xE1, 1, name=evil, tags={evil: evil, "guid:x-request-id": evil})], service=evil)
    assert service.post(4318, "/v1/traces", body, PROTO)[0] == 200
    for path in ("/", "/search?service=%3Cscript%3E&operation=%22%3E%3Cscript%3E", "/trace/e1", "/trace/%3Cscript%3E"):
        _, text = service.get(path)
        assert "<script" not in text, path
        assert "<img" not in text, path
    assert "&lt;script&gt;" in service.get("/trace/e1")[1]
    with socket.create_connection((service.address, 16686), timeout=5) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head = connection.makefile("rb").read().partition(b"\r\n\r\n")[0].decode()
    assert "Content-Security-Policy: default-src 'none'" in head
    assert service.get("/search?minDuration=soon")[0] == 400
    assert service.get("/trace/999")[0] == 404


def test_a_trace_of_five_thousand_spans(service: Tracing) -> None:
    made = [span(0x5000, n, n // 7, at=n, name=f"n{n}") for n in range(1, 5001)]
    for first in range(0, 5000, 500):
        assert service.post(4318, "/v1/traces", request(made[first : first + 500], service="large"), PROTO)[0] == 200
    assert len(service.trace("5000")["spans"]) == 5000
    status, page = service.get("/trace/5000")
    assert (status, page.count('class="lane"')) == (200, 5000)
    assert "n4999" in page


def test_killed_under_load_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    with Tracing(tmp_path / "t.db") as service:
        acknowledged: list[int] = []
        stop = threading.Event()
        lock = threading.Lock()

        def send(worker: int) -> None:
            number = worker * 1_000_000
            while not stop.is_set():
                number += 1
                body = request([span(number, n) for n in range(1, 51)])
                try:
                    if worker % 2:
                        with grpc.insecure_channel(f"{service.address}:4317") as channel:
                            channel.unary_unary(EXPORT)(body, timeout=5)
                    elif service.post(4318, "/v1/traces", body, PROTO)[0] != 200:
                        continue
                except (OSError, grpc.RpcError):
                    continue
                with lock:
                    acknowledged.append(number)

        for _ in range(2):
            threads = [threading.Thread(target=send, args=(worker,)) for worker in range(1, 5)]
            stop.clear()
            for thread in threads:
                thread.start()
            before = len(acknowledged)
            deadline = time.monotonic() + 20
            while len(acknowledged) < before + 60 and time.monotonic() < deadline:
                time.sleep(0.01)
            service.kill()
            stop.set()
            for thread in threads:
                thread.join()
            assert len(acknowledged) >= before + 60
            service.start()
            for number in acknowledged[before:]:
                assert len(service.trace(trace_id(number).hex())["spans"]) == 50, number


def test_asked_to_stop_it_answers_what_is_under_way(tmp_path: Path) -> None:
    with Tracing(tmp_path / "t.db") as service:

        async def run() -> int:
            async with grpc.aio.insecure_channel(f"{service.address}:4317") as channel:
                export = channel.unary_unary(EXPORT)
                calls = [export(request([span(n, i) for i in range(1, 201)]), timeout=20) for n in range(1, 41)]
                await calls[0]
                assert service.process is not None
                service.process.terminate()
                results = await asyncio.gather(*calls, return_exceptions=True)
            return sum(not isinstance(result, BaseException) for result in results)

        answered = asyncio.run(run())
        assert service.process is not None
        assert service.process.wait(20) == 0
        assert answered >= 1
        assert "stopped" in service.log.read_text()
        service.start()
        whole = [n for n in range(1, 41) if service.get(f"/api/traces/{trace_id(n).hex()}")[0] == 200]
        assert len(whole) >= answered


def test_what_does_not_fit_the_queue_is_told_to_come_again(tmp_path: Path) -> None:
    with Tracing(tmp_path / "t.db", "--queue-size", "1B") as service:
        # The file is locked for a moment, so that the first batch stays in the queue.
        import sqlite3

        lock = sqlite3.connect(service.data, isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        statuses: list[tuple[int, dict[str, str]]] = []

        def send(number: int) -> None:
            status, _, headers = service.post(9411, "/api/v2/spans", zipkin(number))
            statuses.append((status, headers))

        threads = [threading.Thread(target=send, args=(number,)) for number in range(1, 9)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 10
        while not any(status == 503 for status, _ in statuses) and time.monotonic() < deadline:
            time.sleep(0.02)
        lock.execute("ROLLBACK")
        for thread in threads:
            thread.join()
        refused = [headers for status, headers in statuses if status == 503]
        assert refused
        assert all(headers["Retry-After"] == "1" for headers in refused)
        assert {status for status, _ in statuses} <= {202, 503}
        stored = lock.execute("SELECT count(*) FROM span").fetchone()[0]
        assert stored == sum(status == 202 for status, _ in statuses)
        assert (
            f'tracing_requests_refused_total{{protocol="zipkin",reason="refused"}} {len(refused)}.0'
            in (service.get("/metrics")[1])
        )


def zipkin(number: int) -> bytes:
    return json.dumps([{"traceId": f"{number:x}", "id": "1", "name": "x"}]).encode()


def test_a_full_disk_refuses_and_recovers(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs root and mount(8)")
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        with Tracing(place / "t.db") as service:
            assert service.post(9411, "/api/v2/spans", zipkin(1))[0] == 202
            ballast = place / "ballast"
            with ballast.open("wb", buffering=0) as file:
                for size in (65536, 512):
                    try:
                        while True:
                            file.write(b"x" * size)
                    except OSError:
                        continue
            sent, refused = [1], 0
            body = json.dumps([{"traceId": "ff", "id": f"{n:x}", "tags": {"t": "x" * 900}} for n in range(1, 200)])
            for _ in range(30):
                status, text, _ = service.post(9411, "/api/v2/spans", body.encode())
                if status == 503:
                    refused += 1
                    assert b"full" in text or b"I/O" in text, text
                    break
                assert status == 202
            assert refused == 1
            assert service.get("/ready")[0] == 503
            assert service.get("/api/traces/1")[0] == 200, "what is there can be read"
            ballast.unlink()
            deadline = time.monotonic() + 15
            while service.get("/ready")[0] != 200:
                assert time.monotonic() < deadline, service.log.read_text()
                time.sleep(0.1)
            assert service.post(9411, "/api/v2/spans", zipkin(40))[0] == 202
            sent.append(40)
            for number in sent:
                assert service.get(f"/api/traces/{number:x}")[0] == 200
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_it_says_why_it_cannot_start(tmp_path: Path, service: Tracing) -> None:
    def started(*flags: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "services.tracing", *flags], capture_output=True, text=True, timeout=30
        )
        return done.returncode, done.stderr

    code, text = started("--address", "127.47.0.99", "--data", str(service.data))
    assert code == 1
    assert "is in use by another tracing service" in text
    code, text = started("--address", service.address, "--data", str(tmp_path / "t.db"))
    assert code == 1
    assert "port 4317" in text
    assert "--otlp-grpc-port" in text
    code, text = started("--max-size", "lots")
    assert code == 2
    assert "'lots' is not a size such as 512MB" in text
    (tmp_path / "text.db").write_text("not a database at all, just text\n" * 200)
    code, text = started("--address", "127.47.0.99", "--data", str(tmp_path / "text.db"))
    assert code == 1
    assert "file is not a database" in text


def test_client_spans_search_by_kind(service: Tracing) -> None:
    body = request([span(0xC1, 1, kind=CLIENT, name="out"), span(0xC1, 2, 1, name="in")], service="kinds")
    assert service.post(4318, "/v1/traces", body, PROTO)[0] == 200
    found: Any = service.get("/api/operations?service=kinds&spanKind=client")[1]
    assert found["data"] == [{"name": "out", "spanKind": "client"}]
    assert service.get("/api/services/kinds/operations")[1]["data"] == ["in", "out"]
    assert service.get("/api/v3/operations?service=kinds")[1]["operations"] == [
        {"name": "in", "spanKind": "server"},
        {"name": "out", "spanKind": "client"},
    ]
    assert "kinds" in service.get("/api/v3/services")[1]["services"]
