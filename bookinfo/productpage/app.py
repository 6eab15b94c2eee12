"""HTTP face of the product page: the page itself, sign-in and sign-out, and the same data as a JSON API."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from aiohttp import web
from multidict import CIMultiDict

from bookinfo.common.propagation import END_USER, passed_on
from bookinfo.common.server import CLIENT, add_client, run
from bookinfo.productpage import session
from bookinfo.productpage.backends import Backends, Outcome
from bookinfo.productpage.catalog import PRODUCTS, product
from bookinfo.productpage.metrics import exposition
from bookinfo.productpage.page import reviews_of
from bookinfo.productpage.settings import Settings

FORM_LIMIT_BYTES = 16 * 1024


class ProductPage:
    """The service's handlers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_folder("templates")),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._backends: Backends | None = None

    def app(self) -> web.Application:
        """The service as an aiohttp application."""
        app = web.Application(client_max_size=FORM_LIMIT_BYTES)
        add_client(app)
        app.on_startup.append(self._connect)
        app.router.add_get("/", self.index)
        app.router.add_get("/index.html", self.index)
        app.router.add_get("/productpage", self.page)
        app.router.add_get("/health", self.health)
        app.router.add_get("/metrics", self.metrics)
        app.router.add_post("/login", self.login)
        app.router.add_get("/logout", self.logout)
        app.router.add_get("/api/v1/products", self.api_products)
        app.router.add_get(r"/api/v1/products/{id:\d{1,18}}", self.api_details)
        app.router.add_get(r"/api/v1/products/{id:\d{1,18}}/reviews", self.api_reviews)
        app.router.add_get(r"/api/v1/products/{id:\d{1,18}}/ratings", self.api_ratings)
        app.router.add_static("/static", _folder("static"))
        return app

    @property
    def backends(self) -> Backends:
        """The calls to the other services; there from start-up on."""
        assert self._backends is not None, "the application has not started"
        return self._backends

    async def index(self, request: web.Request) -> web.Response:
        """GET / and /index.html: what this is, and a way in."""
        return self._html("index.html", settings=self._settings)

    async def page(self, request: web.Request) -> web.Response:
        """GET /productpage: always 200; says in its body which service failed."""
        book = PRODUCTS[0]
        headers = self._headers(request)
        details = await self.backends.details(book.id, headers)
        await self.backends.flood(book.id, headers)
        reviews = await self.backends.reviews(book.id, headers)
        return self._html(
            "productpage.html",
            product=book,
            details=details,
            reviews=reviews,
            shown_reviews=reviews_of(reviews.body),
            user=self._user(request),
        )

    async def health(self, request: web.Request) -> web.Response:
        """GET /health."""
        return web.Response(text="Product page is healthy")

    async def metrics(self, request: web.Request) -> web.Response:
        """GET /metrics, for Prometheus."""
        return web.Response(
            body=exposition(self.backends.results).encode(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    async def login(self, request: web.Request) -> web.Response:
        """POST /login with the form field `username`; any password will do. Goes back to where the form was."""
        form = await request.post()
        typed = form.get("username")
        response = _back(request)
        user = session.usable_name(typed) if isinstance(typed, str) else ""
        if user:
            value = session.sign(user, self._settings.session_secret)
            response.set_cookie(session.COOKIE, value, httponly=True, samesite="Lax", path="/")
        return response

    async def logout(self, request: web.Request) -> web.Response:
        """GET /logout."""
        response = _back(request)
        response.del_cookie(session.COOKIE, path="/")
        return response

    async def api_products(self, request: web.Request) -> web.Response:
        """GET /api/v1/products: the list of books."""
        return web.json_response([book._asdict() for book in PRODUCTS])

    async def api_details(self, request: web.Request) -> web.Response:
        """GET /api/v1/products/<id>: the book's details, with the status that the details service gave."""
        return await self._api(request, self.backends.details)

    async def api_reviews(self, request: web.Request) -> web.Response:
        """GET /api/v1/products/<id>/reviews."""
        return await self._api(request, self.backends.reviews)

    async def api_ratings(self, request: web.Request) -> web.Response:
        """GET /api/v1/products/<id>/ratings."""
        return await self._api(request, self.backends.ratings)

    async def _api(self, request: web.Request, call: Any) -> web.Response:
        product_id = int(request.match_info["id"])
        if product(product_id) is None:
            return web.json_response({"error": f"there is no product {product_id}; try 0"}, status=404)
        outcome: Outcome = await call(product_id, self._headers(request))
        return web.json_response(outcome.body, status=outcome.status)

    def _user(self, request: web.Request) -> str | None:
        return session.user_of(request.cookies.get(session.COOKIE), self._settings.session_secret)

    def _headers(self, request: web.Request) -> CIMultiDict[str]:
        """What the calls of this request carry. `end-user` is the session's user, whatever the client claims."""
        headers = passed_on(request.headers)
        user = self._user(request)
        if user is not None:
            headers[END_USER] = user
        return headers

    def _html(self, template: str, **values: Any) -> web.Response:
        text = self._templates.get_template(template).render(values)
        return web.Response(text=text, content_type="text/html", headers={"Cache-Control": "no-store"})

    async def _connect(self, app: web.Application) -> None:
        self._backends = Backends(self._settings, app[CLIENT])


def _back(request: web.Request) -> web.Response:
    """A redirect to the page that the request came from."""
    return web.Response(status=302, headers={"Location": request.headers.get("Referer") or "/productpage"})


def _folder(name: str) -> Path:
    """A folder beside this module."""
    return Path(str(resources.files("bookinfo.productpage").joinpath(name)))


def make_app(env: Mapping[str, str]) -> web.Application:
    """The service as an aiohttp application, told by `env`."""
    return ProductPage(Settings.from_env(env)).app()


def main(argv: list[str]) -> int:
    """Serve until a signal; returns the exit code."""
    return run("productpage", make_app, argv)
