"""The service as a process on an address of its own."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

START_S = 20.0
_number = itertools.count(1)


class Tracing:
    """Starts on entering, is killed on leaving. Addresses differ between processes of one test run and between runs."""

    def __init__(self, data: Path, *flags: str) -> None:
        self.data = data
        self.flags = flags
        self.address = f"127.47.{1 + os.getpid() % 250}.{next(_number) % 250 + 1}"
        self.log = data.with_name("service.log")
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Tracing:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def start(self) -> None:
        command = [sys.executable, "-m", "services.tracing", "--address", self.address, "--data", str(self.data)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*command, *self.flags], stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while self.get("/ready")[0] != 200:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def get(self, path: str, port: int = 16686) -> tuple[int, Any]:
        """Status (0: no connection) and body: JSON where it is."""
        try:
            with urllib.request.urlopen(f"http://{self.address}:{port}{path}", timeout=20) as answer:
                body, status, kind = answer.read(), answer.status, answer.headers["Content-Type"]
        except urllib.error.HTTPError as error:
            body, status, kind = error.read(), error.code, error.headers["Content-Type"]
        except (OSError, http.client.HTTPException):
            return 0, None
        return status, json.loads(body) if "json" in (kind or "") else body.decode()

    def post(
        self, port: int, path: str, body: bytes, kind: str = "application/json", **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        url = f"http://{self.address}:{port}{path}"
        named = {"Content-Type": kind} if kind else {}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(url, body, named)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read(), dict(error.headers)

    def trace(self, trace_id: str) -> dict[str, Any]:
        status, body = self.get(f"/api/traces/{trace_id}")
        assert status == 200, body
        (found,) = body["data"]
        assert isinstance(found, dict)
        return found
