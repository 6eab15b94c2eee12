"""What to start for each component of the lab, said as data: no process is started here."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lugsail.lab.addressing import Subnet
from lugsail.lab.paths import Home
from lugsail.lab.pod import Pod

PROXIES = "proxies"
APPS = "apps"

PRELOAD: dict[str, tuple[str, ...]] = {
    # What each nursery imports once, for all its children to share.
    PROXIES: ("sidecar.main", "controlplane.main"),
    APPS: (
        "bookinfo.productpage",
        "bookinfo.details",
        "bookinfo.reviews",
        "bookinfo.ratings",
        "bookinfo.httpbin",
    ),
}


TRACES_MAX_SIZE = "256MB"
PROMETHEUS_RETENTION = ("--storage.tsdb.retention.time=6h", "--storage.tsdb.retention.size=256MB")

# Forked from the proxies' nursery too, but not imported there: the first request does not wait for their imports.
OBSERVER_TARGETS = {"tracing": "services.tracing.main:main", "metrics": "services.metrics.main:main"}
CONTROL_PLANE_TARGET = "controlplane.main:main"
PROXY_TARGET = "sidecar.main:main"
APP_FUNCTION = "main"


@dataclass(frozen=True, slots=True)
class Spawn:
    """One process to start.

    With a `nursery`, `target` (`MODULE:FUNCTION`, called with `argv`, its result the exit code) runs in a fork of that
    nursery; without, `argv` is an ordinary command. Both streams go to files, opened for appending.
    """

    title: str
    argv: tuple[str, ...]
    stdout: Path
    stderr: Path
    nursery: str | None = None
    target: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def control_plane(home: Home, subnet: Subnet, mesh_config: Path, log_level: str = "info") -> Spawn:
    """The control plane, reading the lab's registry and keeping its resources in the lab's store."""
    argv = (
        *("--registry", str(home.registry_file)),
        *("--store", str(home.store_file)),
        *("--mesh-config", str(mesh_config)),
        *("--address", subnet.control_plane_ip),
        *("--log-level", log_level),
    )
    log = home.log("controlplane")
    return Spawn("controlplane", argv, log, log, PROXIES, CONTROL_PLANE_TARGET)


def tracing(home: Home, ip: str, log_level: str = "info") -> Spawn:
    """The tracing service; its spans are in one bounded file of the state folder."""
    arguments = ("--address", ip, "--data", str(home.traces_file), "--max-size", TRACES_MAX_SIZE)
    return _observer("tracing", (*arguments, "--log-level", log_level), home)


def metrics(home: Home, ip: str, subnet: Subnet, log_level: str = "info") -> Spawn:
    """The metrics service, which keeps nothing on disk."""
    arguments = ("--address", ip, "--control-plane", subnet.control_plane_url)
    return _observer("metrics", (*arguments, "--log-level", log_level), home)


def prometheus(program: str, config: Path, home: Home, ip: str, port: int) -> Spawn:
    """Prometheus itself, an ordinary command."""
    words = (
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={home.prometheus_dir / 'data'}",
        *PROMETHEUS_RETENTION,
        f"--web.listen-address={ip}:{port}",
    )
    log = home.log("prometheus")
    return Spawn("prometheus", words, log, log)


def _observer(name: str, argv: tuple[str, ...], home: Home) -> Spawn:
    log = home.log(name)
    return Spawn(name, argv, log, log, PROXIES, OBSERVER_TARGETS[name])


def proxy(pod: Pod, home: Home, log_level: str = "info", access_log_service: str = "") -> Spawn:
    """The sidecar agent of one pod; it runs the Python proxy in-process or the stock Envoy below itself.

    `access_log_service`: `host:port` of where an Envoy sends its requests' records, "" for nowhere.
    """
    labels = ",".join(f"{key}={value}" for key, value in pod.labels.items())
    argv = [
        *("--workload", pod.name),
        *("--namespace", pod.namespace),
        *("--ip", pod.ip),
        *("--type", pod.kind),
        *("--labels", labels),
        *("--service-account", pod.workload.service_account),
        *("--discovery", pod.subnet.discovery),
        *("--proxy", pod.proxy),
        *("--interception", "NONE"),
        *("--state-dir", str(home.proxy_dir(pod.name))),
        *("--log-level", log_level),
    ]
    if access_log_service and pod.proxy == "envoy":
        argv += ["--access-log-service", access_log_service]
    if pod.kind == "router":
        argv += ["--bind-address", "127.0.0.1"]
    log = home.proxy_log(pod.name)
    return Spawn(f"proxy:{pod.name}", tuple(argv), log, log, PROXIES, PROXY_TARGET)


def app(pod: Pod, home: Home, environment: Mapping[str, str]) -> Spawn | None:
    """The pod's app; None for a pure client. `python -m bookinfo.X` is forked, anything else is executed."""
    command = pod.workload.command
    if command is None:
        return None
    log = home.app_log(pod.name)
    title = f"app:{pod.name}"
    module = forkable_module(command)
    if module is not None:
        return Spawn(title, command[3:], log, log, APPS, f"{module}:{APP_FUNCTION}", environment)
    words = (sys.executable, *command[1:]) if command[0] in ("python", "python3") else command
    return Spawn(title, words, log, log, environment=environment)


def forkable_module(command: tuple[str, ...]) -> str | None:
    """`bookinfo.reviews` for `python -m bookinfo.reviews …`: a module whose `main(argv)` a nursery can call."""
    if len(command) >= 3 and command[0] in ("python", "python3") and command[1] == "-m":
        module = command[2]
        if module.startswith("bookinfo."):
            return module
    return None
