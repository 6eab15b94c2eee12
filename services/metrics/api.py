"""The service's pages: the graph, series, Prometheus' page, health."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from services.metrics.directory import Directory
from services.metrics.expose import render
from services.metrics.flows import HISTORY_S, SLOT_S, Flows
from services.metrics.graph import graph, summed
from services.metrics.own_metrics import OwnMetrics
from services.metrics.scrape import Scraper
from services.metrics.series import METRICS, aligned, series

_DURATION = re.compile(r"(\d{1,5}(?:\.\d{1,3})?)(ms|s|m|h)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_LABEL = re.compile(r"[a-z_]{1,64}")
MAX_POINTS = 720
SCOPES = ("all", "envoy")


class Api:
    """Reads what others wrote; answers 400 with what is wrong in the question."""

    def __init__(self, flows: Flows, scraper: Scraper, directory: Directory, metrics: OwnMetrics) -> None:
        self._flows = flows
        self._scraper = scraper
        self._directory = directory
        self._metrics = metrics

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/graph", self.graph),
            web.get("/api/series", self.series),
            web.get("/metrics", self.metrics),
            web.get("/health", self.health),
            web.get("/ready", self.ready),
        ]

    async def graph(self, request: web.Request) -> web.StreamResponse:
        """?window=60s: of the last whole slots and what is in the running one."""
        window = min(HISTORY_S, max(SLOT_S, duration(request.query, "window", "60s")))
        now = time.time()
        cells = summed(self._flows.window(int(now - window) // SLOT_S * SLOT_S, now))
        return _json({"at": now, **graph(cells, window)})

    async def series(self, request: web.Request) -> web.StreamResponse:
        """?metric=…&by=a,b&window=10m&step=10s&LABEL=VALUE…"""
        query = dict(request.query)
        metric = query.pop("metric", "istio_requests_total")
        if metric not in METRICS:
            raise _bad(f"metric {metric!r} is not one of {', '.join(METRICS)}")
        by = [name for name in query.pop("by", "").split(",") if name]
        window, step = (duration(request.query, name, usual) for name, usual in (("window", "10m"), ("step", "10s")))
        only = {name: value for name, value in query.items() if name not in ("window", "step")}
        for name in (*by, *only):
            if not _LABEL.fullmatch(name):
                raise _bad(f"{name!r} is not a label such as response_code")
        now = time.time()
        start, step_s, count = aligned(now, min(window, HISTORY_S), step)
        if count > MAX_POINTS:
            raise _bad(f"{count} points are more than {MAX_POINTS}; make window shorter or step longer")
        slots = self._flows.window(start, now)
        found = series(slots, metric, by, only, start, step_s, count)
        return _json({"metric": metric, "start": start, "step_s": step_s, "series": found})

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """Prometheus' page. ?scope=envoy: without the pages of proxies, for who scrapes them too."""
        scope = request.query.get("scope", "all")
        if scope not in SCOPES:
            raise _bad(f"scope {scope!r} is not one of {', '.join(SCOPES)}")
        pages = dict(self._scraper.pages) if scope == "all" else {}
        # Beside the loop: it may be megabytes, and entries keep coming.
        text = await asyncio.to_thread(render, list(self._flows), self._directory.targets, pages)
        body = text.encode() + self._metrics.render()
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def health(self, _: web.Request) -> web.StreamResponse:
        """200 while the process answers."""
        return web.Response(text="ok\n")

    async def ready(self, _: web.Request) -> web.StreamResponse:
        """200 once the control plane has said who there is."""
        if self._directory.answered.is_set():
            return web.Response(text="ok\n")
        return web.Response(status=503, text="the control plane has not answered yet\n")


def duration(query: Mapping[str, str], name: str, usual: str) -> float:
    """`60s`, `5m`, `1h` or seconds → seconds. Raises HTTPBadRequest."""
    match = _DURATION.fullmatch(query.get(name, usual))
    if match is None or not float(match[1]):
        raise _bad(f"{name} {query.get(name)!r} is not a duration; write 60s, 5m or 1h")
    return float(match[1]) * _UNITS[match[2]]


def _bad(text: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=json.dumps({"error": text}) + "\n", content_type="application/json")


def _json(value: Any) -> web.Response:
    return web.json_response(value, dumps=lambda v: json.dumps(v, separators=(",", ":")) + "\n")
