"""`/health` (the process answers), `/ready` (spans can be stored), `/metrics`: on every HTTP port."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from services.tracing.metrics import TracingMetrics


class StatusPages:
    """`failure` says why nothing can be stored; empty where it can. `serving` is set while all ports are open."""

    def __init__(self, metrics: TracingMetrics, failure: Callable[[], str]) -> None:
        self._metrics = metrics
        self._failure = failure
        self.serving = False

    def routes(self) -> list[web.RouteDef]:
        """For any port. Zipkin's senders look at /health."""
        return [
            web.get("/health", self._health),
            web.get("/ready", self._ready),
            web.get("/metrics", self._metrics_page),
        ]

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "UP"})

    async def _ready(self, _request: web.Request) -> web.Response:
        failure = self._failure() or ("" if self.serving else "starting or stopping")
        return web.json_response({"ready": not failure, "reason": failure}, status=503 if failure else 200)

    async def _metrics_page(self, _request: web.Request) -> web.Response:
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=self._metrics.render(), headers=headers)
