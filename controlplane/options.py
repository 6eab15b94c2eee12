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
  python -m controlplane --docker --store /var/lib/lugsail/store.db --address 0.0.0.0 --user 1337   # in a container
"""

LOG_LEVELS = ("debug", "info", "warning", "error")


DEFAULT_DOCKER_HOST = "unix:///var/run/docker.sock"


@dataclass(frozen=True, slots=True)
class Options:
    """Where it reads, where it listens, and as whom."""

    registry: Path | None  # None: there is none beside Docker
    docker: bool
    docker_host: str
    docker_project: str  # "" for the own container's
    docker_all: bool
    inject: bool
    inject_discovery: str  # host:port of the xDS port as containers see it; "": found out
    user: int | None
    store: Path
    seed: Path | None
    mesh_config: Path | None
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
        metavar="FILE",
        help=f"ServiceEntry and WorkloadEntry documents of what runs; watched (default: {home / 'registry.yaml'}, "
        "with --docker: none)",
    )
    _add_docker(parser)
    parser.add_argument(
        "--store", type=Path, default=home / "store.db", metavar="FILE", help="SQLite file (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=Path, metavar="FILE", help="resources that a store begins with which never held any"
    )
    parser.add_argument("--mesh-config", type=Path, metavar="FILE", help="Istio's MeshConfig as YAML; watched")
    parser.add_argument("--user", type=_uid, metavar="UID", help="started as root: become this user at once, for good")
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
    given = vars(parser.parse_args(argv))
    if given["registry"] is None and not given["docker"]:
        given["registry"] = home / "registry.yaml"
    if given["inject"] and not given["docker"]:
        parser.error("--inject needs --docker: it gives sidecars to containers")
    return Options(**given)


def _add_docker(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--docker", action="store_true", help="containers of a Docker Engine, by their labels")
    parser.add_argument(
        "--docker-host",
        default=os.environ.get("DOCKER_HOST") or DEFAULT_DOCKER_HOST,
        metavar="URL",
        help="unix:///path or tcp://host:port (default: %(default)s)",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--docker-project",
        default="",
        metavar="NAME",
        help="containers of this compose project (default: the one of this container; outside of one: all)",
    )
    which.add_argument("--docker-all", action="store_true", help="containers of all projects")
    parser.add_argument("--inject", action="store_true", help="with --docker: give a sidecar to containers that ask")
    parser.add_argument(
        "--inject-discovery",
        type=_host_port,
        default="",
        metavar="HOST:PORT",
        help="where these sidecars find the xDS port (default: this container by name, or --address)",
    )


def _uid(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 2**31:
        raise argparse.ArgumentTypeError(f"{text!r} is not the number of a user other than root")
    return int(text)


def _host_port(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not text:
        return ""  # argparse reads defaults too
    if not host:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, as in control-plane:15010")
    _port(port)
    return text


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535")
    return int(text)
