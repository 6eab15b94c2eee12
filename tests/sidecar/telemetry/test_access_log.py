import asyncio
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from sidecar.telemetry import access_log
from sidecar.telemetry.access_log import AccessLogWriter, AccessLogWriters
from sidecar.telemetry.stats import Stats


class FakeLoop:
    """Timers that run when the test says so."""

    def __init__(self) -> None:
        self.timers: list[tuple[float, Any]] = []

    def call_later(self, delay: float, callback: Any) -> Any:
        self.timers.append((delay, callback))
        return self

    def cancel(self) -> None:
        self.timers.clear()

    def fire(self) -> None:
        timers, self.timers = self.timers, []
        for _, callback in timers:
            callback()


class Sink:
    """Stands in for os.write: takes `room` bytes, or raises `error`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.data = b""
        self.room = 1 << 30
        self.error: OSError | None = None
        monkeypatch.setattr(access_log.os, "write", self.write)

    def write(self, fd: int, data: bytes) -> int:
        if self.error is not None:
            raise self.error
        if not self.room:
            raise BlockingIOError(errno.EAGAIN, "full")
        taken = data[: self.room]
        self.room -= len(taken)
        self.data += taken
        return len(taken)


def make(tmp_path: Path) -> tuple[AccessLogWriter, FakeLoop, Stats]:
    loop, stats = FakeLoop(), Stats()
    return AccessLogWriter(str(tmp_path / "access.log"), stats, loop), loop, stats  # type: ignore[arg-type]


def test_lines_wait_for_the_timer(tmp_path: Path) -> None:
    writer, loop, stats = make(tmp_path)
    writer.write("one\n")
    writer.write("two\n")
    assert (tmp_path / "access.log").read_text() == ""
    assert len(loop.timers) == 1
    loop.fire()
    assert (tmp_path / "access.log").read_text() == "one\ntwo\n"
    assert stats.counter("filesystem.flushed_by_timer").value == 1


def test_a_full_batch_goes_out_at_once(tmp_path: Path) -> None:
    writer, _, _ = make(tmp_path)
    writer.write("x" * access_log.FLUSH_BYTES + "\n")
    assert (tmp_path / "access.log").stat().st_size == access_log.FLUSH_BYTES + 1


def test_a_reader_that_stands_still_is_written_to_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, loop, stats = make(tmp_path)
    sink = Sink(monkeypatch)
    sink.room = 3
    writer.write("one\n")
    writer.write("two\n")
    loop.fire()
    assert sink.data == b"one"
    sink.room = 1 << 20
    loop.fire()
    assert sink.data == b"one\ntwo\n"
    assert stats.counter("access_log.lines_dropped").value == 0


def test_what_a_stuck_sink_holds_back_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, loop, stats = make(tmp_path)
    sink = Sink(monkeypatch)
    sink.room = 0
    line = "x" * 1023 + "\n"
    for _ in range(3 * 1024):
        writer.write(line)
    dropped = stats.counter("access_log.lines_dropped").value
    assert dropped >= 1024
    sink.room = 1 << 30
    loop.fire()
    writer.flush()
    assert sink.data.count(b"\n") + dropped == 3 * 1024


def test_a_full_disk_costs_lines_and_is_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, _, stats = make(tmp_path)
    sink = Sink(monkeypatch)
    sink.error = OSError(errno.ENOSPC, "No space left on device")
    writer.write("lost\n")
    writer.write("lost too\n")
    writer.flush()
    assert stats.counter("filesystem.write_failed").value == 1
    assert stats.counter("access_log.lines_dropped").value == 2
    sink.error = None
    writer.write("kept\n")
    writer.flush()
    assert sink.data == b"kept\n"


def test_after_a_torn_line_the_next_one_starts_afresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, _, _ = make(tmp_path)
    sink = Sink(monkeypatch)
    sink.room = 2
    original = sink.write

    def full_after(fd: int, data: bytes) -> int:
        if not sink.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(fd, data)

    monkeypatch.setattr(access_log.os, "write", full_after)
    writer.write("torn\n")
    writer.flush()
    sink.room = 1 << 20
    writer.write("whole\n")
    writer.flush()
    assert sink.data == b"to\nwhole\n"


def test_reopen_follows_a_rotated_file(tmp_path: Path) -> None:
    writer, _, stats = make(tmp_path)
    path = tmp_path / "access.log"
    writer.write("old\n")
    path.rename(tmp_path / "access.log.1")
    writer.reopen()
    writer.write("new\n")
    writer.close()
    assert (tmp_path / "access.log.1").read_text() == "old\n"
    assert path.read_text() == "new\n"
    assert stats.counter("filesystem.reopen_failed").value == 0


def test_a_failed_reopen_keeps_the_old_file(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    writer, _, stats = make(folder)
    descriptor = os.open(folder / "access.log", os.O_RDONLY)
    (folder / "access.log").unlink()
    folder.rmdir()
    writer.reopen()
    writer.write("still here\n")
    writer.close()
    assert os.read(descriptor, 100) == b"still here\n"
    os.close(descriptor)
    assert stats.counter("filesystem.reopen_failed").value == 1


def test_listeners_share_the_writer_of_a_path(tmp_path: Path) -> None:
    writers = AccessLogWriters(Stats(), FakeLoop())  # type: ignore[arg-type]
    path = str(tmp_path / "a")
    assert writers.open(path) is writers.open(path)
    assert writers.open(path) is not writers.open(str(tmp_path / "b"))
    with pytest.raises(OSError, match="No such file"):
        writers.open(str(tmp_path / "none" / "c"))
    writers.close()


async def test_a_pipe_that_nobody_reads_does_not_block_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    monkeypatch.setattr(access_log, "_STANDARD_STREAMS", {"/dev/stdout": writing})
    stats = Stats()
    writer = AccessLogWriter("/dev/stdout", stats, asyncio.get_running_loop())
    for _ in range(4):
        writer.write("x" * access_log.FLUSH_BYTES + "\n")
    assert os.get_blocking(writing), "the inherited descriptor stays as it was"
    got = 0
    os.set_blocking(reading, False)
    while got < 4 * (access_log.FLUSH_BYTES + 1):
        writer.flush()
        got += len(os.read(reading, 1 << 20))
    writer.close()
    os.close(reading)
    os.close(writing)
    assert stats.counter("access_log.lines_dropped").value == 0
