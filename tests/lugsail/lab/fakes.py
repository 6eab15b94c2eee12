"""Stand-ins for the lab's components: each does as little as the lab can see of it."""

from __future__ import annotations

import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.lugsail.fake_control_plane import main as control_plane_main

__all__ = ["app", "app_that_waits", "control_plane_main", "crash", "observer", "proxy", "stubborn", "talk"]


class Ok(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def proxy(argv: list[str]) -> int:
    """Ready at the health port of its pod's address."""
    ip = argv[argv.index("--ip") + 1]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ThreadingHTTPServer((ip, 15021), Ok).serve_forever()
    return 0


def observer(argv: list[str]) -> int:
    """Ready at the port of tracing's page, where it was told of a file, else of metrics'."""
    ip = argv[argv.index("--address") + 1]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ThreadingHTTPServer((ip, 16686 if "--data" in argv else 9090), Ok).serve_forever()
    return 0


def app(argv: list[str]) -> int:
    """Listens where it is told to."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ThreadingHTTPServer((os.environ["BIND_ADDRESS"], int(os.environ["PORT"])), Ok).serve_forever()
    return 0


def crash(argv: list[str]) -> int:
    print("about to fail", file=sys.stderr)
    return 3


def talk(argv: list[str]) -> int:
    print("out", os.environ.get("WORD"), argv)
    print("err", file=sys.stderr)
    return 0


def stubborn(argv: list[str]) -> int:
    """Does not end on SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(1)


def app_that_waits(argv: list[str]) -> int:
    """Ends on SIGTERM as programs do by default."""
    while True:
        time.sleep(1)
