"""A small stand-in of Bookinfo: the answers that the load looks at, with switches for what can go wrong."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

STARS = {"v1": "", "v2": '<p data-color="black">★</p>', "v3": '<p data-color="red">★</p>'}


@dataclass
class StandIn:
    """`fault` is one of the branches below; `versions` are served in turn."""

    fault: str = ""
    versions: tuple[str, ...] = ("v1",)
    delay_s: float = 0.0
    paths: Counter[str] = field(default_factory=Counter)
    request_ids: list[str] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)
    _served: int = 0

    @property
    def total(self) -> int:
        """Requests that came in."""
        return sum(self.paths.values())

    def app(self) -> web.Application:
        """As an aiohttp application."""
        app = web.Application(middlewares=[self._note])
        app.router.add_post("/login", self.login)
        app.router.add_get("/logout", self.logout)
        app.router.add_get("/productpage", self.page)
        app.router.add_get("/static/{name}", self.static)
        app.router.add_get("/api/v1/products", self.products)
        app.router.add_get("/api/v1/products/0", self.details)
        app.router.add_get("/api/v1/products/0/reviews", self.reviews)
        app.router.add_get("/api/v1/products/0/ratings", self.ratings)
        return app

    @web.middleware
    async def _note(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.paths[request.path] += 1
        self.request_ids.append(request.headers["x-request-id"])
        self.agents.add(request.headers["user-agent"])
        if self.fault == "drop":
            assert request.transport is not None
            request.transport.close()
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        return await handler(request)  # type: ignore[no-any-return]

    async def login(self, request: web.Request) -> web.Response:
        """A cookie, or none."""
        form = await request.post()
        answer = web.Response(status=302, headers={"Location": "/productpage"})
        if self.fault != "no cookie":
            answer.set_cookie("session", str(form["username"]))
        return answer

    async def logout(self, request: web.Request) -> web.Response:
        """Takes the cookie back."""
        answer = web.Response(status=302, headers={"Location": "/productpage"})
        answer.del_cookie("session")
        return answer

    async def page(self, request: web.Request) -> web.Response:
        """Always a 200, but for one fault."""
        if self.fault == "503":
            return web.Response(status=503, text="upstream connect error")
        user = request.cookies.get("session")
        signed_in = f"Signed in as <strong>{user}</strong>" if user else ""
        reviews = f"<h2>Book Reviews</h2>{STARS[self._version()]}"
        if self.fault == "reviews":
            reviews = "<h2>Error fetching product reviews!</h2>"
        if self.fault == "ratings":
            reviews = "<h2>Book Reviews</h2>Ratings service is currently unavailable"
        text = f'{signed_in}<section id="reviews">{reviews}</section>'
        return web.Response(text=text, content_type="text/html")

    async def static(self, request: web.Request) -> web.Response:
        """Anything."""
        return web.Response(text="body {}")

    async def products(self, request: web.Request) -> web.Response:
        """The list."""
        return web.json_response([{"id": 0, "title": "The Comedy of Errors"}])

    async def details(self, request: web.Request) -> web.Response:
        """The details."""
        return web.json_response({"author": "William Shakespeare"})

    async def reviews(self, request: web.Request) -> web.Response:
        """The reviews, by the version whose turn it is."""
        color = {"v1": None, "v2": "black", "v3": "red"}[self._version()]
        review: dict[str, Any] = {"reviewer": "Reviewer1", "text": "x"}
        if color:
            review["rating"] = {"stars": 5, "color": color}
        if self.fault == "ratings":
            review["rating"] = {"error": "Ratings service is currently unavailable"}
        return web.json_response({"reviews": [review]})

    async def ratings(self, request: web.Request) -> web.Response:
        """The ratings, or what productpage's API says when there are none."""
        if self.fault == "ratings":
            return web.json_response({"error": "Sorry"})
        return web.json_response({"ratings": {"Reviewer1": 5}})

    def _version(self) -> str:
        version = self.versions[self._served % len(self.versions)]
        self._served += 1
        return version
