"""Composition root of the metrics service: records and pages in, flows, answers out."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Sequence

import aiohttp
from aiohttp import web

from lugsail.daemon.listening import CannotListen, check_free, serve_http
from lugsail.daemon.process import log_to_stderr, run_until_stopped
from services.metrics.api import Api
from services.metrics.directory import Directory
from services.metrics.flows import Flows
from services.metrics.options import Options, parse_options
from services.metrics.own_metrics import OwnMetrics
from services.metrics.receiver import AccessLogReceiver
from services.metrics.records import Recorder
from services.metrics.scrape import Scraper

log = logging.getLogger("metrics")

DRAIN_S = 2.0
GC_THRESHOLDS = (50_000, 20, 50)


class Metrics:
    """All parts."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.metrics = metrics = OwnMetrics()
        self.flows = Flows(time.time, options.max_cells, metrics.overflowed)
        self.directory = Directory(options.control_plane, metrics)
        recorder = Recorder(self.flows, lambda: self.directory.by_address, metrics.unknown_peer)
        self.receiver = AccessLogReceiver(recorder, metrics)
        self.scraper = Scraper(self.directory, self.flows, metrics, options.interval)
        self.api = Api(self.flows, self.scraper, self.directory, metrics)
        metrics.follow(lambda: len(self.flows), lambda: self.flows.cells, self.flows.age_s)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`. Raises CannotListen."""
        o = self.options
        check_free(o.address, o.als_port, "--als-port")
        check_free(o.address, o.http_port, "--http-port")
        app = web.Application()
        app.add_routes(self.api.routes())
        runner = await serve_http(app, o.address, o.http_port, drain_s=DRAIN_S)
        await self.receiver.start(o.address, o.als_port)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        log.info("serving: access logs %s:%d, http://%s:%d", o.address, o.als_port, o.address, o.http_port)
        async with aiohttp.ClientSession(trust_env=False) as session:
            tasks = [asyncio.ensure_future(part) for part in (self.directory.run(session), self.scraper.run(session))]
            waiting = asyncio.ensure_future(stop.wait())
            try:
                done, _ = await asyncio.wait((*tasks, waiting), return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in (*tasks, waiting):
                    task.cancel()
                await asyncio.gather(*tasks, waiting, return_exceptions=True)
                await self.receiver.stop(DRAIN_S)
                await runner.cleanup()


def main(argv: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT. 0: asked to stop; 1: could not start, said why; 2: wrong command line."""
    try:
        options = parse_options(argv)
    except SystemExit as error:
        return int(error.code or 0)
    log_to_stderr(options.log_level)
    return run_until_stopped(lambda stop: Metrics(options).run(stop), (CannotListen,), log)
