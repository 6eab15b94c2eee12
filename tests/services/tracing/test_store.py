"""Writer and reader on one file: commits, refusals, failures, retention, the bound, searches."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.tracing.decode.otlp import decode_otlp
from services.tracing.metrics import TracingMetrics
from services.tracing.store import writer as writer_module
from services.tracing.store.reader import Found, QueryFailed, Reader, Search
from services.tracing.store.schema import StoreUnusable
from services.tracing.store.writer import Limits, Refused, Writer
from tests.services.tracing.spans import CLIENT, SERVER, START_US, request, span, trace_id

HOUR_US = 3600 * 1_000_000
LIMITS = Limits(max_bytes=64 << 20, keep_us=HOUR_US, queue_bytes=1 << 20)


class Clock:
    """Seconds, as told."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[tuple[Writer, Reader]]:
    metrics = TracingMetrics()
    writer, reader = Writer(tmp_path / "t.db", LIMITS, metrics), Reader(tmp_path / "t.db", metrics)
    writer.start()
    yield writer, reader
    await asyncio.to_thread(writer.stop)
    reader.close()


async def put(writer: Writer, body: bytes) -> None:
    await writer.submit(decode_otlp(body))


async def until(condition: object) -> None:
    deadline = time.monotonic() + 10
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.02)


def size_of(folder: Path) -> int:
    """The file and its log. (The index of the log, -shm, is memory that processes share.)"""
    return sum(file.stat().st_size for file in folder.iterdir() if not file.name.endswith("-shm"))


def ids(found: Found) -> list[int]:
    return [int.from_bytes(spans[0].span.trace_id, "big") for spans in found.traces]


async def test_what_is_stored_comes_back(store: tuple[Writer, Reader]) -> None:
    writer, reader = store
    made = [span(1, n, n - 1, tags={"k": "v"}) for n in range(1, 4)]
    await put(writer, request(made, pod="p"))
    found = await reader.trace(trace_id(1))
    assert [s.span for s in found] == made
    assert {s.service for s in found} == {"shop"}
    assert await reader.services() == ["shop"]
    assert await reader.operations("shop") == [("op", SERVER)]
    assert await reader.operations("nobody") == []
    assert await reader.trace(trace_id(2)) == []


async def test_what_is_sent_twice_is_there_once(store: tuple[Writer, Reader]) -> None:
    writer, reader = store
    for _ in range(2):
        await put(writer, request([span(1, 1), span(1, 2)]))
    assert len(await reader.trace(trace_id(1))) == 2


async def test_searches(store: tuple[Writer, Reader]) -> None:
    writer, reader = store
    await put(writer, request([span(1, 1, at=100, lasts=50, name="a", tags={"guid:x-request-id": "r1"})]))
    await put(writer, request([span(2, 1, at=300, lasts=500, name="b", tags={"code": "503"})]))
    await put(
        writer, request([span(3, 1, at=200, lasts=5000, name="a", tags={"code": "503"})], service="cart", zone="z")
    )
    await put(writer, request([span(3, 2, 1, at=210, name="x")]))

    async def search(**fields: object) -> list[int]:
        return ids(await reader.search(Search(**fields)))  # type: ignore[arg-type]

    assert await search() == [2, 3, 1]
    assert await search(limit=2) == [2, 3]
    assert await search(service="shop") == [2, 3, 1]
    assert await search(service="cart") == [3]
    assert await search(service="nobody") == []
    assert await search(service="shop", operation="a") == [1]
    assert await search(service="shop", operation="nothing") == []
    assert await search(tags={"code": "503"}) == [2, 3]
    assert await search(tags={"code": "503", "zone": "z"}) == [3]
    assert await search(tags={"code": "500"}) == []
    assert await search(tags={"guid:x-request-id": "r1"}) == [1]
    assert await search(tags={"guid:x-request-id": "r2"}) == []
    assert await search(tags={"span.kind": "server"}, service="cart") == [3]
    assert await search(min_duration_us=500) == [2, 3]
    assert await search(min_duration_us=500, max_duration_us=1000) == [2, 3]  # 3 by its span in shop
    assert await search(start_us=START_US + 250) == [2]
    assert await search(end_us=START_US + 100) == [1]


