"""Is a workload ready? Asked from outside until it is, like a kubelet's readiness probe, and then not again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

from controlplane.sources.docker_pods import Target

INTERVAL_S = 0.1
# Who was not ready for this long is asked less often.
_PATIENCE, _LONG_INTERVAL_S = 100, 0.2
TIMEOUT_S = 1.0
CONCURRENCY = 64
# So many answers of "no" are believed when the first list is made.
_SETTLED_AFTER = 3
_HEAD_LIMIT_BYTES = 4096

Probe = Callable[[Target], Awaitable[bool]]


async def probe(target: Target) -> bool:
    """Ask once: the pod's agent over HTTP, or each port by a plain TCP connect."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            if target.http_port:
                return await _answers_200(target)
            for port in target.ports:
                await _connects(target.address, port)
            return True
    except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
        return False


async def _connects(address: str, port: int) -> None:
    _, writer = await asyncio.open_connection(address, port)
    writer.close()


async def _answers_200(target: Target) -> bool:
    reader, writer = await asyncio.open_connection(target.address, target.http_port, limit=_HEAD_LIMIT_BYTES)
    try:
        authority = f"{target.address}:{target.http_port}"
        writer.write(f"GET {target.path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n".encode("ascii"))
        words = (await reader.readline()).split(b" ", 2)
        return words[0].startswith(b"HTTP/1.") and words[1:2] == [b"200"]
    finally:
        writer.close()


class Prober:
    """Asks each target of the last `watch` until it is ready; `changed()` is called each time that one is.

    What was found ready stays so while it is watched: the target names the starts of its containers, and so is another
    one after a restart.
    """

    def __init__(self, changed: Callable[[], None], probe: Probe = probe, interval_s: float = INTERVAL_S) -> None:
        self._changed = changed
        self._probe = probe
        self._interval_s = interval_s
        self._limit = asyncio.Semaphore(CONCURRENCY)
        self._tasks: dict[Target, asyncio.Task[None]] = {}
        self._ready: set[Target] = set()
        self._refusals: dict[Target, int] = {}
        self._watched: frozenset[Target] = frozenset()
        self._answered = asyncio.Event()

    @property
    def ready(self) -> frozenset[Target]:
        return frozenset(self._ready & self._watched)

    def watch(self, targets: Collection[Target], keep: Collection[Target] = ()) -> None:
        """Exactly these from now on. `keep`: not to be asked, but what is known of them stays."""
        self._watched = frozenset(targets)
        for target in self._tasks.keys() - self._watched:
            self._tasks.pop(target).cancel()
        self._ready &= self._watched | set(keep)
        for target in self._watched - self._ready - self._tasks.keys():
            self._tasks[target] = asyncio.create_task(self._ask(target))

    async def settled(self, timeout_s: float) -> None:
        """Until each target is ready, or has said repeatedly that it is not."""
        try:
            async with asyncio.timeout(timeout_s):
                while any(self._refusals.get(t, 0) < _SETTLED_AFTER for t in self._watched - self._ready):
                    self._answered.clear()
                    await self._answered.wait()
        except TimeoutError:
            pass

    async def stop(self) -> None:
        """Ask nobody any more."""
        tasks = list(self._tasks.values())
        self.watch(())
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, target: Target) -> None:
        try:
            refusals = 0
            while True:
                async with self._limit:
                    if await self._probe(target):
                        break
                refusals += 1
                self._refusals[target] = refusals
                self._answered.set()
                patient = refusals < _PATIENCE
                await asyncio.sleep(self._interval_s if patient else max(self._interval_s, _LONG_INTERVAL_S))
            self._ready.add(target)
            self._answered.set()
        finally:
            self._refusals.pop(target, None)
            if self._tasks.get(target) is asyncio.current_task():
                del self._tasks[target]
        self._changed()
