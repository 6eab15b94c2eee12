"""The metrics service's command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

_EXAMPLE = """example:
  python -m services.metrics --control-plane http://127.20.0.1:8080 --address 127.20.0.3
  curl 'http://127.20.0.3:9090/api/graph?window=60s'
  curl 'http://127.20.0.3:9090/api/series?metric=istio_requests_total&by=response_code&window=10m&step=10s'
"""

LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Options:
    """Where it listens, whom it asks, and how often it scrapes. Times in seconds."""

    control_plane: str
    address: str
    als_port: int
    http_port: int
    interval: float
    max_cells: int
    log_level: str


def parse_options(argv: Sequence[str]) -> Options:
    """Raises SystemExit(2) on a wrong command line."""
    parser = argparse.ArgumentParser(
        prog="python -m services.metrics",
        description="Takes Envoy's gRPC access logs, scrapes the mesh's proxies, answers who calls whom and how.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--control-plane", required=True, type=_url, metavar="URL", help="the control plane's API")
    add("--address", default="127.0.0.1", metavar="IP", help="listen here (default: %(default)s)")
    add("--als-port", type=_port, default=9091, metavar="PORT", help="Envoys' access logs (default: %(default)s)")
    add("--http-port", type=_port, default=9090, metavar="PORT", help="API and /metrics (default: %(default)s)")
    add("--interval", type=_seconds, default=5.0, metavar="S", help="between two scrapes (default: %(default)s)")
    add(
        "--max-cells",
        type=_cells,
        default=200_000,
        metavar="N",
        help="of history; one is five seconds of one combination of labels, about 450 bytes (default: %(default)s)",
    )
    add("--log-level", choices=LOG_LEVELS, default="info", help="to stderr (default: %(default)s)")
    return Options(**vars(parser.parse_args(argv)))


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise argparse.ArgumentTypeError(f"{text!r} is not a URL such as http://127.20.0.1:8080")
    return text.rstrip("/")


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0.5 <= value <= 300:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0.5 to 300")
    return value


def _cells(text: str) -> int:
    if not text.isdecimal() or not 1000 <= int(text) <= 10_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1000 to 10000000")
    return int(text)
