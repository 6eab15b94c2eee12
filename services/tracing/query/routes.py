"""Jaeger's query API over HTTP: `/api/…` as Jaeger's UI and Grafana's data source ask, and `/api/v3/…`."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from services.tracing.decode.tags import KIND_NAMES
from services.tracing.query.adjust import Node, adjust, nodes_of
from services.tracing.query.jaeger_json import error_response, response, trace_json
from services.tracing.query.otlp_json import resource_spans_json
from services.tracing.query.params import (
    BadParameter,
    parse_bool,
    parse_dependencies,
    parse_rfc3339,
    parse_trace_id,
    parse_traces_query,
    parse_v3_search,
)
from services.tracing.store.reader import ANSWER_SPANS, QueryFailed, Reader, StoredSpan

_NOT_FOUND = "trace not found"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class QueryApi:
    """The routes. `max_skew_us`: how far clocks are corrected at most; 0: not at all, as Jaeger's default is."""

    def __init__(self, reader: Reader, max_skew_us: int = 0) -> None:
        self._reader = reader
        self._max_skew_us = max_skew_us

    def routes(self) -> list[web.RouteDef]:
        """For the port of the UI."""
        v1: list[tuple[str, Handler]] = [
            ("/api/services", self._services),
            ("/api/services/{service}/operations", self._operations_legacy),
            ("/api/operations", self._operations),
            ("/api/traces", self._traces),
            ("/api/traces/{id}", self._trace),
            ("/api/dependencies", self._dependencies),
        ]
        v3: list[tuple[str, Handler]] = [
            ("/api/v3/services", self._v3_services),
            ("/api/v3/operations", self._v3_operations),
            ("/api/v3/traces", self._v3_traces),
            ("/api/v3/traces/{id}", self._v3_trace),
        ]
        return [web.get(path, _guarded(handler, error_response)) for path, handler in v1] + [
            web.get(path, _guarded(handler, _v3_error)) for path, handler in v3
        ]

    # v1

    async def _services(self, _request: web.Request) -> web.Response:
        found = await self._reader.services()
        return _json(response(found, total=len(found)))

    async def _operations_legacy(self, request: web.Request) -> web.Response:
        found = await self._reader.operations(request.match_info["service"])
        names = sorted({name for name, _ in found})
        return _json(response(names, total=len(names)))

    async def _operations(self, request: web.Request) -> web.Response:
        service = request.query.get("service", "")
        if not service:
            raise BadParameter("parameter 'service' is required")
        wanted = request.query.get("spanKind", "")
        found = [
            {"name": name, "spanKind": KIND_NAMES.get(kind, "")}
            for name, kind in await self._reader.operations(service)
            if wanted in ("", KIND_NAMES.get(kind, ""))
        ]
        return _json(response(found, total=len(found)))

    async def _traces(self, request: web.Request) -> web.Response:
        query = parse_traces_query(request.query, int(time.time() * 1e6))
        errors: list[dict[str, Any]] = []
        traces = []
        if query.trace_ids:
            for trace_id in query.trace_ids:
                spans = await self._reader.trace(trace_id)
                if spans:
                    traces.append(spans)
                else:
                    errors.append({"msg": _NOT_FOUND, "traceID": trace_id.hex()})
        else:
            found = await self._reader.search(query.search)
            traces = found.traces
            if found.left_out:
                text = f"{found.left_out} more traces match: an answer has at most {ANSWER_SPANS} spans"
                errors.append({"msg": text})
        return await self._traces_response(traces, raw=False, errors=errors)

    async def _trace(self, request: web.Request) -> web.Response:
        trace_id = parse_trace_id(request.match_info["id"])
        spans = await self._reader.trace(trace_id)
        if not spans:
            return _json(error_response(404, _NOT_FOUND), 404)
        return await self._traces_response([spans], raw=parse_bool(request.query, "raw"), errors=[])

    async def _traces_response(
        self, traces: list[list[StoredSpan]], raw: bool, errors: list[dict[str, Any]]
    ) -> web.Response:
        def build() -> bytes:
            return _dump(response([trace_json(self._nodes(spans, raw)) for spans in traces], errors))

        return _json(await asyncio.to_thread(build))

    async def _dependencies(self, request: web.Request) -> web.Response:
        start, end = parse_dependencies(request.query, int(time.time() * 1e3))
        service = request.query.get("service", "")
        links = [
            {"parent": caller, "child": called, "callCount": count}
            for caller, called, count in await self._reader.dependencies(start, end)
            if service in ("", caller, called)
        ]
        return _json(response(links))

    # v3

    async def _v3_services(self, _request: web.Request) -> web.Response:
        return _json({"services": await self._reader.services()})

    async def _v3_operations(self, request: web.Request) -> web.Response:
        wanted = request.query.get("span_kind", "")
        found = [
            {"name": name, "spanKind": KIND_NAMES.get(kind, "internal")}
            for name, kind in await self._reader.operations(request.query.get("service", ""))
            if wanted in ("", KIND_NAMES.get(kind, "internal"))
        ]
        return _json({"operations": found})

    async def _v3_traces(self, request: web.Request) -> web.Response:
        search = parse_v3_search(request.query)
        raw = parse_bool(request.query, "query.raw_traces")
        return await self._v3_response((await self._reader.search(search)).traces, raw)

    async def _v3_trace(self, request: web.Request) -> web.Response:
        try:
            trace_id = parse_trace_id(request.match_info["id"])
        except BadParameter as error:
            raise BadParameter(f"malformed parameter trace_id: {error}") from error
        for name in ("start_time", "end_time"):
            if request.query.get(name, ""):
                parse_rfc3339(request.query[name], name)  # a hint for stores that are sharded by time; this is none
        spans = await self._reader.trace(trace_id)
        return await self._v3_response([spans] if spans else [], parse_bool(request.query, "raw_traces"))

    async def _v3_response(self, traces: list[list[StoredSpan]], raw: bool) -> web.Response:
        if not traces:
            return _json(_v3_error(404, "No traces found"), 404)

        def build() -> bytes:
            found = resource_spans_json(self._nodes(spans, raw) for spans in traces)
            return _dump({"result": {"resourceSpans": found}})

        return _json(await asyncio.to_thread(build))

    def _nodes(self, spans: list[StoredSpan], raw: bool) -> list[Node]:
        return nodes_of(spans) if raw else adjust(spans, self._max_skew_us)


def _guarded(handler: Handler, error: Callable[[int, str], dict[str, Any]]) -> Handler:
    async def guarded(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except BadParameter as problem:
            return _json(error(400, str(problem)), 400)
        except QueryFailed as problem:
            return _json(error(503, str(problem)), 503)

    return guarded


def _v3_error(code: int, message: str) -> dict[str, Any]:
    return {"error": {"httpCode": code, "message": message}}


def _dump(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _json(document: dict[str, Any] | bytes, status: int = 200) -> web.Response:
    body = document if isinstance(document, bytes) else _dump(document)
    answer = web.Response(body=body, status=status, content_type="application/json", charset="utf-8")
    if len(body) > 16_384:
        answer.enable_compression()
    return answer
