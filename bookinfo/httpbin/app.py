"""HTTP face of httpbin: the table of paths, and the handlers behind them."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import Mapping
from http.cookies import CookieError
from typing import Any

from aiohttp import web

from bookinfo.common.server import run
from bookinfo.httpbin.describe import body_of, headers_of, origin_of, values_of
from bookinfo.httpbin.status import parse_choices, pick, reason

DEFAULT_PORT = 8000
DELAY_LIMIT_S = 10.0
BYTES_LIMIT = 10 * 1024 * 1024
LINES_LIMIT = 100
REDIRECTS_LIMIT = 20
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
BODY_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>A page</title></head>
<body><h1>A page</h1><p>Enough HTML to look at how it travels.</p></body></html>
"""
SAMPLE = {
    "trip": {"boat": "lugger", "crew": ["Ann", "Ben"], "legs": [{"from": "Brest", "to": "Falmouth", "miles": 105}]}
}


def _json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response(
        value, status=status, headers=headers, dumps=lambda data: json.dumps(data, indent=2) + "\n"
    )


def _bad(text: str) -> web.Response:
    return _json({"error": text}, status=400)


def _number(text: str, limit: float) -> float | None:
    """A number from 0 up to `limit` (more is cut to it); None for what is no number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return min(value, limit) if value >= 0 else None


def _place(request: web.Request) -> dict[str, Any]:
    """What every description of a request has."""
    scheme = request.headers.get("X-Forwarded-Proto", request.scheme)
    return {
        "args": values_of(request.query.items()),
        "headers": headers_of(request.headers.items()),
        "origin": origin_of(request.headers.get("X-Forwarded-For"), request.remote),
        "url": f"{scheme}://{request.host}{request.raw_path}",
    }


async def _whole(request: web.Request) -> dict[str, Any]:
    """The request with its method and body."""
    form: dict[str, Any] | None = None
    body = b""
    if request.content_type in FORM_TYPES and request.method in BODY_METHODS:
        fields = await request.post()
        form = values_of((name, value) for name, value in fields.items() if isinstance(value, str))
    else:
        body = await request.read()
    return {**_place(request), "method": request.method, **body_of(body, form)}


async def get(request: web.Request) -> web.Response:
    """GET /get: arguments, headers, origin, url."""
    return _json(_place(request))


async def anything(request: web.Request) -> web.Response:
    """Any method on /anything and what is below; POST /post, PUT /put, PATCH /patch, DELETE /delete."""
    return _json(await _whole(request))


async def headers(request: web.Request) -> web.Response:
    """GET /headers."""
    return _json({"headers": _place(request)["headers"]})


async def ip(request: web.Request) -> web.Response:
    """GET /ip."""
    return _json({"origin": _place(request)["origin"]})


async def user_agent(request: web.Request) -> web.Response:
    """GET /user-agent."""
    return _json({"user-agent": request.headers.get("User-Agent")})


async def status(request: web.Request) -> web.Response:
    """Any method on /status/{codes}: that status, or one of several at random."""
    try:
        choices = parse_choices(request.match_info["codes"])
    except ValueError as error:
        return _bad(str(error))
    chosen = pick(choices, random.random())
    location = {"Location": "/redirect/1"} if chosen in (301, 302, 303, 307, 308) else {}
    return web.Response(status=chosen, reason=reason(chosen), headers=location)


async def delay(request: web.Request) -> web.Response:
    """Any method on /delay/{seconds}: /anything's answer after up to DELAY_LIMIT_S."""
    seconds = _number(request.match_info["seconds"], DELAY_LIMIT_S)
    if seconds is None:
        return _bad("the delay must be a number of seconds, 0 or more")
    answer = await _whole(request)
    await asyncio.sleep(seconds)
    return _json(answer)


async def response_headers(request: web.Request) -> web.Response:
    """GET or POST /response-headers?name=value…: answers with those headers."""
    answer = web.Response(content_type="application/json")
    try:
        for name, value in request.query.items():
            if any(char in "\r\n\0" for char in name + value):
                raise ValueError
            if name.lower() in ("content-type", "content-length", "transfer-encoding", "connection"):
                continue
            answer.headers.add(name, value)
    except ValueError:
        return _bad("a header cannot hold a line break")
    answer.text = json.dumps(values_of(request.query.items()), indent=2) + "\n"
    return answer


