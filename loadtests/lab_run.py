"""Starts and stops a whole lab for a measurement, as a user would: with the `lugsail` command."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType

from lugsail.lab.paths import Home, source_root
from lugsail.lab.state import LabState, read_state

PAGE = "/productpage"
START_LIMIT_S = 60.0
POLL_S = 0.02


class LabFailed(RuntimeError):
    """`lugsail up` failed, or no page came; the message holds what it printed."""


class LabRun:
    """A context manager: `lugsail up --detach` on entering, `lugsail down` on leaving.

    Then `first_page_s` is the time from the command to the first 200 through the gateway, `up_s` to the command's end.
    """

    def __init__(self, subnet: str, proxy: str = "python") -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="lugsail-bench-")
        self._proxy = proxy
        self._port = free_port()
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")},
            "LUGSAIL_HOME": self._folder.name,
            "LUGSAIL_SUBNET": subnet,
            "PYTHONPATH": str(source_root()),
            "NO_COLOR": "1",
        }
        self.first_page_s = 0.0
        self.up_s = 0.0

    @property
    def state(self) -> LabState:
        """lab.json as it is now."""
        state = read_state(Home(Path(self._folder.name)))
        if state is None:
            raise LabFailed("the lab has left no state file")
        return state

    def __enter__(self) -> LabRun:
        start = time.monotonic()
        argv = ["up", "--detach", "--proxy", self._proxy, "--port", str(self._port)]
        log = Path(self._folder.name) / "bench-up.txt"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "lugsail", *argv], env=self._environment, stdout=stream, stderr=stream
            )
        try:
            self._await_page(process, start, log)
            process.wait(timeout=START_LIMIT_S)
            self.up_s = time.monotonic() - start
            if process.returncode != 0:
                raise LabFailed(f"lugsail up: exit {process.returncode}\n{log.read_text(errors='replace')[-2000:]}")
        except BaseException:
            process.terminate()
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        argv = [sys.executable, "-m", "lugsail", "down"]
        subprocess.run(argv, env=self._environment, capture_output=True, timeout=60, check=False)
        self._folder.cleanup()

    def _await_page(self, process: subprocess.Popen[bytes], start: float, log: Path) -> None:
        url = f"http://127.0.0.1:{self._port}{PAGE}"
        while time.monotonic() - start < START_LIMIT_S:
            if has_page(url):
                self.first_page_s = time.monotonic() - start
                return
            if process.poll() not in (None, 0):
                break
            time.sleep(POLL_S)
        raise LabFailed(f"no page at {url}:\n{log.read_text(errors='replace')[-2000:]}")


def has_page(url: str) -> bool:
    """Whether a GET answers 200, past any proxy that the environment names."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=10) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
