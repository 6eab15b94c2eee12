"""The command line of one pod's agent."""

from __future__ import annotations

import argparse
import ipaddress
import json
import logging
import os
import pathlib
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sidecar.agent.addresses import NoAddress, pod_address
from sidecar.agent.bootstrap import EVERY_ADDRESS, address_of, build_bootstrap
from sidecar.agent.identity import Identity

LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the agent was asked to run. `discovery` is `host:port`; `admin_address` an IP address.

    `own_network`: the pod has a network namespace to itself, whose address may change. Pages then listen on all of its
    addresses, the admin page on loopback alone, and the agent serves its own page on 15020.
    `access_log_service`: `host:port` of where an Envoy sends its requests' records, "" for nowhere.
    """

    identity: Identity
    discovery: str
    proxy: Literal["python", "envoy"]
    admin_address: str
    state_dir: pathlib.Path
    log_level: str
    concurrency: int
    own_network: bool = False
    access_log_service: str = ""

    @property
    def pages_address(self) -> str:
        """Where readiness, metrics and the agent's own page listen."""
        return EVERY_ADDRESS if self.own_network else self.identity.ip

    @property
    def bootstrap_path(self) -> pathlib.Path:
        return self.state_dir / "bootstrap.json"


def parse_options(argv: Sequence[str]) -> Options:
    """Options from a command line. Ends the process with status 2 and the reason where they are wrong."""
    parser = argparse.ArgumentParser(prog="sidecar", description="One pod's agent with its proxy, in Python or Envoy.")
    parser.add_argument("--workload", required=True, help="the pod's name, such as reviews-v1")
    parser.add_argument("--namespace", default="default")
    parser.add_argument("--ip", required=True, type=_pod_ip, help="the pod's own address; auto: the default route's")
    parser.add_argument("--type", choices=("sidecar", "router"), default="sidecar", help="router: a gateway")
    parser.add_argument("--labels", type=_labels, default={}, help="app=reviews,version=v1")
    parser.add_argument("--service-account", default="default")
    parser.add_argument("--discovery", required=True, type=_host_port, help="the control plane's xDS, host:port")
    parser.add_argument("--proxy", choices=("python", "envoy"), default="python")
    parser.add_argument(
        "--access-log-service",
        default="",
        type=_host_port_or_nothing,
        help="host:port of where an Envoy sends its records; the Python sidecar counts requests itself",
    )
    parser.add_argument("--interception", choices=("NONE", "REDIRECT"), default="NONE")
    parser.add_argument("--dns-capture", action="store_true", help="answer the app's DNS questions on 127.0.0.1:15053")
    parser.add_argument("--bind-address", default="", type=_ip_or_nothing, help="for listeners of every address")
    parser.add_argument("--state-dir", type=pathlib.Path, help="where bootstrap.json goes (default: a new folder)")
    parser.add_argument("--admin-address", type=_ip, help="default: --ip; 127.0.0.1 in a pod's own network")
    parser.add_argument("--log-level", choices=LOG_LEVELS, default="info")
    parser.add_argument("--concurrency", type=_positive, default=1, help="Envoy's worker threads")
    given = parser.parse_args(argv)
    ip, found = given.ip
    own_network = found or given.interception == "REDIRECT"
    if given.dns_capture and not own_network:
        parser.error("--dns-capture needs a network of the pod's own: --interception REDIRECT or --ip auto")
    identity = Identity(
        workload=given.workload,
        namespace=given.namespace,
        ip=ip,
        type=given.type,
        labels=given.labels,
        service_account=given.service_account,
        interception=given.interception,
        bind_address=given.bind_address,
        dns_capture=given.dns_capture,
    )
    return Options(
        identity=identity,
        discovery=given.discovery,
        proxy=given.proxy,
        admin_address=given.admin_address or ("127.0.0.1" if own_network else ip),
        state_dir=given.state_dir or pathlib.Path(tempfile.mkdtemp(prefix=f"lugsail-{given.workload}-")),
        log_level=given.log_level,
        concurrency=given.concurrency,
        own_network=own_network,
        access_log_service=given.access_log_service,
    )


def write_bootstrap(options: Options) -> dict[str, Any]:
    """Build the bootstrap and leave it in the state folder, whole or not at all. Raises OSError."""
    bootstrap = build_bootstrap(
        options.identity,
        options.discovery,
        options.admin_address,
        own_network=options.own_network,
        access_log_service=options.access_log_service if options.proxy == "envoy" else None,
    )
    path = options.bootstrap_path
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(json.dumps(bootstrap, indent=2) + "\n", encoding="utf-8")
    draft.replace(path)
    return bootstrap


def configure_logging(level: str) -> None:
    """The process log goes to standard error; standard output belongs to the access log."""
    logging.basicConfig(
        level=level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )


def _ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not an IP address") from error


def _pod_ip(text: str) -> tuple[str, bool]:
    """(address, whether it was found rather than given)."""
    if text != "auto":
        return _ip(text), False
    try:
        return pod_address(), True
    except (NoAddress, OSError) as error:
        raise argparse.ArgumentTypeError(f"auto: {error}") from error


def _ip_or_nothing(text: str) -> str:
    return _ip(text) if text else ""


def _host_port(text: str) -> str:
    try:
        address_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _host_port_or_nothing(text: str) -> str:
    return _host_port(text) if text else ""


def _labels(text: str) -> dict[str, str]:
    labels = {}
    for pair in filter(None, text.split(",")):
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise argparse.ArgumentTypeError(f"{pair!r} is not a label such as app=reviews")
        labels[name.strip()] = value.strip()
    return labels


def _positive(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 64:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 64")
    return int(text)
