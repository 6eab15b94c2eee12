"""Questions to the store, each in a short read transaction of its own connection; none blocks the writer.

They run in a few threads and end after `QUERY_S`, whatever they scan.
"""

from __future__ import annotations

import asyncio
import heapq
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from services.tracing.decode.otlp import request_hash, service_of
from services.tracing.decode.tags import REQUEST_ID_TAG, matches, tags_bits
from services.tracing.metrics import TracingMetrics
from services.tracing.store.schema import open_reader

QUERY_S = 15.0
THREADS = 2
TRACE_SPANS = 50_000  # of one trace, at most
ANSWER_SPANS = 100_000  # of all traces of an answer; the traces after that are left out, and the answer says so
_SERVICES = 500  # searched together, where none is named

_T = TypeVar("_T")
_FOREVER = (1 << 63) - 1


class QueryFailed(Exception):
    """The store could not answer. The text says why."""


@dataclass(frozen=True, slots=True)
class Search:
    """What a trace must have one span for. Times in µs; 0 or empty: any."""

    service: str = ""
    operation: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    start_us: int = 0
    end_us: int = _FOREVER
    min_duration_us: int = 0
    max_duration_us: int = 0
    limit: int = 100


@dataclass(frozen=True, slots=True)
class StoredSpan:
    """A span with the resource and scope that it came in."""

    span: Span
    resource: ResourceSpans
    resource_id: int
    service: str


@dataclass(slots=True)
class Found:
    """Traces, newest first, and how many more there were no room for."""

    traces: list[list[StoredSpan]]
    left_out: int = 0


