"""The tracing service's command line."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.tracing.query.durations import parse_duration

_EXAMPLE = """example:
  python -m services.tracing --data ~/.lugsail/traces.db --retention 30m
  curl 'http://127.0.0.1:16686/api/traces?service=productpage.default&limit=5'
  xdg-open http://127.0.0.1:16686/
"""

LOG_LEVELS = ("debug", "info", "warning", "error")
MIN_SIZE = 64 << 20  # so that the largest body that is taken always fits
_SIZE = re.compile(r"(\d{1,12})(?:([KMG])(i?)B?|B)?", re.IGNORECASE | re.ASCII)
_SCALE = {"": 0, "K": 10, "M": 20, "G": 30}


@dataclass(frozen=True, slots=True)
class Options:
    """Where it listens, where it keeps spans and how many. Sizes in bytes, times in µs."""

    address: str
    data: Path
    otlp_grpc_port: int
    otlp_http_port: int
    zipkin_port: int
    ui_port: int
    retention: int
    max_size: int
    queue_size: int
    durability: str
    max_clock_skew: int
    log_level: str


def parse_options(argv: Sequence[str]) -> Options:
    """Raises SystemExit(2) on a wrong command line."""
    home = Path(os.environ.get("LUGSAIL_HOME") or "~/.lugsail").expanduser()
    parser = argparse.ArgumentParser(
        prog="python -m services.tracing",
        description="Takes spans by OTLP and Zipkin, keeps them in SQLite, answers Jaeger's query API.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--address", default="127.0.0.1", metavar="IP", help="listen here (default: %(default)s)")
    add(
        "--data",
        type=Path,
        default=home / "traces.db",
        metavar="FILE",
        help="SQLite file, made where there is none (default: %(default)s)",
    )
    for name, default, what in (
        ("otlp-grpc", 4317, "OTLP over gRPC"),
        ("otlp-http", 4318, "OTLP over HTTP, /v1/traces"),
        ("zipkin", 9411, "Zipkin v2, /api/v2/spans"),
        ("ui", 16686, "Jaeger's query API, the pages, /metrics, /health, /ready"),
    ):
        add(f"--{name}-port", type=_port, default=default, metavar="PORT", help=f"{what} (default: %(default)s)")
    add(
        "--retention",
        type=_duration,
        default="1h",
        metavar="TIME",
        help="delete spans that arrived longer ago (default: %(default)s)",
    )
    add(
        "--max-size",
        type=_size,
        default="512MB",
        metavar="SIZE",
        help="of the file with its log; the oldest spans make room (default: %(default)s)",
    )
    add(
        "--queue-size",
        type=_size,
        default="64MB",
        metavar="SIZE",
        help="bytes that may wait to be stored; senders beyond it are told to come again (default: %(default)s)",
    )
    add(
        "--durability",
        choices=("process", "power"),
        default="process",
        help="what an acknowledged span outlives: the end of this process by any signal, or a loss of power too, "
        "at the price of waiting for the disk (default: %(default)s)",
    )
    add(
        "--max-clock-skew",
        type=_duration,
        default="0s",
        metavar="TIME",
        help="move spans of other hosts so much at most to fit into their parents; 0s: never (default: %(default)s)",
    )
    add("--log-level", choices=LOG_LEVELS, default="info", help="to stderr (default: %(default)s)")
    options = Options(**vars(parser.parse_args(argv)))
    if options.max_size < MIN_SIZE:
        parser.error(f"argument --max-size: {options.max_size} bytes are too few: at least {MIN_SIZE >> 20}MB")
    if options.retention <= 0:
        parser.error("argument --retention: it must be longer than nothing, such as 10m")
    return options


def parse_size(text: str) -> int:
    """Bytes: 512MB, 2GiB, 1000000. K, M and G are powers of 1024. Raises ValueError."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a size such as 512MB or 2GB")
    return int(found[1]) << _SCALE[(found[2] or "").upper()]


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _duration(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535")
    return int(text)
