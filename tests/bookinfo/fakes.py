"""A service that stands in for another: records what it was asked, answers what it is told to."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer


class FakeService:
    """Answers any path with `status` and `body` after `delay_s`; `requests` holds (path, headers) of each request."""

    def __init__(self, body: Any, status: int = 200, delay_s: float = 0.0) -> None:
        self.body = body
        self.status = status
        self.delay_s = delay_s
        self.requests: list[tuple[str, dict[str, str]]] = []
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._server = TestServer(app)

    @property
    def url(self) -> str:
        """Base URL without a slash at its end."""
        return str(self._server.make_url("")).rstrip("/")

    async def __aenter__(self) -> FakeService:
        await self._server.start_server()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._server.close()

    async def _answer(self, request: web.Request) -> web.Response:
        self.requests.append((request.path, {name.lower(): value for name, value in request.headers.items()}))
        await asyncio.sleep(self.delay_s)
        if isinstance(self.body, str):
            return web.Response(text=self.body, status=self.status)
        return web.json_response(self.body, status=self.status)
