"""A recording collector: Zipkin's JSON and OTLP over HTTP, OTLP over gRPC; spans in one common form."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

_OTEL_KINDS = {2: "SERVER", 3: "CLIENT"}


@dataclass
class Seen:
    """One span. Ids are hex; `parent` "" for a root."""

    form: str
    service: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    start_us: int
    duration_us: int
    tags: dict[str, str] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)


class Collector:
    """`status`, `delay_s` and `hangs` change how it answers over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Seen] = []
        self.requests: list[tuple[str, dict[str, str], int]] = []
        self.status = 202
        self.hangs = False

    async def start_http(self, host: str) -> tuple[str, int]:
        self._server = await asyncio.start_server(self._serve, host, 0)
        return host, self._server.sockets[0].getsockname()[1]

    async def start_grpc(self, host: str) -> tuple[str, int]:
        self._grpc = grpc.aio.server()
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Service(self), self._grpc)
        port = self._grpc.add_insecure_port(f"{host}:0")
        await self._grpc.start()
        return host, port

    async def stop(self) -> None:
        self._server.close()
        if hasattr(self, "_grpc"):
            await self._grpc.stop(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = dict(line.split(": ", 1) for line in head[1:] if line)
                body = await _body(reader, headers)
                self.take(head[0], headers, body)
                if self.hangs:
                    await asyncio.sleep(3600)
                writer.write(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\n\r\n" % self.status)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def take(self, line: str, headers: dict[str, str], body: bytes) -> None:
        if "/v1/traces" in line:
            request = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
            found = otlp_spans(request)
        else:
            found = [zipkin_span(one) for one in json.loads(body)]
        self.requests.append((line, headers, len(found)))
        self.spans += found


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return body


class _Service(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    async def Export(self, request: Any, context: Any) -> Any:
        self._collector.spans += otlp_spans(request)
        return trace_service_pb2.ExportTraceServiceResponse()


def zipkin_span(one: dict[str, Any]) -> Seen:
    """A span of Zipkin's version 2."""
    known = ("name", "kind", "traceId", "id", "parentId", "timestamp", "duration", "tags", "localEndpoint")
    return Seen(
        "zipkin",
        one["localEndpoint"].get("serviceName", ""),
        one.get("name", ""),
        one.get("kind", ""),
        one["traceId"],
        one["id"],
        one.get("parentId", ""),
        one["timestamp"],
        one.get("duration", -1),
        one.get("tags", {}),
        {name: value for name, value in one.items() if name not in known},
    )


def otlp_spans(request: Any) -> list[Seen]:
    """The spans of an OTLP request."""
    return [
        _otlp_span(one, {each.key: each.value.string_value for each in group.resource.attributes})
        for group in request.resource_spans
        for scope in group.scope_spans
        for one in scope.spans
    ]


def _otlp_span(one: Any, resource: dict[str, str]) -> Seen:
    return Seen(
        "otlp",
        resource.get("service.name", ""),
        one.name,
        _OTEL_KINDS.get(one.kind, str(one.kind)),
        one.trace_id.hex(),
        one.span_id.hex(),
        one.parent_span_id.hex(),
        one.start_time_unix_nano // 1000,
        (one.end_time_unix_nano - one.start_time_unix_nano) // 1000,
        {tag.key: tag.value.string_value for tag in one.attributes},
        {"resource": sorted(resource), "state": one.trace_state, "status": one.status.code},
    )