async def test_dependencies_of_ordinary_and_shared_spans(store: tuple[Writer, Reader]) -> None:
    writer, reader = store
    # OpenTelemetry: client and server have ids of their own.
    await put(writer, request([span(1, 1, kind=SERVER), span(1, 2, 1, kind=CLIENT)], service="front"))
    await put(writer, request([span(1, 3, 2, kind=SERVER)], service="back"))
    # B3: both sides of front → back are span 2; back's call to deep is a child of it.
    await put(writer, request([span(2, 1, kind=SERVER), span(2, 2, 1, kind=CLIENT)], service="front"))
    await put(writer, request([span(2, 2, 1, kind=SERVER), span(2, 3, 2, kind=CLIENT)], service="back"))
    await put(writer, request([span(2, 3, 2, kind=SERVER)], service="deep"))
    window = (START_US, START_US + HOUR_US)
    assert await reader.dependencies(*window) == [("back", "deep", 1), ("front", "back", 2)]
    assert await reader.dependencies(0, START_US - 1) == []


async def test_a_full_queue_refuses_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    writer = Writer(path, Limits(64 << 20, HOUR_US, queue_bytes=3000), TracingMetrics())
    body = request([span(1, 1, tags={"fill": "x" * 1000})])
    waiting, refused = [], 0
    for _ in range(10):  # its thread does not run yet: nothing leaves the queue
        try:
            waiting.append(writer.submit(decode_otlp(body)))
        except Refused as error:
            refused += 1
            assert "the queue is full" in str(error)
    assert (len(waiting), refused) == (2, 8)
    writer.start()
    await asyncio.gather(*waiting)
    await asyncio.to_thread(writer.stop)
    assert sqlite3.connect(path).execute("SELECT count(*) FROM span").fetchone() == (2,)


async def test_a_batch_larger_than_the_queue_passes_when_it_is_alone(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "t.db", Limits(64 << 20, HOUR_US, queue_bytes=10), TracingMetrics())
    writer.start()
    await put(writer, request([span(1, 1)]))
    await asyncio.to_thread(writer.stop)


async def test_stopping_commits_what_waits_and_refuses_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    writer = Writer(path, LIMITS, TracingMetrics())
    waiting = [writer.submit(decode_otlp(request([span(n, 1)]))) for n in range(1, 6)]
    writer.start()
    await asyncio.to_thread(writer.stop)
    await asyncio.gather(*waiting)
    with pytest.raises(Refused, match="stopping"):
        writer.submit(decode_otlp(request([span(9, 1)])))
    assert sqlite3.connect(path).execute("SELECT count(*) FROM span").fetchone() == (5,)


async def test_a_locked_file_refuses_until_it_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.db"
    monkeypatch.setattr(writer_module, "HOUSEKEEPING_S", 0.05)
    writer = Writer(path, LIMITS, TracingMetrics())
    writer._db.execute("PRAGMA busy_timeout=50")
    writer.start()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Refused, match="locked"):
        await put(writer, request([span(1, 1)]))
    with pytest.raises(Refused, match="locked"):  # at once, from the state alone
        writer.submit(decode_otlp(request([span(1, 1)])))
    other.execute("ROLLBACK")
    await until(lambda: not writer.failure)
    await put(writer, request([span(1, 1)]))
    await asyncio.to_thread(writer.stop)
    assert other.execute("SELECT count(*) FROM span").fetchone() == (1,)


async def test_age_takes_traces_and_names_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "HOUSEKEEPING_S", 0.05)
    clock = Clock()
    metrics = TracingMetrics()
    writer, reader = Writer(tmp_path / "t.db", LIMITS, metrics, clock), Reader(tmp_path / "t.db", metrics)
    writer.start()
    await put(writer, request([span(1, 1)], service="old"))
    clock.now += 30
    await put(writer, request([span(1, 2, 1)], service="late"))  # of the same trace
    clock.now += 1800
    await put(writer, request([span(2, 1)], service="new"))
    clock.now += 1800 - 29  # the first span is older than an hour, the second is not
    await until(lambda: b"tracing_spans_deleted_total 2.0" in metrics.render())
    assert await reader.trace(trace_id(1)) == []
    assert await reader.services() == ["new"]
    clock.now += 60
    await put(writer, request([span(2, 2)], service="new"))
    assert len(await reader.trace(trace_id(2))) == 2
    clock.now += 2 * 3600
    await until(lambda: b"tracing_spans_deleted_total 4.0" in metrics.render())
    assert await reader.services() == []
    await asyncio.to_thread(writer.stop)


