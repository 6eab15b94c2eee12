"""Runs one service: where it listens, how it stops, what it logs.

Environment: BIND_ADDRESS (default 127.0.0.1; a container image sets 0.0.0.0), PORT (0: any free one),
ACCESS_LOG=true for a JSON line per request on stdout, PROPAGATE_HEADERS=false for calls to other services without the
headers of tracing: each trace then ends here, as with an app that knows nothing of it.
SIGTERM and SIGINT let requests in flight finish; for STOP_DELAY_MS before that (default 0) new ones are still served,
while those who send them learn to stop.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping

import uvloop
from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.web_runner import GracefulExit

from bookinfo.common.client import Client
from bookinfo.common.settings import DEFAULT_PORT, InvalidSetting, integer, is_not_off, is_on, port

CLIENT = web.AppKey("client", Client)
PROPAGATES = web.AppKey("propagates", bool)
DRAIN_S = 3.0
MAX_STOP_DELAY_MS = 60_000
EXIT_FAILED = 1
EXIT_USAGE = 64


class JsonAccessLogger(AbstractAccessLogger):
    """One JSON object a request: method, path, status, bytes sent, milliseconds, request id."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Write the line; `time` is in seconds."""
        line = {
            "method": request.method,
            "path": request.path_qs,
            "status": response.status,
            "bytes_sent": response.body_length,
            "duration_ms": round(time * 1000, 3),
            "request_id": request.headers.get("x-request-id"),
        }
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def add_client(app: web.Application) -> None:
    """Give the application a Client for as long as it runs, as `app[CLIENT]`."""

    async def with_client(app: web.Application) -> AsyncIterator[None]:
        client = Client(traced=app.get(PROPAGATES, True))
        app[CLIENT] = client
        yield
        await client.close()

    app.cleanup_ctx.append(with_client)


def run(
    name: str,
    make_app: Callable[[Mapping[str, str]], web.Application],
    argv: list[str],
    default_port: int = DEFAULT_PORT,
) -> int:
    """Serve `make_app(environment)` until a signal. Returns the process's exit code."""
    if argv:
        print(f"{name}: takes no arguments ({' '.join(argv)}); it is configured by its environment", file=sys.stderr)
        return EXIT_USAGE
    env = os.environ
    try:
        address = env.get("BIND_ADDRESS") or "127.0.0.1"
        number = port(env, "PORT", default_port)
        delay_s = integer(env, "STOP_DELAY_MS", 0, 0, MAX_STOP_DELAY_MS) / 1000
        app = make_app(env)
        app[PROPAGATES] = is_not_off(env, "PROPAGATE_HEADERS")
    except InvalidSetting as error:
        print(f"{name}: {error}", file=sys.stderr)
        return EXIT_USAGE
    loop = uvloop.new_event_loop()

    def stop() -> None:
        raise GracefulExit

    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, loop.call_later, delay_s, stop)
    try:
        web.run_app(
            app,
            host=address,
            port=number,
            loop=loop,
            print=None,
            handle_signals=False,
            shutdown_timeout=DRAIN_S,
            access_log_class=JsonAccessLogger,
            access_log=logging.getLogger(name) if is_on(env, "ACCESS_LOG") else None,
        )
    except OSError as error:
        print(f"{name}: cannot listen on {address}:{number}: {error.strerror or error}", file=sys.stderr)
        return EXIT_FAILED
    return 0
