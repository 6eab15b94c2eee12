"""What the proxies of a mesh of containers write: one thread for each reads its `docker logs`."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from lugsail.lab.containers.discovery import View
from lugsail.lab.errors import LabError
from lugsail.lab.proxy_logs import ProxyLogs, Read, Splitter

if TYPE_CHECKING:
    from collections.abc import Callable

    from docker import APIClient

LOOK_EVERY_S = 1.0
MAX_WAITING_LINES = 100_000
FIRST_S = 10.0  # so long may the engine take to hand out what was before


class ContainerLogs(ProxyLogs):
    """`look` tells the mesh as it is now; raises LabError while the engine is away.

    `back`: lines of before, of each.
    """

    def __init__(self, client: APIClient, look: Callable[[], View], back: int, follow: bool) -> None:
        self._client = client
        self._look = look
        self._back = back
        self._follow = follow
        self._started = time.time()
        self._lock = threading.Lock()
        self._waiting: deque[Read] = deque()
        self._waiting_lines = 0
        self._readers: dict[str, threading.Thread] = {}
        self._streams: dict[str, Any] = {}
        self._ended_at: dict[str, float] = {}
        self._next_look = 0.0
        self._is_first = True
        self._closed = False

    def poll(self) -> list[Read]:
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + LOOK_EVERY_S
            self._read_new()
        if self._is_first and not self._follow:
            deadline = time.monotonic() + FIRST_S
            for thread in list(self._readers.values()):
                thread.join(max(0.0, deadline - time.monotonic()))
        self._is_first = False
        with self._lock:
            out = list(self._waiting)
            self._waiting.clear()
            self._waiting_lines = 0
        return out

    def close(self) -> None:
        self._closed = True
        for stream in list(self._streams.values()):
            with contextlib.suppress(Exception):  # whatever a socket says that another thread reads from
                stream.close()

    def _read_new(self) -> None:
        """A reader for each proxy's container that has none: new ones, and those that run again."""
        try:
            workloads = self._look().workloads
        except LabError:
            return
        for workload in workloads:
            proxy = workload.proxy
            if proxy is None or ((reader := self._readers.get(proxy.id)) and reader.is_alive()):
                continue
            if proxy.id in self._ended_at and not (proxy.is_running and self._follow):
                continue
            if not self._is_first:
                since: float | None = self._ended_at.get(proxy.id, self._started)
            else:
                since = None if self._back else self._started
            name = f"{workload.name}.{workload.namespace}"
            thread = threading.Thread(target=self._read, args=(proxy.id, name, since), daemon=True)
            self._readers[proxy.id] = thread
            thread.start()

    def _read(self, container: str, proxy: str, since: float | None) -> None:
        splitter = Splitter()
        options: dict[str, Any] = {"tail": self._back} if since is None else {"since": since}
        try:
            stream = self._client.logs(container, stream=True, follow=self._follow, stdout=True, stderr=True, **options)
            self._streams[container] = stream
            for piece in stream:
                if self._closed:
                    return
                self._put(proxy, splitter.feed(piece))
        except Exception:  # the engine went away or the stream was closed: the next look begins anew
            return
        finally:
            self._ended_at[container] = time.time()
            self._streams.pop(container, None)

    def _put(self, proxy: str, lines: list[bytes]) -> None:
        if not lines:
            return
        with self._lock:
            self._waiting.append(Read(proxy, lines))
            self._waiting_lines += len(lines)
            while self._waiting_lines > MAX_WAITING_LINES:
                dropped = len(self._waiting.popleft().lines)
                self._waiting_lines -= dropped
                self.skipped += dropped