async def redirect(request: web.Request) -> web.Response:
    """GET /redirect/{n}: n redirects, then /get."""
    number = int(request.match_info["n"])
    if not 1 <= number <= REDIRECTS_LIMIT:
        return _bad(f"from 1 to {REDIRECTS_LIMIT} redirects")
    return web.Response(status=302, headers={"Location": "/get" if number == 1 else f"/redirect/{number - 1}"})


async def cookies(request: web.Request) -> web.Response:
    """GET /cookies."""
    return _json({"cookies": dict(request.cookies)})


async def set_cookies(request: web.Request) -> web.Response:
    """GET /cookies/set?name=value… or /cookies/set/{name}/{value}: sets them and goes to /cookies."""
    return _change_cookies(request, delete=False)


async def delete_cookies(request: web.Request) -> web.Response:
    """GET /cookies/delete?name…."""
    return _change_cookies(request, delete=True)


def _change_cookies(request: web.Request, delete: bool) -> web.Response:
    answer = web.Response(status=302, headers={"Location": "/cookies"})
    wanted = dict(request.query)
    if "name" in request.match_info:
        wanted[request.match_info["name"]] = request.match_info["value"]
    try:
        for name, value in wanted.items():
            if delete:
                answer.del_cookie(name)
            else:
                answer.set_cookie(name, value, path="/")
    except (CookieError, ValueError) as error:
        return _bad(f"not a cookie: {error}")
    return answer


async def random_bytes(request: web.Request) -> web.Response:
    """GET /bytes/{n}: n random bytes, at most BYTES_LIMIT."""
    size = min(int(request.match_info["n"]), BYTES_LIMIT)
    return web.Response(body=random.randbytes(size), content_type="application/octet-stream")


async def stream(request: web.Request) -> web.StreamResponse:
    """GET /stream/{n}: n JSON lines, each in a chunk of its own, at most LINES_LIMIT."""
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    answer.enable_chunked_encoding()
    place = _place(request)
    await answer.prepare(request)
    for number in range(min(int(request.match_info["n"]), LINES_LIMIT)):
        await answer.write(json.dumps({"id": number, **place}).encode() + b"\n")
    await answer.write_eof()
    return answer


async def some_uuid(request: web.Request) -> web.Response:
    """GET /uuid."""
    return _json({"uuid": str(uuid.uuid4())})


async def html(request: web.Request) -> web.Response:
    """GET /html."""
    return web.Response(text=PAGE, content_type="text/html")


async def sample_json(request: web.Request) -> web.Response:
    """GET /json."""
    return _json(SAMPLE)


async def healthz(request: web.Request) -> web.Response:
    """GET /healthz."""
    return web.Response(text="ok")


async def index(request: web.Request) -> web.Response:
    """GET /: the paths."""
    paths = {resource.canonical for resource in request.app.router.resources()}
    return _json({"paths": sorted(paths)})


def make_app(env: Mapping[str, str]) -> web.Application:
    """The service as an aiohttp application; it takes nothing from the environment."""
    app = web.Application(client_max_size=BYTES_LIMIT)
    route = app.router.add_route
    for path, handler in (
        ("/", index),
        ("/get", get),
        ("/headers", headers),
        ("/ip", ip),
        ("/user-agent", user_agent),
        (r"/redirect/{n:\d{1,4}}", redirect),
        ("/cookies", cookies),
        ("/cookies/set", set_cookies),
        ("/cookies/set/{name}/{value}", set_cookies),
        ("/cookies/delete", delete_cookies),
        (r"/bytes/{n:\d{1,12}}", random_bytes),
        (r"/stream/{n:\d{1,6}}", stream),
        ("/uuid", some_uuid),
        ("/html", html),
        ("/json", sample_json),
        ("/healthz", healthz),
        ("/response-headers", response_headers),
    ):
        app.router.add_get(path, handler)
    for method in sorted(BODY_METHODS):
        route(method, f"/{method.lower()}", anything)
    route("POST", "/response-headers", response_headers)
    for path, handler in (
        ("/anything", anything),
        ("/anything/{rest:.*}", anything),
        ("/status/{codes}", status),
        ("/delay/{seconds}", delay),
    ):
        route("*", path, handler)
    return app


def main(argv: list[str]) -> int:
    """Serve until a signal; returns the exit code."""
    return run("httpbin", make_app, argv, DEFAULT_PORT)
