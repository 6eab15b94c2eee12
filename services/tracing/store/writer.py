"""The one writer: batches of all connections, committed together, answered after the commit.

A thread of its own, since a commit may wait for the disk. While it commits, the next batches gather; so the busier it
is, the more of them share a transaction. What does not fit into the queue is refused at once: whoever sent it keeps it
and comes again. After a failure everything is refused until a transaction succeeds, and one is tried every second.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from services.tracing.decode.batch import Batch
from services.tracing.metrics import TracingMetrics
from services.tracing.store.names import Names
from services.tracing.store.retention import Retention
from services.tracing.store.schema import StoreUnusable, open_writer

log = logging.getLogger("tracing")

RETRY_S = 1.0
HOUSEKEEPING_S = 1.0
COMMIT_SPANS = 2_000  # a transaction takes no further batch when it has so many
EXPIRE_SPANS = 5_000  # deleted by age in one transaction, so that no commit waits long, and the log stays short

_INSERT = "INSERT INTO span VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)"


class Refused(Exception):
    """Not stored, come again later. The text says why."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a store. Bytes include the write-ahead log; `queue_bytes` counts batches as they came over the wire."""

    max_bytes: int
    keep_us: int
    queue_bytes: int
    power_safe: bool = False


@dataclass(slots=True)
class _Waiting:
    batch: Batch
    loop: asyncio.AbstractEventLoop
    stored: asyncio.Future[None]


