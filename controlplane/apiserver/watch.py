"""`?watch=1`: changes as they happen, one JSON object a line, resumable by resourceVersion.

The last events are kept in memory. A client that resumes from before them, or reads too slowly, is told 410 Expired
(as Kubernetes does) and lists again.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from controlplane.apiserver.errors import ApiError, status_object
from controlplane.apiserver.selectors import Selector
from controlplane.apiserver.storage import Event, EventType, Store, Stored

KEPT_EVENTS = 2048
WATCHER_LIMIT = 64
BUFFER_LIMIT = 1024
BOOKMARK_INTERVAL_S = 30.0
LONGEST_WATCH_S = 3600.0


class Expired(Exception):
    """Events that the watch needs are gone."""


class WatchLog:
    """The last events of the store, and who follows them."""

    def __init__(self, store: Store, kept_events: int = KEPT_EVENTS, watcher_limit: int = WATCHER_LIMIT) -> None:
        self._store = store
        self._events: deque[Event] = deque(maxlen=kept_events)
        # Everything after this revision is in the log.
        self._complete_after = store.revision
        self._watcher_limit = watcher_limit
        self._watchers: set[asyncio.Queue[Event | None]] = set()
        store.observe(self._append)

    def __len__(self) -> int:
        return len(self._watchers)

    def _append(self, event: Event) -> None:
        if len(self._events) == self._events.maxlen:
            self._complete_after = self._events[0].revision
        self._events.append(event)
        for queue in list(self._watchers):
            try:
                queue.put_nowait(event)
            except asyncio.QueueFull:
                self._watchers.discard(queue)
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(None)

    def since(self, revision: int) -> list[Event]:
        """Events after the revision. Raises Expired."""
        if revision < self._complete_after or revision > self._store.revision:
            raise Expired
        return [event for event in self._events if event.revision > revision]

    @contextmanager
    def follow(self) -> Iterator[asyncio.Queue[Event | None]]:
        """Events from now on; None ends a queue whose reader was too slow. Raises ApiError 429."""
        if len(self._watchers) >= self._watcher_limit:
            raise ApiError(429, f"{self._watcher_limit} watches are open already; close one first")
        queue: asyncio.Queue[Event | None] = asyncio.Queue(BUFFER_LIMIT)
        self._watchers.add(queue)
        try:
            yield queue
        finally:
            self._watchers.discard(queue)


def shaped(event: Event, matches: Selector) -> EventType | None:
    """The event as a selecting watcher sees it: a resource may come into or fall out of its selection."""
    now = event.type is not EventType.DELETED and matches(event.stored)
    before = event.before is not None and matches(event.before)
    if now:
        return EventType.MODIFIED if before else EventType.ADDED
    return EventType.DELETED if before else None


async def serve_watch(
    request: web.Request,
    watches: WatchLog,
    initial: list[Stored],
    kind: str,
    namespace: str | None,
    api_version: str,
    matches: Selector,
    store: Store,
) -> web.StreamResponse:
    """Stream until the client leaves or `timeoutSeconds` is over. `initial` is sent when no version is given."""
    since = request.query.get("resourceVersion", "")
    timeout_s = _timeout(request)
    bookmarks = request.query.get("allowWatchBookmarks", "") in ("1", "true")
    with watches.follow() as queue:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        backlog, expired = _backlog(watches, since)
        await response.prepare(request)
        if expired:
            await response.write(_error_line(f"resourceVersion {since} is too old or unknown: list again"))
            return response
        if since in ("", "0"):
            for stored in initial:
                await response.write(_line(EventType.ADDED, stored, api_version))
        async for event in _events(queue, backlog, timeout_s):
            if isinstance(event, Exception):
                await response.write(_error_line("this watch reads too slowly: list again"))
                break
            if event is None:
                if bookmarks:
                    await response.write(_bookmark(kind, api_version, store.revision))
                continue
            if event.stored.key.kind != kind or (namespace is not None and event.stored.key.namespace != namespace):
                continue
            seen = shaped(event, matches)
            if seen is not None:
                await response.write(_line(seen, event.stored, api_version))
    return response


def _backlog(watches: WatchLog, since: str) -> tuple[list[Event], bool]:
    if since in ("", "0"):
        return [], False
    try:
        return watches.since(int(since)), False
    except ValueError:
        raise ApiError(400, f"resourceVersion {since!r} is not a number") from None
    except Expired:
        return [], True


async def _events(
    queue: asyncio.Queue[Event | None], backlog: list[Event], timeout_s: float
) -> AsyncIterator[Event | Expired | None]:
    """Backlog, then live events; None now and then for a bookmark; Expired when the reader was too slow."""
    for event in backlog:
        yield event
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while (left := deadline - loop.time()) > 0:
        try:
            async with asyncio.timeout(min(left, BOOKMARK_INTERVAL_S)):
                received = await queue.get()
        except TimeoutError:
            yield None
            continue
        if received is None:
            yield Expired()
            return
        yield received


def _timeout(request: web.Request) -> float:
    text = request.query.get("timeoutSeconds", "")
    try:
        return min(float(text), LONGEST_WATCH_S) if text else LONGEST_WATCH_S
    except ValueError:
        raise ApiError(400, f"timeoutSeconds {text!r} is not a number") from None


def _encode(type_name: str, body: dict[str, Any]) -> bytes:
    return json.dumps({"type": type_name, "object": body}, separators=(",", ":")).encode() + b"\n"


def _line(type_: EventType, stored: Stored, api_version: str) -> bytes:
    return _encode(type_, {**stored.to_dict(), "apiVersion": api_version})


def _bookmark(kind: str, api_version: str, revision: int) -> bytes:
    metadata = {"resourceVersion": str(revision)}
    return _encode("BOOKMARK", {"kind": kind, "apiVersion": api_version, "metadata": metadata})


def _error_line(message: str) -> bytes:
    return _encode("ERROR", status_object(ApiError(410, message)))
