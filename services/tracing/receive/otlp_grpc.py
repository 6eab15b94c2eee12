"""OTLP over gRPC: opentelemetry.proto.collector.trace.v1.TraceService/Export.

Answers follow the OTLP specification: success only when all is committed; a part that never can be is told in
`partial_success`; UNAVAILABLE where the sender must keep it and come again; INVALID_ARGUMENT where that is no use.
"""

from __future__ import annotations

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from lugsail.daemon.listening import CannotListen
from services.tracing.decode.batch import BadSpans, Batch
from services.tracing.decode.otlp import decode_otlp
from services.tracing.receive.intake import BODY_LIMIT_BYTES, Intake
from services.tracing.store.writer import Refused

_OPTIONS = (
    ("grpc.max_receive_message_length", BODY_LIMIT_BYTES),
    ("grpc.max_concurrent_streams", 64),
    ("grpc.so_reuseport", 0),
    # Exporters ping idle connections; the default would cut off those that do it often.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)


class OtlpGrpc:
    """The server."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._server = grpc.aio.server(options=_OPTIONS)
        export = grpc.unary_unary_rpc_method_handler(
            self._export,
            request_deserializer=None,  # bytes: what cannot be read is answered by us, with what is wrong
            response_serializer=ExportTraceServiceResponse.SerializeToString,
        )
        name = "opentelemetry.proto.collector.trace.v1.TraceService"
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {"Export": export}),))

    async def start(self, address: str, port: int) -> None:
        """Raises CannotListen."""
        host = f"[{address}]" if ":" in address else address
        try:
            bound = self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            raise CannotListen(f"cannot listen on {host}:{port} for OTLP over gRPC: {error}") from error
        if bound == 0:
            raise CannotListen(f"cannot listen on {host}:{port} for OTLP over gRPC")
        await self._server.start()

    async def stop(self, grace_s: float) -> None:
        """Take nothing new, and let what is under way end."""
        await self._server.stop(grace_s)

    async def _export(
        self, body: bytes, context: grpc.aio.ServicerContext[bytes, ExportTraceServiceResponse]
    ) -> ExportTraceServiceResponse:
        try:
            batch = await self._intake.take("otlp-grpc", body, decode_otlp)
        except BadSpans as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except Refused as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        return export_response(batch)


def export_response(batch: Batch) -> ExportTraceServiceResponse:
    """Full success is an empty message."""
    answer = ExportTraceServiceResponse()
    if batch.rejected:
        answer.partial_success.rejected_spans = batch.rejected
        answer.partial_success.error_message = batch.reason
    return answer
