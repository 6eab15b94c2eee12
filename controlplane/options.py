"""The control plane's command line."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_EXAMPLE = """example:
  python -m controlplane --registry ~/.lugsail/registry.yaml --store ~/.lugsail/store.db --address 127.20.0.1
  curl http://127.20.0.1:8080/ready
  curl http://127.20.0.1:15014/debug/syncz
"""

LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Options:
    """Where it reads, where it listens."""

    registry: Path
    store: Path
    seed: Path | None
    address: str
    http_port: int
    xds_port: int
    monitoring_port: int
    log_level: str


def parse_options(argv: Sequence[str]) -> Options:
    """Raises SystemExit(2) on a wrong command line."""
    home = Path(os.environ.get("LUGSAIL_HOME") or "~/.lugsail").expanduser()
    address = os.environ.get("LUGSAIL_SUBNET", "127.20") + ".0.1"
    parser = argparse.ArgumentParser(
        prog="python -m controlplane",
        description="The control plane: takes Istio resources over REST and the registry, serves xDS to proxies.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--registry",
        type=Path,
        default=home / "registry.yaml",
        metavar="FILE",
        help="ServiceEntry and WorkloadEntry documents of what runs; watched (default: %(default)s)",
    )
    parser.add_argument(
        "--store", type=Path, default=home / "store.db", metavar="FILE", help="SQLite file (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=Path, metavar="FILE", help="resources that a store begins with which never held any"
    )
    parser.add_argument("--address", default=address, metavar="IP", help="listen here (default: %(default)s)")
    for name, default, what in (
        ("http", 8080, "REST API, /ready, /debug"),
        ("xds", 15010, "xDS over gRPC"),
        ("monitoring", 15014, "/metrics, /debug"),
    ):
        parser.add_argument(
            f"--{name}-port", type=_port, default=default, metavar="PORT", help=f"{what} (default: %(default)s)"
        )
    parser.add_argument("--log-level", choices=LOG_LEVELS, default="info", help="to stderr (default: %(default)s)")
    return Options(**vars(parser.parse_args(argv)))


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535")
    return int(text)
