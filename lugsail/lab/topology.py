"""Reads a topology: a compose file whose services are the mesh's workloads.

Only what the lab needs is read; anything else that compose allows is left alone:

    services:
      reviews-v2:                        # the workload's name
        command: [python, -m, bookinfo.reviews]
        environment: {STAR_COLOR: black}
        labels:
          app: reviews
          version: v2
          lugsail.io/service: reviews    # default: app
          lugsail.io/ports: http:9080    # name:port, comma separated; none for a pure client
          lugsail.io/service-account: bookinfo-reviews
          lugsail.io/namespace: default
        profiles: [httpbin]              # left out unless one of them is asked for
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LABEL_PREFIX = "lugsail.io/"
KNOWN_LABELS = frozenset({"service", "ports", "service-account", "namespace"})
# Labels that speak to the injection of containers: nothing here is injected.
INJECTION_PREFIXES = ("sidecar.istio.io/", "traffic.sidecar.istio.io/", "proxy.istio.io/")
INJECTION_LABELS = frozenset({"inject", "proxy"})
# A process is cheap where a pod of containers is not, so the lab runs these beside what always runs.
LAB_PROFILES = frozenset({"httpbin"})
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class BadTopology(ValueError):
    """The topology cannot be read; the message names the file, the place and the remedy."""


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a service. Istio reads the protocol from the name's first part (`http`, `tcp-mysql`)."""

    name: str
    number: int

    @property
    def protocol(self) -> str:
        head = self.name.split("-", 1)[0].lower()
        return _PROTOCOLS.get(head, "TCP")

    @property
    def is_http(self) -> bool:
        return self.protocol in ("HTTP", "HTTP2", "GRPC")


_PROTOCOLS = {
    "http": "HTTP",
    "http2": "HTTP2",
    "grpc": "GRPC",
    "https": "HTTPS",
    "tls": "TLS",
    "mongo": "MONGO",
    "mysql": "MYSQL",
    "redis": "REDIS",
    "tcp": "TCP",
}


@dataclass(frozen=True, slots=True)
class Workload:
    """One workload: a name, how its app is started (None for a pure client) and who it is in the mesh."""

    name: str
    namespace: str = "default"
    labels: Mapping[str, str] = field(default_factory=dict)
    service: str = ""
    ports: tuple[ServicePort, ...] = ()
    service_account: str = "default"
    command: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def app(self) -> str:
        return self.labels["app"]

    @property
    def version(self) -> str:
        return self.labels.get("version", "")