class Writer:
    """Building it opens the file (raises StoreUnusable); `start` starts the thread."""

    def __init__(
        self, path: Path, limits: Limits, metrics: TracingMetrics, clock: Callable[[], float] = time.time
    ) -> None:
        self._path = path
        self._limits = limits
        self._metrics = metrics
        self._clock = clock
        self._db = open_writer(path, limits.max_bytes, limits.power_safe)
        self._names = Names(self._db)
        self._retention = Retention(self._db, limits.keep_us)
        self._last_id = 0
        self._changed = threading.Condition()
        self._queue: deque[_Waiting] = deque()
        self._queued_bytes = 0
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        #: Why nothing can be stored now; empty where it can.
        self.failure = ""
        try:
            self._last_id = int(self._db.execute("SELECT coalesce(max(id), 0) FROM span").fetchone()[0])
            self._shrink()
        except sqlite3.Error as error:
            raise StoreUnusable(f"{path}: {error}; choose another with --data, or move this one away") from error

    def start(self) -> None:
        """Begin to commit."""
        self._thread.start()

    def stop(self) -> None:
        """Commit what is queued, then close. Blocks; refuses whatever comes after."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()
        self._db.close()

    def admit(self, size_bytes: int) -> None:
        """That a batch of this size would be taken now: asked before it is decoded. Raises Refused."""
        if self._stopping:
            raise Refused("the service is stopping")
        if self.failure:
            raise Refused(self.failure)
        if self._queue and self._queued_bytes + size_bytes > self._limits.queue_bytes:
            raise Refused(f"the queue is full ({self._queued_bytes} bytes wait to be stored)")

    def submit(self, batch: Batch) -> asyncio.Future[None]:
        """Queue a batch; the future is done when it is committed. Raises Refused, as the future may."""
        with self._changed:
            self.admit(batch.size_bytes)
            loop = asyncio.get_running_loop()
            waiting = _Waiting(batch, loop, loop.create_future())
            self._queue.append(waiting)
            self._queued_bytes += batch.size_bytes
            self._changed.notify()
        return waiting.stored

    def queued(self) -> tuple[int, int]:
        """Batches and bytes that wait."""
        return len(self._queue), self._queued_bytes

    # The thread

    def _run(self) -> None:
        next_housekeeping = 0.0
        while True:
            with self._changed:
                if not self._queue and not self._stopping:
                    self._changed.wait(HOUSEKEEPING_S)
                if not self._queue and self._stopping:
                    return
                taken = self._take()
            if taken:
                self._store(taken)
            if time.monotonic() >= next_housekeeping:
                self._attempt(self._housekeeping)
                next_housekeeping = time.monotonic() + HOUSEKEEPING_S

    def _take(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        spans = 0
        while self._queue and spans < COMMIT_SPANS:
            waiting = self._queue.popleft()
            taken.append(waiting)
            spans += waiting.batch.spans
        return taken

    def _store(self, taken: list[_Waiting]) -> None:
        began = time.monotonic()
        batches = [waiting.batch for waiting in taken]
        error = self._attempt(lambda: self._insert(batches))
        # At the bound in spite of make_room (few, huge spans). Not so when the disk is full: nothing goes for that.
        if error is not None and self._at_bound() and self._attempt(self._halve) is None:
            error = self._attempt(lambda: self._insert(batches))
        size = sum(batch.size_bytes for batch in batches)
        with self._changed:
            self._queued_bytes -= size
        if error is None:
            self._metrics.committed(time.monotonic() - began, sum(batch.spans for batch in batches), len(batches))
        for loop, group in itertools.groupby(taken, key=lambda waiting: waiting.loop):
            _answer(loop, [waiting.stored for waiting in group], error)

    def _attempt(self, action: Callable[[], None]) -> str | None:
        """Run in a transaction; what went wrong, or None. `failure` follows from it."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            action()
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            reason = f"{self._path} cannot be written: {error}"
            if reason != self.failure:
                log.error("%s; spans are refused until it can, a try every %g s", reason, RETRY_S)
            self.failure = reason
            self._metrics.commit_failed()
            return reason
        if self.failure:
            log.info("%s can be written again", self._path)
            self.failure = ""
        return None

    def _roll_back(self) -> None:
        self._names.forget()
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # SQLite did it itself

    def _insert(self, batches: list[Batch]) -> None:
        names = self._names
        at = max(self._last_id + 1, self._now_us())
        rows = []
        for batch in batches:
            for group in batch.groups:
                service = names.service(group.service, at + len(group.rows) - 1)
                resource = names.resource(group.resource, at + len(group.rows) - 1)
                operation = names.operation
                for trace, span, parent, kind, start, duration, name, a, b, request, blob in group.rows:
                    ident = operation(service, name, kind, at)
                    rows.append(
                        (at, trace, span, parent, kind, service, ident, start, duration, a, b, request, resource, blob)
                    )
                    at += 1
        self._db.executemany(_INSERT, rows)
        names.touch()
        gone = self._retention.expire(self._now_us(), 2 * len(rows)) + self._retention.make_room(len(rows))
        self._made_room(gone)
        self._last_id = at - 1

    def _at_bound(self) -> bool:
        try:
            return self._retention.at_bound()
        except sqlite3.Error:
            return False

    def _halve(self) -> None:
        self._made_room(self._retention.halve())

    def _housekeeping(self) -> None:
        # Writes in any case: so a store that failed is found well again without a batch as a probe.
        self._db.execute("UPDATE service SET last=last WHERE id=(SELECT id FROM service LIMIT 1)")
        self._made_room(self._retention.expire(self._now_us(), EXPIRE_SPANS))
        self._metrics.sizes(self._retention.used_bytes(), self._retention.oldest())

    def _now_us(self) -> int:
        return int(self._clock() * 1e6)

    def _made_room(self, deleted: int) -> None:
        if deleted:
            oldest = self._retention.oldest()
            self._names.prune(self._last_id + 1 if oldest is None else oldest)
            self._metrics.deleted(deleted)

    def _shrink(self) -> None:
        """A file that an earlier run with a higher bound left is cut down before anything is served."""
        pages = int(self._db.execute("PRAGMA page_count").fetchone()[0])
        bound = self._limits.max_bytes // int(self._db.execute("PRAGMA page_size").fetchone()[0])
        if pages <= bound:
            return
        log.info("%s has %d pages where %d are allowed: deleting the oldest spans", self._path, pages, bound)
        # SQLite takes no bound below what a file has, so the limit is computed here.
        part = bound / pages * 0.6
        count = int(self._db.execute("SELECT count(*) FROM span").fetchone()[0])
        self._attempt(lambda: self._made_room(self._retention.delete_oldest(int(count * (1 - part)))))
        self._db.execute("VACUUM")
        self._db.close()
        self._db = open_writer(self._path, self._limits.max_bytes, self._limits.power_safe)
        self._names = Names(self._db)
        self._retention = Retention(self._db, self._limits.keep_us)


def _answer(loop: asyncio.AbstractEventLoop, futures: list[asyncio.Future[None]], error: str | None) -> None:
    def settle() -> None:
        for future in futures:
            if future.done():
                continue  # whoever asked has gone
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(Refused(error))
                future.exception()  # seen: a sender that has gone meanwhile is no case for the log

    try:
        loop.call_soon_threadsafe(settle)
    except RuntimeError:
        pass  # the loop is closed: nobody waits
