"""Fetches every proxy's page every few seconds: all of them, a few at a time, none for long."""

from __future__ import annotations

import asyncio
import logging
import time
import zlib

import aiohttp

from services.metrics.directory import Directory, Target
from services.metrics.flows import Flows
from services.metrics.own_metrics import OwnMetrics
from services.metrics.page import PageReader

log = logging.getLogger("metrics")

CONCURRENT = 8
_TIMEOUT = aiohttp.ClientTimeout(total=2.0)
MAX_PAGE_BYTES = 8 * 1024 * 1024
MAX_TARGETS = 2000


class Scraper:
    """`pages` holds the last page of each proxy, compressed."""

    def __init__(self, directory: Directory, flows: Flows, metrics: OwnMetrics, interval_s: float) -> None:
        self.pages: dict[Target, bytes] = {}
        self._directory = directory
        self._flows = flows
        self._metrics = metrics
        self._interval_s = interval_s
        self._readers: dict[Target, PageReader] = {}

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Until cancelled."""
        await self._directory.answered.wait()
        while True:
            started = time.monotonic()
            await self.round(session)
            self._flows.forget_idle()
            await asyncio.sleep(max(0.1, self._interval_s - (time.monotonic() - started)))

    async def round(self, session: aiohttp.ClientSession) -> None:
        """Scrape every target once."""
        targets = self._directory.targets[:MAX_TARGETS]
        for gone in self._readers.keys() - set(targets):
            del self._readers[gone]
            self.pages.pop(gone, None)
        limit = asyncio.Semaphore(CONCURRENT)

        async def one(target: Target) -> None:
            async with limit:
                await self._scrape(session, target)

        await asyncio.gather(*(one(target) for target in targets))

    async def _scrape(self, session: aiohttp.ClientSession, target: Target) -> None:
        started = time.monotonic()
        try:
            async with session.get(target.url, timeout=_TIMEOUT) as answer:
                answer.raise_for_status()
                body = await _bounded(answer)
            self._take(target, body)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self._metrics.scraped(time.monotonic() - started, ok=False)
            log.debug("%s: %r", target.url, error)
            return
        self._metrics.scraped(time.monotonic() - started, ok=True)

    def _take(self, target: Target, body: bytes) -> None:
        reader = self._readers.get(target)
        if reader is None:
            more = (("instance", target.instance),)
            reader = self._readers[target] = PageReader(self._flows.flow, more)
        if reader.generation != self._flows.generation:
            reader.forget()
            reader.generation = self._flows.generation
        for flow, cell in reader.read(body.decode("utf-8", "replace"), 2 * self._interval_s).items():
            now = self._flows.now(flow)
            for index, value in enumerate(cell):
                now[index] += value
        self.pages[target] = zlib.compress(body, 1)


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    """The body. Raises ValueError when it is too long."""
    found = bytearray()
    async for chunk in answer.content.iter_chunked(1 << 16):
        found += chunk
        if len(found) > MAX_PAGE_BYTES:
            raise ValueError(f"{answer.url}: a page of more than {MAX_PAGE_BYTES} bytes")
    return bytes(found)
