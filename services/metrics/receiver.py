"""Envoy's access log service (envoy.service.accesslog.v3): streams of entries in, nothing out.

Envoy does not wait for it: a service that is slow or gone costs entries at last, and requests nothing.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import grpc
from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage, StreamAccessLogsResponse

from lugsail.daemon.listening import CannotListen
from services.metrics.own_metrics import OwnMetrics
from services.metrics.records import Recorder, Reporter

log = logging.getLogger("metrics")

MESSAGE_LIMIT_BYTES = 8 * 1024 * 1024
STREAM_LIMIT = 4000
_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES),
    ("grpc.max_concurrent_streams", STREAM_LIMIT),
    ("grpc.so_reuseport", 0),
    # A peer that vanished without a FIN is noticed within 40 s.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)


class AccessLogReceiver:
    """The server."""

    def __init__(self, recorder: Recorder, metrics: OwnMetrics) -> None:
        self._recorder = recorder
        self._metrics = metrics
        self._server = grpc.aio.server(options=_OPTIONS)
        stream = grpc.stream_unary_rpc_method_handler(
            self._stream,
            request_deserializer=StreamAccessLogsMessage.FromString,
            response_serializer=StreamAccessLogsResponse.SerializeToString,
        )
        name = "envoy.service.accesslog.v3.AccessLogService"
        handler = grpc.method_handlers_generic_handler(name, {"StreamAccessLogs": stream})
        self._server.add_generic_rpc_handlers((handler,))

    async def start(self, address: str, port: int) -> None:
        """Raises CannotListen."""
        host = f"[{address}]" if ":" in address else address
        try:
            bound = self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            raise CannotListen(f"cannot listen on {host}:{port} for access logs: {error}") from error
        if bound == 0:
            raise CannotListen(f"cannot listen on {host}:{port} for access logs")
        await self._server.start()

    async def stop(self, grace_s: float) -> None:
        await self._server.stop(grace_s)

    async def _stream(
        self,
        messages: AsyncIterator[StreamAccessLogsMessage],
        context: grpc.aio.ServicerContext[StreamAccessLogsMessage, StreamAccessLogsResponse],
    ) -> StreamAccessLogsResponse:
        reporter: Reporter | None = None
        self._metrics.stream(1)
        try:
            async for message in messages:
                if reporter is None:
                    try:
                        reporter = Reporter(message.identifier.node)
                    except ValueError as error:
                        self._metrics.stream_refused()
                        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
                        raise  # abort has
                self.take(reporter, message)
        finally:
            self._metrics.stream(-1)
        return StreamAccessLogsResponse()

    def take(self, reporter: Reporter, message: StreamAccessLogsMessage) -> None:
        """Count every entry of a message once."""
        for entry in message.http_logs.log_entry:
            self._recorder.http(reporter, entry)
        for entry in message.tcp_logs.log_entry:
            self._recorder.tcp(reporter, entry)
        self._metrics.counted("http", len(message.http_logs.log_entry))
        self._metrics.counted("tcp", len(message.tcp_logs.log_entry))
