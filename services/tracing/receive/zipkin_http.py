"""Zipkin v2 over HTTP: POST /api/v2/spans, a list of spans in JSON or protobuf. 202 when all of it is committed."""

from __future__ import annotations

from aiohttp import web

from services.tracing.decode.batch import BadSpans
from services.tracing.decode.zipkin import decode_zipkin_json
from services.tracing.decode.zipkin_proto import decode_zipkin_proto
from services.tracing.receive.http_body import BadBody, media_type, read_body
from services.tracing.receive.intake import RETRY_AFTER_S, Intake
from services.tracing.store.writer import Refused

PROTOCOL = "zipkin"
_PROTO = ("application/x-protobuf", "application/protobuf")
# Senders that name no type are common. Others are refused: a browser sends text/plain from any page without asking.
_JSON = ("application/json", "")


class ZipkinHttp:
    """The route."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def routes(self) -> list[web.RouteDef]:
        """For Zipkin's port."""
        return [web.post("/api/v2/spans", self._spans), web.post("/api/v1/spans", self._v1)]

    async def _spans(self, request: web.Request) -> web.Response:
        kind = media_type(request)
        if kind not in _PROTO + _JSON:
            self._intake.invalid(PROTOCOL)
            return web.Response(status=415, text=f"Content-Type {kind[:60]!r} is not supported: use {_JSON[0]}\n")
        try:
            body = await read_body(request)
            await self._intake.take(PROTOCOL, body, decode_zipkin_proto if kind in _PROTO else decode_zipkin_json)
        except BadBody as error:
            if error.status == 413:
                self._intake.too_large(PROTOCOL)
            else:
                self._intake.invalid(PROTOCOL)
            return web.Response(status=error.status, text=f"{error}\n")
        except BadSpans as error:
            return web.Response(status=400, text=f"Cannot decode spans: {error}\n")
        except Refused as error:
            return web.Response(status=503, text=f"{error}\n", headers={"Retry-After": str(RETRY_AFTER_S)})
        return web.Response(status=202)

    async def _v1(self, _request: web.Request) -> web.Response:
        return web.Response(status=410, text="Zipkin v1 is not supported: send v2 to /api/v2/spans\n")
