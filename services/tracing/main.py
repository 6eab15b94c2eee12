"""Composition root of the tracing service, in the order that spans flow: receivers, writer, file, reader, pages."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from lugsail.daemon.listening import CannotListen, check_free, serve_http
from lugsail.daemon.process import log_to_stderr, run_until_stopped
from services.tracing.metrics import TracingMetrics
from services.tracing.options import Options, parse_options
from services.tracing.page.routes import Pages
from services.tracing.query.routes import QueryApi
from services.tracing.receive.intake import BODY_LIMIT_BYTES, Intake
from services.tracing.receive.otlp_grpc import OtlpGrpc
from services.tracing.receive.otlp_http import OtlpHttp
from services.tracing.receive.zipkin_http import ZipkinHttp
from services.tracing.status import StatusPages
from services.tracing.store.reader import Reader
from services.tracing.store.schema import StoreUnusable
from services.tracing.store.writer import Limits, Writer

log = logging.getLogger("tracing")

DRAIN_S = 5.0  # what is under way has so long to be committed and answered after SIGTERM
GC_THRESHOLDS = (50_000, 20, 50)


class Tracing:
    """All parts. Building it opens the store (raises StoreUnusable) and nothing else."""

    def __init__(self, options: Options) -> None:
        self.options = o = options
        self.metrics = TracingMetrics()
        self._lock = _lock(o.data)
        limits = Limits(o.max_size, o.retention, o.queue_size, power_safe=o.durability == "power")
        self.writer = Writer(o.data, limits, self.metrics)
        self.metrics.follow(self.writer.queued)
        self.intake = Intake(self.writer, self.metrics)
        self.otlp_grpc = OtlpGrpc(self.intake)
        self.otlp_http = OtlpHttp(self.intake)
        self.zipkin = ZipkinHttp(self.intake)
        self.reader = Reader(o.data, self.metrics)
        self.api = QueryApi(self.reader, o.max_clock_skew)
        self.pages = Pages(self.reader, o.max_clock_skew)
        self.status = StatusPages(self.metrics, lambda: self.writer.failure)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`, then answer and commit what is under way. Raises CannotListen."""
        o = self.options
        http = (
            (self.otlp_http.routes() + self.status.routes(), o.otlp_http_port, "--otlp-http-port"),
            (self.zipkin.routes() + self.status.routes(), o.zipkin_port, "--zipkin-port"),
            (self.api.routes() + self.pages.routes() + self.status.routes(), o.ui_port, "--ui-port"),
        )
        check_free(o.address, o.otlp_grpc_port, "--otlp-grpc-port")
        for _, port, flag in http:
            check_free(o.address, port, flag)
        self.writer.start()
        runners = []
        try:
            for routes, port, _ in http:
                runners.append(await serve_http(_app(routes), o.address, port, drain_s=DRAIN_S))
            await self.otlp_grpc.start(o.address, o.otlp_grpc_port)
            gc.collect()
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLDS)  # spans have no cycles: reference counts free them
            self.status.serving = True
            log.info(
                "serving: OTLP gRPC %s:%d, OTLP http://%s:%d/v1/traces, Zipkin http://%s:%d/api/v2/spans, "
                "pages and Jaeger's API http://%s:%d/, spans in %s",
                *(o.address, o.otlp_grpc_port, o.address, o.otlp_http_port, o.address, o.zipkin_port),
                *(o.address, o.ui_port, o.data),
            )
            await stop.wait()
        finally:
            self.status.serving = False
            await asyncio.gather(self.otlp_grpc.stop(DRAIN_S), *(runner.cleanup() for runner in runners))
            await asyncio.to_thread(self.writer.stop)
            await asyncio.to_thread(self.reader.close)


def _app(routes: Sequence[web.RouteDef]) -> web.Application:
    app = web.Application(client_max_size=BODY_LIMIT_BYTES)
    app.add_routes(routes)
    return app


def _lock(data: Path) -> int:
    """One process for a file: two would each take the other's spans for its own to delete. Raises StoreUnusable."""
    place = data.with_name(data.name + ".lock")
    try:
        data.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise StoreUnusable(f"{data} is in use by another tracing service: choose another with --data") from error
    except OSError as error:
        raise StoreUnusable(f"{place}: {error.strerror}; choose another place with --data") from error
    return handle  # held as long as the process lives


def main(argv: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT. 0: asked to stop; 1: could not start, said why; 2: wrong command line."""
    try:
        options = parse_options(argv)
    except SystemExit as error:
        return int(error.code or 0)
    log_to_stderr(options.log_level)
    return run_until_stopped(lambda stop: Tracing(options).run(stop), (StoreUnusable, CannotListen), log)
