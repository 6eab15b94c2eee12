"""OTLP over HTTP: POST /v1/traces, protobuf or JSON, answered in what it came in.

Errors are a google.rpc.Status, as the OTLP specification has it; 503 with Retry-After asks to come again.
"""

from __future__ import annotations

import json

import grpc
from aiohttp import web
from google.protobuf.json_format import MessageToJson
from google.rpc.status_pb2 import Status

from services.tracing.decode.batch import BadSpans
from services.tracing.decode.otlp import decode_otlp
from services.tracing.decode.otlp_json import decode_otlp_json
from services.tracing.receive.http_body import BadBody, media_type, read_body
from services.tracing.receive.intake import RETRY_AFTER_S, Intake
from services.tracing.receive.otlp_grpc import export_response
from services.tracing.store.writer import Refused

PROTOCOL = "otlp-http"
_JSON = "application/json"
_PROTO = "application/x-protobuf"
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    503: grpc.StatusCode.UNAVAILABLE,
}


class OtlpHttp:
    """The route."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def routes(self) -> list[web.RouteDef]:
        """For the port of OTLP over HTTP."""
        return [web.post("/v1/traces", self._export)]

    async def _export(self, request: web.Request) -> web.Response:
        kind = media_type(request)
        as_json = kind == _JSON
        if kind not in (_JSON, _PROTO):
            self._intake.invalid(PROTOCOL)
            return _error(415, f"Content-Type {kind[:60]!r} is not supported: use {_PROTO} or {_JSON}", True)
        try:
            body = await read_body(request)
            batch = await self._intake.take(PROTOCOL, body, decode_otlp_json if as_json else decode_otlp)
        except BadBody as error:
            if error.status == 413:
                self._intake.too_large(PROTOCOL)
            else:
                self._intake.invalid(PROTOCOL)
            return _error(error.status, str(error), as_json)
        except BadSpans as error:
            return _error(400, str(error), as_json)
        except Refused as error:
            return _error(503, str(error), as_json)
        answer = export_response(batch)
        if as_json:
            return web.json_response(text=MessageToJson(answer, indent=None))
        return web.Response(body=answer.SerializeToString(), content_type=_PROTO)


def _error(status: int, message: str, as_json: bool) -> web.Response:
    code = _CODES[status].value[0]
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None
    if as_json:
        return web.json_response(text=json.dumps({"code": code, "message": message}), status=status, headers=headers)
    body = Status(code=code, message=message).SerializeToString()
    return web.Response(body=body, content_type=_PROTO, status=status, headers=headers)