async def test_the_file_keeps_within_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    bound = 8 << 20
    metrics = TracingMetrics()
    writer, reader = Writer(path, Limits(bound, HOUR_US, 8 << 20), metrics), Reader(path, metrics)
    writer.start()
    last = 0
    for number in range(1, 121):  # 24 000 spans of 700 bytes: twice what fits
        await put(writer, request([span(number, n, tags={"fill": "x" * 600}) for n in range(1, 201)]))
        last = number
        size = size_of(tmp_path)
        assert size <= bound, f"{size} bytes after {number} batches"
    assert len(await reader.trace(trace_id(last))) == 200
    assert await reader.trace(trace_id(1)) == []
    kept = [n for n in range(1, last + 1) if await reader.trace(trace_id(n))]
    assert kept == list(range(kept[0], last + 1)), "the oldest go first"
    assert len(kept) > 20
    await asyncio.to_thread(writer.stop)


async def test_a_lower_bound_cuts_the_file(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    writer = Writer(path, Limits(32 << 20, HOUR_US, 32 << 20), TracingMetrics())
    writer.start()
    for number in range(1, 61):
        await put(writer, request([span(number, n, tags={"fill": "x" * 600}) for n in range(1, 201)]))
    await asyncio.to_thread(writer.stop)
    assert path.stat().st_size > 8 << 20
    writer = Writer(path, Limits(6 << 20, HOUR_US, 32 << 20), TracingMetrics())
    assert path.stat().st_size <= 6 << 20
    writer.start()
    await put(writer, request([span(99, 1)]))
    await asyncio.to_thread(writer.stop)
    kept = sqlite3.connect(path).execute("SELECT count(*) FROM span").fetchone()[0]
    assert kept > 1000


async def test_a_huge_batch_makes_room_for_itself(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "t.db", Limits(8 << 20, HOUR_US, 64 << 20), TracingMetrics())
    writer.start()
    for number in range(1, 6):
        await put(writer, request([span(number, n, tags={"fill": "x" * 250_000}) for n in range(1, 9)]))
    await asyncio.to_thread(writer.stop)
    assert size_of(tmp_path) <= 8 << 20


async def test_memory_is_flat(tmp_path: Path) -> None:
    import psutil

    metrics = TracingMetrics()
    writer = Writer(tmp_path / "t.db", Limits(16 << 20, HOUR_US, 16 << 20), metrics)
    writer.start()
    process = psutil.Process()

    async def some(first: int, count: int) -> None:
        for number in range(first, first + count):
            # New operations, tags and resources all the time: what is remembered of them is bounded too.
            made = [span(number, n, name=f"op {number}-{n}", tags={"t": f"{number}-{n}"}) for n in range(1, 301)]
            await put(writer, request(made, pod=f"pod-{number}"))

    await some(1, 40)
    before = process.memory_info().rss
    await some(41, 120)
    grown = process.memory_info().rss - before
    await asyncio.to_thread(writer.stop)
    assert grown < 24 << 20, f"{grown >> 20} MB more after 36 000 spans"


def test_files_of_something_else(tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("no database, but some text that is long enough to be looked at\n" * 100)
    with pytest.raises(StoreUnusable, match=r"text\.db: file is not a database"):
        Writer(text, LIMITS, TracingMetrics())
    other = tmp_path / "other.db"
    db = sqlite3.connect(other)
    db.execute("CREATE TABLE t (x)")
    db.commit()
    with pytest.raises(StoreUnusable, match="an SQLite file of something else"):
        Writer(other, LIMITS, TracingMetrics())


async def test_a_damaged_file_is_said_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    metrics = TracingMetrics()
    writer, reader = Writer(path, LIMITS, metrics), Reader(path, metrics)
    writer.start()
    for number in range(1, 40):
        await put(writer, request([span(number, n) for n in range(1, 100)]))
    await asyncio.to_thread(writer.stop)
    with path.open("r+b") as file:
        size = file.seek(0, 2)
        for offset in range(4096 * 8, size, 4096):
            file.seek(offset)
            file.write(b"\xff" * 64)
    with pytest.raises(QueryFailed, match="cannot be read"):
        await reader.search(Search())
    reader.close()
    with pytest.raises(StoreUnusable, match="malformed"):
        Writer(path, LIMITS, metrics)


async def test_a_long_query_ends(store: tuple[Writer, Reader], monkeypatch: pytest.MonkeyPatch) -> None:
    writer, reader = store
    await put(writer, request([span(n, 1) for n in range(1, 3000)]))
    monkeypatch.setattr("services.tracing.store.reader.QUERY_S", 0.0)
    with pytest.raises(QueryFailed, match="narrow it"):
        await reader.dependencies(0, START_US * 2)