def read_topology(path: Path, profiles: Collection[str] = LAB_PROFILES) -> tuple[Workload, ...]:
    """The workloads of a compose file in its order, without those of other profiles; raises BadTopology."""
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadTopology(f"Cannot read the topology {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise BadTopology(f"The topology {path} is not UTF-8 text: expected a compose file.") from error
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadTopology(f"The topology {path} is not YAML: {error}") from error
    return parse_topology(data, str(path), profiles)


def parse_topology(data: Any, source: str, profiles: Collection[str] = LAB_PROFILES) -> tuple[Workload, ...]:
    """The workloads of a compose document (already read from YAML); raises BadTopology."""
    services = data.get("services") if isinstance(data, dict) else None
    if not isinstance(services, dict) or not services:
        raise BadTopology(
            f"{source}: there is no `services` mapping; a topology is a compose file with one per workload."
        )
    wanted = ((str(name), spec) for name, spec in services.items() if _runs(str(name), spec, profiles, source))
    workloads = tuple(_workload(name, spec, source) for name, spec in wanted)
    _check_services_agree(workloads, source)
    return workloads


def _runs(name: str, spec: Any, profiles: Collection[str], source: str) -> bool:
    """Whether a service is wanted: it has no profile, or one that is asked for."""
    given = spec.get("profiles") if isinstance(spec, dict) else None
    if given is not None and not isinstance(given, list):
        raise BadTopology(f"{source}: services.{name}.profiles: expected a list, found {type(given).__name__}.")
    return not given or any(profile in profiles for profile in given)


def _workload(name: str, spec: Any, source: str) -> Workload:
    where = f"{source}: services.{name}"
    if not _NAME.fullmatch(name):
        raise BadTopology(f"{where}: a workload's name is a DNS label (a-z, 0-9, -, at most 63).")
    if not isinstance(spec, dict):
        raise BadTopology(f"{where}: expected a mapping, found {type(spec).__name__}.")
    labels = _string_map(spec.get("labels"), f"{where}.labels")
    mesh = {key[len(LABEL_PREFIX) :]: value for key, value in labels.items() if key.startswith(LABEL_PREFIX)}
    unknown = sorted(set(mesh) - KNOWN_LABELS - INJECTION_LABELS)
    if unknown:
        known = ", ".join(LABEL_PREFIX + label for label in sorted(KNOWN_LABELS))
        raise BadTopology(f"{where}.labels: {LABEL_PREFIX}{unknown[0]} is not known; known are {known}.")
    plain = {key: value for key, value in labels.items() if not key.startswith((LABEL_PREFIX, *INJECTION_PREFIXES))}
    if not plain.get("app"):
        raise BadTopology(
            f"{where}.labels: the label `app` is missing; it names the application, as in `app: reviews`."
        )
    return Workload(
        name=name,
        namespace=mesh.get("namespace", "default"),
        labels=plain,
        service=mesh.get("service", plain["app"]),
        ports=parse_ports(mesh.get("ports", ""), f"{where}.labels.{LABEL_PREFIX}ports"),
        service_account=mesh.get("service-account", "default"),
        command=_command(spec.get("command"), f"{where}.command"),
        environment=_string_map(spec.get("environment"), f"{where}.environment"),
    )


def parse_ports(text: str, where: str) -> tuple[ServicePort, ...]:
    """`http:9080,tcp-admin:9000` → ports; raises BadTopology."""
    ports: list[ServicePort] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, number = part.partition(":")
        if not name or not number.isdigit() or not 1 <= int(number) <= 65535:
            raise BadTopology(f"{where}: {part!r} is not NAME:PORT, as in http:9080.")
        if any(name == port.name or int(number) == port.number for port in ports):
            raise BadTopology(f"{where}: {part!r} repeats a name or a port.")
        ports.append(ServicePort(name, int(number)))
    return tuple(ports)


def _command(value: Any, where: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    if isinstance(value, str):
        value = shlex.split(value)
    if not isinstance(value, list) or not value:
        raise BadTopology(f"{where}: expected a list of words, as in [python, -m, bookinfo.reviews].")
    return tuple(_unescaped(str(word)) for word in value)


def _unescaped(text: str) -> str:
    """Compose writes `$$` for a `$` that is the program's own; its other interpolation is not done here."""
    return text.replace("$$", "$")


def _string_map(value: Any, where: str) -> dict[str, str]:
    """Compose writes maps as mappings or as lists of KEY=VALUE; both are read."""
    if value is None:
        return {}
    if isinstance(value, list):
        pairs = [str(item).partition("=") for item in value]
        return {key: _unescaped(text) for key, _, text in pairs}
    if isinstance(value, dict):
        return {str(key): _unescaped(_scalar(item)) for key, item in value.items()}
    raise BadTopology(f"{where}: expected a mapping or a list of KEY=VALUE, found {type(value).__name__}.")


def _scalar(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _check_services_agree(workloads: tuple[Workload, ...], source: str) -> None:
    """Workloads of one service must give it the same ports."""
    first: dict[tuple[str, str], Workload] = {}
    for workload in workloads:
        if not workload.ports:
            continue
        other = first.setdefault((workload.namespace, workload.service), workload)
        if other.ports != workload.ports:
            raise BadTopology(
                f"{source}: {other.name} and {workload.name} both back the service {workload.service} "
                f"but give it different ports; make their {LABEL_PREFIX}ports agree."
            )
