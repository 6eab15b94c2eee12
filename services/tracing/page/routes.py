"""The pages over HTTP: `/` and `/search` (the list), `/trace/{id}` (the waterfall; also Jaeger UI's own path).

No script, nothing from elsewhere, everything escaped; the policy in the headers says so to the browser too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, select_autoescape

from services.tracing.page.views import TraceView, summary_of, trace_view
from services.tracing.query.adjust import adjust
from services.tracing.query.params import BadParameter, parse_search, parse_trace_id
from services.tracing.store.reader import Found, QueryFailed, Reader, Search, StoredSpan

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
LIST_LIMIT = 20
MAX_LIST = 200
#: Traces with more spans show one span's tags at a time: a page of many megabytes helps nobody.
TAGS_OF_ALL = 400
LOOKBACKS = ("5m", "15m", "1h", "6h", "2d")
_HERE = Path(__file__).parent
_STYLE = (_HERE / "static" / "style.css").read_bytes()


class Pages:
    """The routes."""

    def __init__(self, reader: Reader, max_skew_us: int = 0) -> None:
        self._reader = reader
        self._max_skew_us = max_skew_us
        loader = FileSystemLoader(_HERE / "templates")
        self._templates = Environment(loader=loader, autoescape=select_autoescape(default=True), trim_blocks=True)

    def routes(self) -> list[web.RouteDef]:
        """For the port of the UI."""
        return [
            web.get("/", self._list),
            web.get("/search", self._list),
            web.get("/trace/{id}", self._trace),
            web.get("/static/style.css", self._style),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        query = {key: value.strip() for key, value in request.query.items()}
        page: dict[str, Any] = {"query": query, "lookbacks": LOOKBACKS, "default_limit": LIST_LIMIT, "error": ""}
        page |= {"services": [], "operations": [], "traces": [], "left_out": 0}
        status = 200
        try:
            page["services"] = await self._reader.services()
            if query.get("service"):
                page["operations"] = sorted({name for name, _ in await self._reader.operations(query["service"])})
            found = await self._reader.search(_search_of(request, query))
            page["traces"] = await asyncio.to_thread(self._summaries, found)
            page["left_out"] = found.left_out
        except BadParameter as error:
            status, page["error"] = 400, str(error)
        except QueryFailed as error:
            status, page["error"] = 503, str(error)
        return self._html("list.html", page, status)

    async def _trace(self, request: web.Request) -> web.Response:
        try:
            trace_id = parse_trace_id(request.match_info["id"])
            spans = await self._reader.trace(trace_id)
        except BadParameter as error:
            return self._html("missing.html", {"message": str(error)}, 400)
        except QueryFailed as error:
            return self._html("missing.html", {"message": str(error)}, 503)
        if not spans:
            text = f"No span of trace {trace_id.hex()} is stored: it never came, or it has been deleted by age or size."
            return self._html("missing.html", {"message": text}, 404)
        opened = request.query.get("span", "")
        view = await asyncio.to_thread(self._view, spans, opened)
        page = {"trace": view, "opened": opened, "all_tags": len(spans) <= TAGS_OF_ALL}
        return self._html("trace.html", page, 200)

    def _summaries(self, found: Found) -> list[Any]:
        lines = [summary_of(adjust(spans, self._max_skew_us)) for spans in found.traces]
        longest = max((line.duration_us for line in lines), default=0) or 1
        return [replace(line, part=max(0.5, line.duration_us * 100 / longest)) for line in lines]

    def _view(self, spans: list[StoredSpan], opened: str) -> TraceView:
        return trace_view(adjust(spans, self._max_skew_us), len(spans) <= TAGS_OF_ALL, opened)

    async def _style(self, _request: web.Request) -> web.Response:
        headers = {**HEADERS, "Cache-Control": "max-age=60"}
        return web.Response(body=_STYLE, content_type="text/css", charset="utf-8", headers=headers)

    def _html(self, name: str, page: Mapping[str, Any], status: int) -> web.Response:
        text = self._templates.get_template(name).render(page)
        answer = web.Response(text=text, content_type="text/html", status=status, headers=HEADERS)
        answer.enable_compression()
        return answer


def _search_of(request: web.Request, query: Mapping[str, str]) -> Search:
    """The form's fields are those of /api/traces; empty ones count as absent, and the list is short by default."""
    search = parse_search(request.query, int(time.time() * 1e6))
    limit = min(search.limit, MAX_LIST) if query.get("limit") else LIST_LIMIT
    tags = {key: value for key, value in search.tags.items() if key}
    return replace(
        search, limit=limit, tags=tags, service=query.get("service", ""), operation=query.get("operation", "")
    )
