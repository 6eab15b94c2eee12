"""Runs locust as a child and gathers what it reports: the lines of its pipe, one result at the end.

The child has a process group of its own: Ctrl-C in the terminal reaches the parent alone, which then asks the child to
end the run and still gets its result.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loadtests.load.settings import REQUEST_TIMEOUT_S, Settings

LOCUSTFILE = Path(__file__).resolve().parents[1] / "locustfile.py"
WEB_PORT = 8089
STOP_S = int(REQUEST_TIMEOUT_S) + 1
# Beyond the schedule's end: users that start, and the last answers.
SPARE_S = STOP_S + 30
SCHEMA_VERSION = 1

OnSecond = Callable[[dict[str, Any]], None]


class LoadFailed(RuntimeError):
    """There is no result; the message says why."""


class LibraryMissing(LoadFailed):
    """locust, or what draws pictures, is not installed."""


def require_libraries(*names: str) -> None:
    """Raises LibraryMissing with the command that installs those that are not there."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise LibraryMissing(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed. "
            f"Install what load needs (in a clone: make install): "
            f"{sys.executable} -m pip install 'lugsail[load,picture]'"
        )


class LoadRun:
    """One run. `start`, then iterate with `follow`, or `stop` it before its time; `result` is there when it is over."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.series: list[dict[str, Any]] = []
        self.started_at = 0.0
        self.interrupted = False
        self._process: subprocess.Popen[bytes] | None = None
        self._reports: Any = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 closed in `close`
        self._result: dict[str, Any] | None = None

    def start(self) -> None:
        """Start the child; raises LibraryMissing."""
        require_libraries("locust")
        reading, writing = os.pipe()
        try:
            self._process = subprocess.Popen(
                headless_argv(self.settings),
                env=child_environment(self.settings) | {"LUGSAIL_LOAD_REPORT_FD": str(writing)},
                pass_fds=(writing,),
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                start_new_session=True,
            )
        finally:
            os.close(writing)
        self._reports = os.fdopen(reading, "r", encoding="utf-8")

    def follow(self, on_second: OnSecond | None = None) -> dict[str, Any]:
        """Read reports until the run is over; the results as in docs/load.md. Ctrl-C ends the run early.

        Raises LoadFailed where the child ended without a result, KeyboardInterrupt on a second Ctrl-C.
        """
        while True:
            try:
                for line in self._reports:
                    self._take(json.loads(line), on_second)
                break
            except KeyboardInterrupt:
                if self.interrupted:
                    raise
                self.stop()
        return self.result()

    def stop(self) -> None:
        """Ask the child to end the run; requests in flight are waited for."""
        self.interrupted = True
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def result(self) -> dict[str, Any]:
        """The results; raises LoadFailed."""
        assert self._process is not None, "start() comes first"
        code = self._process.wait(timeout=STOP_S)
        if self._result is None:
            raise LoadFailed(f"locust ended (exit code {code}) without a result:\n{self.log_tail()}")
        return {
            "version": SCHEMA_VERSION,
            "run_id": self.settings.run_id,
            "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started_at)),
            "interrupted": self.interrupted,
            "config": config_of(self.settings),
            **self._result,
            "series": self.series,
        }

    def log_tail(self, limit_bytes: int = 2000) -> str:
        """The end of what locust printed."""
        self._log.seek(0)
        return self._log.read()[-limit_bytes:].decode("utf-8", "replace").strip()

    def close(self) -> None:
        """Nothing of the run is left behind."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._reports is not None:
            self._reports.close()
        self._log.close()

    def __enter__(self) -> LoadRun:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, report: dict[str, Any], on_second: OnSecond | None) -> None:
        event = report.pop("event")
        if event == "start":
            self.started_at = report["started_at"]
        elif event == "second":
            if on_second is not None:
                on_second(report)
            report.pop("overview")
            self.series.append(report)
        elif event == "result":
            self._result = report["result"]


def config_of(settings: Settings) -> dict[str, Any]:
    """The settings as they stand in the results."""
    return {
        "url": settings.url,
        "scenario": settings.scenario,
        "shape": settings.shape,
        "users": settings.users,
        "rate_per_s": settings.rate_per_s or None,
        "duration_s": settings.duration_s,
        "user_name": settings.user_name or None,
        "seed": settings.seed,
    }


def headless_argv(settings: Settings) -> list[str]:
    """locust's own command line for a run without its page."""
    argv = [*_locust(settings), "--headless", "--only-summary", "--stop-timeout", str(STOP_S)]
    argv += ["--users", str(settings.users), "--spawn-rate", str(settings.users)]
    limit_s = settings.duration_s + SPARE_S if settings.rate_per_s else settings.duration_s
    if settings.rate_per_s or settings.shape == "steady":  # without a rate a shape ends by itself
        argv += ["--run-time", f"{max(1, round(limit_s))}s"]
    return argv


def web_argv(settings: Settings) -> list[str]:
    """locust's command line with its page, on this machine alone."""
    argv = [*_locust(settings), "--web-host", "127.0.0.1", "--web-port", str(WEB_PORT)]
    return [*argv, "--stop-timeout", str(STOP_S), "--users", str(settings.users), "--spawn-rate", str(settings.users)]


def _locust(settings: Settings) -> list[str]:
    return [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--host", settings.url]


def child_environment(settings: Settings) -> dict[str, str]:
    """This environment with the run's settings, and without what would lead past the mesh."""
    kept = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    root = str(LOCUSTFILE.parents[1])
    path = os.pathsep.join([root, *filter(None, [kept.get("PYTHONPATH")])])
    return kept | settings.environment() | {"PYTHONPATH": path, "LUGSAIL_LOAD_PARENT": str(os.getpid())}
