"""HTTP face of the ratings service: `GET` and `POST /ratings/<int>`, `/health`.

Environment: SERVICE_VERSION picks a way to misbehave (see misbehaviour.py) or, as v2, a database (see database.py).
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from bookinfo.common.server import run
from bookinfo.ratings.database import DatabaseError, RatingsDatabase, database_from_env
from bookinfo.ratings.misbehaviour import Misbehaviour

DEFAULT_RATINGS = {"Reviewer1": 5, "Reviewer2": 4}
PRODUCTS_LIMIT = 10_000
BODY_LIMIT_BYTES = 64 * 1024


class Ratings:
    """The service's handlers and what they remember. `clock` is monotonic seconds, `chance` uniform in [0, 1)."""

    def __init__(
        self,
        misbehaviour: Misbehaviour,
        database: RatingsDatabase | None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._misbehaviour = misbehaviour
        self._database = database
        self._clock = clock
        self._chance = chance
        self._started = clock()
        self._posted: dict[int, Any] = {}

    def app(self) -> web.Application:
        """The service as an aiohttp application."""
        app = web.Application(client_max_size=BODY_LIMIT_BYTES)
        app.router.add_get("/ratings/{id}", self.get)
        app.router.add_post("/ratings/{id}", self.post)
        app.router.add_get("/health", self.health)
        return app

    async def get(self, request: web.Request) -> web.Response:
        """GET /ratings/<int>: the ratings, or what the version's misbehaviour or its database makes of it."""
        product_id = _product_id(request)
        if product_id is None:
            return _bad_id()
        if self._database is not None:
            return await self._from_database(self._database, product_id)
        verdict = self._misbehaviour.verdict(self._clock() - self._started, self._chance())
        if verdict.delay_s:
            await asyncio.sleep(verdict.delay_s)
        if not verdict.available:
            return web.json_response({"error": "Service unavailable"}, status=503)
        return web.json_response({"id": product_id, "ratings": self._posted.get(product_id, DEFAULT_RATINGS)})

    async def post(self, request: web.Request) -> web.Response:
        """POST /ratings/<int>: replaces the product's ratings by the JSON body, until the process ends."""
        product_id = _product_id(request)
        if product_id is None:
            return _bad_id()
        if self._database is not None:
            return web.json_response({"error": "ratings kept in a database cannot be posted"}, status=501)
        try:
            ratings = json.loads(await request.read())
        except ValueError:
            return web.json_response({"error": "the body must be the ratings as JSON"}, status=400)
        if product_id not in self._posted and len(self._posted) >= PRODUCTS_LIMIT:
            return web.json_response({"error": f"keeps ratings of {PRODUCTS_LIMIT} products at most"}, status=507)
        self._posted[product_id] = ratings
        return web.json_response({"id": product_id, "ratings": ratings})

    async def health(self, request: web.Request) -> web.Response:
        """GET /health."""
        if self._misbehaviour.healthy(self._clock() - self._started):
            return web.json_response({"status": "Ratings is healthy"})
        return web.json_response({"status": "Ratings is not healthy"}, status=500)

    async def _from_database(self, database: RatingsDatabase, product_id: int) -> web.Response:
        try:
            stars = await asyncio.to_thread(database.stars)
        except DatabaseError as error:
            return web.json_response({"error": str(error)}, status=error.status)
        ratings = {f"Reviewer{number}": value for number, value in enumerate(stars, 1)}
        return web.json_response({"id": product_id, "ratings": ratings})


def _product_id(request: web.Request) -> int | None:
    text = request.match_info["id"]
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def _bad_id() -> web.Response:
    return web.json_response({"error": "the product id must be a whole number"}, status=400)


def make_app(env: Mapping[str, str]) -> web.Application:
    """The service as an aiohttp application, told by `env`."""
    version = env.get("SERVICE_VERSION", "")
    database = database_from_env(env) if version == "v2" or version.startswith("v2-") else None
    return Ratings(Misbehaviour(version), database).app()


def main(argv: list[str]) -> int:
    """Serve until a signal; returns the exit code."""
    return run("ratings", make_app, argv)