class Reader:
    """Answers from threads of its own; every method raises QueryFailed."""

    def __init__(self, path: Path, metrics: TracingMetrics) -> None:
        self._path = path
        self._metrics = metrics
        self._threads = ThreadPoolExecutor(THREADS, "reader")
        self._local = threading.local()

    async def services(self) -> list[str]:
        """By name."""
        return await self._ask(lambda db: [row[0] for row in db.execute("SELECT name FROM service ORDER BY name")])

    async def operations(self, service: str) -> list[tuple[str, int]]:
        """Name and span kind, by name. None of an unknown service."""
        query = "SELECT o.name, o.kind FROM operation o JOIN service s ON s.id=o.service WHERE s.name=? ORDER BY 1, 2"
        return await self._ask(lambda db: list(db.execute(query, (service,))))

    async def trace(self, trace: bytes) -> list[StoredSpan]:
        """Its spans as they arrived, each once; empty where there is none."""
        return await self._ask(lambda db: _load(db, trace, {}))

    async def search(self, search: Search) -> Found:
        """The traces whose matching span began last."""
        return await self._ask(partial(_search, search=search))

    async def dependencies(self, start_us: int, end_us: int) -> list[tuple[str, str, int]]:
        """Caller, called, and how many spans of the second are children of the first's, by when they began."""
        return await self._ask(lambda db: list(db.execute(_DEPENDENCIES, {"start": start_us, "end": end_us})))

    def close(self) -> None:
        """Wait for what is asked now."""
        self._threads.shutdown()

    async def _ask(self, question: Callable[[sqlite3.Connection], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._answer, question)

    def _answer(self, question: Callable[[sqlite3.Connection], _T]) -> _T:
        began = time.monotonic()
        try:
            db: sqlite3.Connection | None = getattr(self._local, "db", None)
            if db is None:
                db = self._local.db = open_reader(self._path)
            db.set_progress_handler(lambda: time.monotonic() - began > QUERY_S, 20_000)
            db.execute("BEGIN")
            try:
                return question(db)
            finally:
                db.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            if "interrupted" in str(error):
                raise QueryFailed(f"the query took more than {QUERY_S:g} s: narrow it by time or service") from error
            raise QueryFailed(f"{self._path} cannot be read: {error}") from error
        except sqlite3.Error as error:
            self._local.db = None
            raise QueryFailed(f"{self._path} cannot be read: {error}") from error
        finally:
            self._metrics.queried(time.monotonic() - began)


# The order and the indexes are given: left to itself, SQLite takes plans that are five times slower. And:
# a client's and a server's span that share an id (B3): the server's is the client's child, and what names that id as
# its parent is a child of the server's.
_DEPENDENCIES = """
SELECT a.name, b.name, sum(n) FROM (
  SELECT p.service AS caller, c.service AS called, count(*) AS n
  FROM span c INDEXED BY span_trace CROSS JOIN span p INDEXED BY span_trace ON p.trace = c.trace AND p.span = c.parent
  WHERE c.start BETWEEN :start AND :end AND c.parent <> 0 AND p.service <> c.service
    AND NOT (p.kind = 3 AND EXISTS (SELECT 1 FROM span t WHERE t.trace = p.trace AND t.span = p.span AND t.kind = 2))
    AND NOT (c.kind = 2 AND EXISTS (SELECT 1 FROM span t WHERE t.trace = c.trace AND t.span = c.span AND t.kind = 3))
  GROUP BY 1, 2
  UNION ALL
  SELECT p.service, c.service, count(*)
  FROM span c INDEXED BY span_trace CROSS JOIN span p INDEXED BY span_trace
    ON p.trace = c.trace AND p.span = c.span AND p.kind = 3
  WHERE c.start BETWEEN :start AND :end AND c.kind = 2 AND p.service <> c.service
  GROUP BY 1, 2
) JOIN service a ON a.id = caller JOIN service b ON b.id = called GROUP BY 1, 2 ORDER BY 1, 2
"""


def _search(db: sqlite3.Connection, search: Search) -> Found:
    resources: dict[int, tuple[ResourceSpans, str]] = {}
    found: dict[bytes, None] = {}
    for ident in _candidates(db, search):
        trace, blob, resource = db.execute("SELECT trace, blob, resource FROM span WHERE id=?", (ident,)).fetchone()
        if trace in found:
            continue
        if search.tags:
            attributes = _resource(db, resource, resources)[0].resource.attributes
            if not matches(search.tags, Span.FromString(blob), attributes):
                continue
        found[trace] = None
        if len(found) >= search.limit:
            break
    answer = Found([])
    room = ANSWER_SPANS
    for trace in found:
        if room <= 0:
            answer.left_out += 1
            continue
        spans = _load(db, trace, resources)
        room -= len(spans)
        answer.traces.append(spans)
    return answer


def _candidates(db: sqlite3.Connection, search: Search) -> Iterator[int]:
    """Ids of spans that may match, the last begun first. All but the tags is exact."""
    if search.service:
        services = [row[0] for row in db.execute("SELECT id FROM service WHERE name=?", (search.service,))]
    else:
        query = "SELECT id FROM service ORDER BY last DESC LIMIT ?"
        services = [row[0] for row in db.execute(query, (_SERVICES,))]
    request = search.tags.get(REQUEST_ID_TAG)
    index = "span_search" if request is None else "span_request"
    streams = []
    for service in services:
        where, arguments = _conditions(db, search, service)
        if request is not None:
            where += " AND request = ?"
            arguments.append(request_hash(request))
        query = f"SELECT start, id FROM span INDEXED BY {index} WHERE {where} ORDER BY start DESC"
        streams.append(db.execute(query, arguments))
    for _, ident in heapq.merge(*streams, key=lambda row: row[0], reverse=True):
        yield ident


def _conditions(db: sqlite3.Connection, search: Search, service: int) -> tuple[str, list[Any]]:
    where = "service = ? AND start BETWEEN ? AND ?"
    arguments: list[Any] = [service, search.start_us, search.end_us]
    if search.operation:
        query = "SELECT id FROM operation WHERE service=? AND name=?"
        operations = [row[0] for row in db.execute(query, (service, search.operation))]
        where += f" AND operation IN ({','.join(map(str, operations))})"
    if search.min_duration_us:
        where += " AND duration >= ?"
        arguments.append(search.min_duration_us)
    if search.max_duration_us:
        where += " AND duration <= ?"
        arguments.append(search.max_duration_us)
    tags = [tag for tag in search.tags.items() if tag[0] != REQUEST_ID_TAG]  # which has an index of its own
    if tags:
        a, b = tags_bits(tags)
        where += " AND bits_a & ? = ? AND bits_b & ? = ?"
        arguments += [a, a, b, b]
    return where, arguments


def _load(db: sqlite3.Connection, trace: bytes, resources: dict[int, tuple[ResourceSpans, str]]) -> list[StoredSpan]:
    spans = []
    seen = set()
    query = "SELECT blob, resource FROM span INDEXED BY span_trace WHERE trace=? ORDER BY id LIMIT ?"
    for blob, resource in db.execute(query, (trace, TRACE_SPANS)):
        # A sender that got no answer sends again what was stored: the same bytes of the same resource.
        if (blob, resource) in seen:
            continue
        seen.add((blob, resource))
        head, service = _resource(db, resource, resources)
        spans.append(StoredSpan(Span.FromString(blob), head, resource, service))
    return spans


def _resource(
    db: sqlite3.Connection, ident: int, known: dict[int, tuple[ResourceSpans, str]]
) -> tuple[ResourceSpans, str]:
    found = known.get(ident)
    if found is None:
        row = db.execute("SELECT blob FROM resource WHERE id=?", (ident,)).fetchone()
        head = ResourceSpans.FromString(row[0]) if row else ResourceSpans()
        found = known[ident] = (head, service_of(head.resource.attributes))
    return found
