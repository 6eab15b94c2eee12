"""Access logs: lines are gathered and written in batches, and never hold up the data path.

The sinks keep a bounded buffer. A reader that does not read (EAGAIN) or a full disk loses lines, which is counted; the
next batch tries again. Counters carry Envoy's names (`filesystem.*`).
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat

from sidecar.telemetry.formatter import compile_json, compile_text
from sidecar.telemetry.stats import Stats

__all__ = ["AccessLogWriter", "AccessLogWriters", "compile_format", "compile_json"]

#: Lines go out when so many characters wait …
FLUSH_BYTES = 64 * 1024
#: … or after so long. Envoy waits 10 s, too long for someone who watches the log.
FLUSH_INTERVAL_S = 1.0
#: What a stuck sink may hold back before lines are dropped.
MAX_BUFFERED_BYTES = 1024 * 1024

_STANDARD_STREAMS = {"/dev/stdout": 1, "/dev/stderr": 2}

compile_format = compile_text


class AccessLogWriter:
    """One sink. `path` is a file, `/dev/stdout` or `/dev/stderr`. `write` takes whole lines with their line feed.

    Raises OSError where the file can not be opened at the start; later failures are only counted.
    """

    def __init__(self, path: str, stats: Stats, loop: asyncio.AbstractEventLoop) -> None:
        self.path = path
        self._loop = loop
        self._lines: list[str] = []
        self._waiting_bytes = 0
        self._unwritten = b""
        self._torn_line = False
        self._timer: asyncio.TimerHandle | None = None
        self._fd = _open(path)
        self._completed = stats.counter("filesystem.write_completed")
        self._failed = stats.counter("filesystem.write_failed")
        self._buffered = stats.counter("filesystem.write_buffered")
        self._by_timer = stats.counter("filesystem.flushed_by_timer")
        self._reopen_failed = stats.counter("filesystem.reopen_failed")
        self._dropped = stats.counter("access_log.lines_dropped")

    def write(self, line: str) -> None:
        """Queue one line; cheap, never blocks and never raises."""
        self._lines.append(line)
        self._waiting_bytes += len(line)
        if self._waiting_bytes >= FLUSH_BYTES:
            self.flush()
        elif self._timer is None:
            self._timer = self._loop.call_later(FLUSH_INTERVAL_S, self._on_timer)

    def flush(self) -> None:
        """Write what waits, as much as the sink takes without blocking."""
        if self._lines:
            self._buffered.value += len(self._lines)
            self._take_lines()
        while self._unwritten:
            try:
                written = os.write(self._fd, self._unwritten)
            except BlockingIOError:
                self._retry_later()
                return
            except OSError:
                self._failed.value += 1
                self._drop(self._unwritten)
                self._unwritten = b""
                return
            self._torn_line = self._unwritten[written - 1 : written] != b"\n"
            self._unwritten = self._unwritten[written:]
        self._completed.value += 1

    def reopen(self) -> None:
        """Open the path again (SIGUSR1: the file was rotated); keeps the old one where that fails."""
        self.flush()
        try:
            new = _open(self.path)
        except OSError:
            self._reopen_failed.value += 1
            return
        os.close(self._fd)
        self._fd = new

    def close(self) -> None:
        """Write what can be written and let go of the file."""
        self.flush()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        os.close(self._fd)
        self._fd = -1

    def _on_timer(self) -> None:
        self._timer = None
        self._by_timer.value += 1
        self.flush()

    def _take_lines(self) -> None:
        batch = "".join(self._lines).encode("utf-8", "surrogateescape")
        self._lines.clear()
        self._waiting_bytes = 0
        if len(self._unwritten) + len(batch) > MAX_BUFFERED_BYTES:
            self._drop(batch)
            return
        if self._torn_line and not self._unwritten:
            # The rest of the last line was lost: the next one starts on a line of its own.
            batch = b"\n" + batch
        self._unwritten += batch

    def _drop(self, batch: bytes) -> None:
        self._dropped.value += max(1, batch.count(b"\n"))

    def _retry_later(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(FLUSH_INTERVAL_S, self._on_timer)


class AccessLogWriters:
    """The sinks of one proxy: listeners that log to the same path share one writer."""

    def __init__(self, stats: Stats, loop: asyncio.AbstractEventLoop) -> None:
        self._stats = stats
        self._loop = loop
        self._writers: dict[str, AccessLogWriter] = {}

    def open(self, path: str) -> AccessLogWriter:
        """The writer of this path; raises OSError where it can not be opened."""
        writer = self._writers.get(path)
        if writer is None:
            writer = self._writers[path] = AccessLogWriter(path, self._stats, self._loop)
        return writer

    def flush(self) -> None:
        for writer in self._writers.values():
            writer.flush()

    def reopen(self) -> None:
        for writer in self._writers.values():
            writer.reopen()

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()


def _open(path: str) -> int:
    """A descriptor that appends and does not block."""
    standard = _STANDARD_STREAMS.get(path)
    if standard is None:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    if stat.S_ISFIFO(os.fstat(standard).st_mode):
        # A file description of our own: O_NONBLOCK on the inherited one would change it for everyone who shares it.
        try:
            return os.open(f"/proc/self/fd/{standard}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EACCES, errno.ENXIO):
                raise
    return os.dup(standard)
