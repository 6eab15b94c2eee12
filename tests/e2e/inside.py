"""Requests made from inside a pod: one program per workload, told what to ask for by lines of JSON.

Runs in the app's container with nothing but Python's standard library, and knows nothing of a mesh: no proxy variable,
no address but what the name service says. Several clients share one program; each has a thread and connections of its
own, kept alive.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
from typing import Any

PROGRAM = r"""
import http.client, json, sys, threading, time
from urllib.parse import urlsplit
out, queues = threading.Lock(), {}

def serve(name, inbox):
    connections = {}
    while True:
        ask = inbox.get()
        if ask.get("close"):
            return
        url, start = urlsplit(ask["url"]), time.monotonic()
        key = (url.hostname, url.port or 80)
        connection = connections.setdefault(key, http.client.HTTPConnection(*key, timeout=ask["timeout_s"]))
        try:
            path = (url.path or "/") + ("?" + url.query if url.query else "")
            body = ask["body"].encode("latin-1") if ask["body"] is not None else None
            connection.request(ask["method"], path, body, ask["headers"])
            r = connection.getresponse()
            data = r.read().decode(errors="replace")
            answer = {"status": r.status, "headers": r.getheaders(), "body": data}
        except (OSError, http.client.HTTPException) as problem:
            connections.pop(key).close()
            answer = {"error": f"{type(problem).__name__}: {problem}"}
        answer.update(client=name, seconds=time.monotonic() - start)
        with out:
            print(json.dumps(answer), flush=True)

import queue
for line in sys.stdin:
    ask = json.loads(line)
    if ask["client"] not in queues:
        inbox = queues[ask["client"]] = queue.Queue()
        threading.Thread(target=serve, args=(ask["client"], inbox), daemon=True).start()
    queues[ask["client"]].put(ask)
"""


class Inside:
    """The program in one container."""

    def __init__(self, container: str) -> None:
        self.container = container
        self._names = itertools.count()
        self._answers: dict[int, dict[str, Any]] = {}
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            ["docker", "exec", "-i", container, "python3", "-u", "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._ended = False
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def is_alive(self) -> bool:
        return not self._ended and self._process.poll() is None

    def client_name(self) -> int:
        return next(self._names)

    def tell(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with self._changed:
            try:
                self._process.stdin.write(json.dumps(message) + "\n")
                self._process.stdin.flush()
            except (OSError, ValueError) as problem:
                raise ConnectionError(f"the container {self.container} is gone") from problem

    def ask(self, message: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """The answer to one request of one client; raises ConnectionError when the container went away."""
        self.tell(message)
        name = message["client"]
        with self._changed:
            if not self._changed.wait_for(lambda: name in self._answers or self._ended, timeout_s):
                raise TimeoutError(f"no answer from inside {self.container} within {timeout_s} s")
            if name not in self._answers:
                raise ConnectionError(f"the container {self.container} ended")
            return self._answers.pop(name)

    def close(self) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except OSError:
            pass
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout:
            for line in self._process.stdout:
                answer = json.loads(line)
                with self._changed:
                    self._answers[answer["client"]] = answer
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
