"""What all proxies of a mesh write, line by line, as it is written; of a mesh of processes: their log files.

`poll` never waits. Who falls behind is not let down further: what is too much to be read in time is skipped and
counted, so that what is shown is what happens now.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

SUFFIX = ".proxy.log"
#: How much of each log is looked at for what was before, at most.
BACK_LINES = 20_000
BACK_BYTES = 8 * 1024 * 1024
#: Lines are shorter: so many bytes of a file hold the lines that are asked for.
LINE_BYTES = 1024
#: A log that is so far ahead of its reader is followed from near its end on.
BEHIND_BYTES = 8 * 1024 * 1024
CHUNK_BYTES = 1024 * 1024
LONGEST_LINE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Read:
    """Whole lines, without line feeds, of the proxy `workload.namespace`."""

    proxy: str
    lines: list[bytes]


class ProxyLogs(ABC):
    """The logs of a mesh's proxies; new proxies join as they appear. `skipped` counts lines that were left out."""

    skipped: int = 0

    @abstractmethod
    def poll(self) -> list[Read]:
        """What is there since the last call; the first call gives what was before, as much as was asked for."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything."""


class Splitter:
    """Bytes in pieces become whole lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        lines = (self._rest + data).split(b"\n") if self._rest else data.split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > LONGEST_LINE_BYTES:
            self._rest = b""
        return lines


class _File:
    def __init__(self, path: Path) -> None:
        self.stream: BinaryIO = path.open("rb")
        self.splitter = Splitter()

    def start(self, back: int) -> None:
        size = os.fstat(self.stream.fileno()).st_size
        wanted = min(back * LINE_BYTES, BACK_BYTES)
        self.stream.seek(max(size - wanted, 0))
        if wanted and size > wanted:
            self.stream.readline()

    def read(self) -> tuple[list[bytes], int]:
        """(new lines, lines skipped)."""
        size, position = os.fstat(self.stream.fileno()).st_size, self.stream.tell()
        skipped = 0
        if size < position:  # rotated: emptied in place
            self.stream.seek(0)
            self.splitter = Splitter()
        elif size - position > BEHIND_BYTES:
            skipped = self._skip(size - CHUNK_BYTES)
        data = self.stream.read(CHUNK_BYTES)
        return (self.splitter.feed(data) if data else []), skipped

    def _skip(self, to: int) -> int:
        count = 0
        while self.stream.tell() < to:
            count += self.stream.read(min(CHUNK_BYTES, to - self.stream.tell())).count(b"\n")
        self.stream.readline()
        self.splitter = Splitter()
        return count + 1


class LogFiles(ProxyLogs):
    """The log files of a lab's folder. `names`: workload → `workload.namespace`; `back`: lines of before, of each."""

    def __init__(self, folder: Path, names: Mapping[str, str], back: int = BACK_LINES) -> None:
        self._folder = folder
        self._names = dict(names)
        self._back = back
        self._files: dict[Path, _File] = {}
        self._is_first = True

    def poll(self) -> list[Read]:
        self._open_new()
        out = []
        for path, file in list(self._files.items()):
            workload = path.name.removesuffix(SUFFIX)
            lines, skipped = file.read()
            while self._is_first and lines and (more := file.read()[0]):
                lines += more
            self.skipped += skipped
            if lines:
                out.append(Read(self._names.get(workload, f"{workload}.default"), lines))
        self._is_first = False
        return out

    def _open_new(self) -> None:
        """Logs that are new, or another file than the one that is open (the lab was started anew)."""
        for path in sorted(self._folder.glob("*" + SUFFIX)):
            known = self._files.get(path)
            try:
                if known is not None:
                    if os.path.samestat(os.fstat(known.stream.fileno()), path.stat()):
                        continue
                    known.stream.close()
                file = self._files[path] = _File(path)
                if self._is_first:
                    file.start(self._back)
            except OSError:  # gone between the list and the look
                self._files.pop(path, None)

    def close(self) -> None:
        for file in self._files.values():
            file.stream.close()
        self._files.clear()
