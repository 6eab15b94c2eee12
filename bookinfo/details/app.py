"""HTTP face of the details service: `/details/<int>` and `/health`.

Environment: ENABLE_EXTERNAL_BOOK_SERVICE=true makes it version 2, which asks an outside book API (see external.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from bookinfo.common.client import Client
from bookinfo.common.propagation import END_USER, passed_on
from bookinfo.common.server import CLIENT, add_client, run
from bookinfo.common.settings import is_on
from bookinfo.details.external import BookService

BOOK_SERVICE = web.AppKey("book_service", BookService)
EXTERNAL = web.AppKey("external", bool)


def own_details(book_id: int) -> dict[str, object]:
    """What version 1 knows of any book."""
    return {
        "id": book_id,
        "author": "William Shakespeare",
        "year": 1595,
        "type": "paperback",
        "pages": 200,
        "publisher": "PublisherA",
        "language": "English",
        "ISBN-10": "1234567890",
        "ISBN-13": "123-1234567890",
    }


async def details(request: web.Request) -> web.Response:
    """GET /details/<int>: 200 with the details, 400 for an id that is not a number, 500 when the book API fails."""
    text = request.match_info["id"]
    if not (text.isascii() and text.isdigit()):
        return web.json_response({"error": f"the product id must be a whole number, not {text[:40]!r}"}, status=400)
    book_id = int(text[:18])
    if not request.app[EXTERNAL]:
        return web.json_response(own_details(book_id))
    client: Client = request.app[CLIENT]
    found = await request.app[BOOK_SERVICE].ask(client, book_id, passed_on(request.headers, (END_USER,)))
    return web.json_response(found, status=500 if "error" in found else 200)


async def health(request: web.Request) -> web.Response:
    """GET /health."""
    return web.json_response({"status": "Details is healthy"})


def make_app(env: Mapping[str, str]) -> web.Application:
    """The service as an aiohttp application, told by `env`."""
    app = web.Application()
    app[EXTERNAL] = is_on(env, "ENABLE_EXTERNAL_BOOK_SERVICE")
    app[BOOK_SERVICE] = BookService.from_env(env)
    if app[EXTERNAL]:
        add_client(app)
    app.router.add_get("/details/{id}", details)
    app.router.add_get("/health", health)
    return app


def main(argv: list[str]) -> int:
    """Serve until a signal; returns the exit code."""
    return run("details", make_app, argv)
