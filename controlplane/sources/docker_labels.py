"""Container labels to what the mesh knows of a workload. Pure; labels are written by anybody and checked whole.

    app, version, …               the workload's labels
    lugsail.io/service            the service it belongs to (default: app)
    lugsail.io/ports              name:port or name:port:target, comma separated; the name's prefix is the protocol
    lugsail.io/service-account    the identity
    lugsail.io/namespace          default: default
    lugsail.io/workload           default: the compose service's name
    lugsail.io/role               app, proxy, init, pod, gateway or control-plane
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

PREFIX = "lugsail.io/"
ROLE, PORTS, SERVICE, NAMESPACE = f"{PREFIX}role", f"{PREFIX}ports", f"{PREFIX}service", f"{PREFIX}namespace"
SERVICE_ACCOUNT, WORKLOAD = f"{PREFIX}service-account", f"{PREFIX}workload"

ROLE_APP, ROLE_PROXY, ROLE_INIT, ROLE_POD = "app", "proxy", "init", "pod"
ROLE_GATEWAY, ROLE_CONTROL_PLANE = "gateway", "control-plane"

# Who asks for a sidecar of its own: the container, or one of its project for all of them.
INJECT_LABELS = ("sidecar.istio.io/inject", f"{PREFIX}inject")
PROJECT_INJECTION, ENABLED = "istio-injection", "enabled"

MAX_PORTS = 64
_MAX_PORTS_LENGTH = 4096
_MAX_WORKLOAD_LABELS = 64

# Labels of tools, and annotations that compose can write as labels only: nothing that a workload is selected by.
_NOT_OF_WORKLOADS = (
    PREFIX,
    "com.docker.",
    "desktop.docker.",
    "org.opencontainers.",
    "org.testcontainers",
    "sidecar.istio.io/",
    "traffic.sidecar.istio.io/",
    "proxy.istio.io/",
    "prometheus.io/",
    "maintainer",
)
_PROTOCOLS = ("http", "http2", "grpc", "grpc-web", "https", "tls", "mongo", "mysql", "redis", "tcp", "udp")

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
# Kubernetes' syntax of label keys and values.
_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


class BadLabel(ValueError):
    """A label cannot be used; the text names it, what is wrong and what would be right."""


@dataclass(frozen=True, slots=True)
class LabelledPort:
    """A port of a service, and where this workload listens for it."""

    name: str
    number: int
    target: int

    @property
    def protocol(self) -> str:
        """Istio reads it from the name: all of it, or what is before a dash. Anything unknown is TCP."""
        return protocol_of(self.name)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a container's labels say of it."""

    workload: str
    namespace: str
    service: str
    ports: tuple[LabelledPort, ...]
    service_account: str
    labels: tuple[tuple[str, str], ...]  # the workload's own

    @property
    def label_map(self) -> dict[str, str]:
        return dict(self.labels)


def protocol_of(port_name: str) -> str:
    """`http-admin` → HTTP, `grpc-web` → GRPC-WEB, `db` → TCP."""
    name = port_name.lower()
    for candidate in ("-".join(name.split("-")[:2]), name.split("-")[0]):
        if candidate in _PROTOCOLS:
            return candidate.upper()
    return "TCP"


def read_claim(labels: Mapping[str, str], default_name: str, number: int = 1) -> Claim | None:
    """The claim of a container, None when it says that it is no endpoint. `number`: its place in a scaled service.

    Raises BadLabel.
    """
    text = labels.get(PORTS, "")
    if not text.strip():
        return None
    service = labels.get(SERVICE) or labels.get("app", "")
    if not service:
        return None
    origin = SERVICE if labels.get(SERVICE) else "app"
    workload = labels.get(WORKLOAD) or default_name
    if number > 1:
        workload = f"{workload}-{number}"
    return Claim(
        workload=_name(workload, WORKLOAD),
        namespace=_name(labels.get(NAMESPACE) or "default", NAMESPACE),
        service=_name(service, origin),
        ports=parse_ports(text),
        service_account=_service_account(labels.get(SERVICE_ACCOUNT) or "default"),
        labels=workload_labels(labels),
    )


def parse_ports(text: str) -> tuple[LabelledPort, ...]:
    """`http:9080,tcp-db:3306:13306`. Raises BadLabel."""
    if len(text) > _MAX_PORTS_LENGTH:
        raise BadLabel(f"label {PORTS} is {len(text)} characters long; at most {_MAX_PORTS_LENGTH} are read")
    ports: list[LabelledPort] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        port = _port(part)
        if any(port.name == other.name or port.number == other.number for other in ports):
            raise BadLabel(f"label {PORTS}: {part!r} repeats a name or a port; each may be there once")
        ports.append(port)
    if not ports:
        raise BadLabel(f"label {PORTS}: {_shown(text)} holds no port; write NAME:PORT, as in http:9080")
    if len(ports) > MAX_PORTS:
        raise BadLabel(f"label {PORTS} holds {len(ports)} ports; at most {MAX_PORTS} can be in one service")
    return tuple(ports)


def _port(part: str) -> LabelledPort:
    fields = part.split(":")
    if len(fields) not in (2, 3) or not _DNS_LABEL.fullmatch(fields[0]):
        raise BadLabel(f"label {PORTS}: {_shown(part)} is not NAME:PORT or NAME:PORT:TARGET, as in http:9080")
    numbers = [_port_number(field, part) for field in fields[1:]]
    return LabelledPort(fields[0], numbers[0], numbers[-1])


def _port_number(text: str, part: str) -> int:
    # Six characters are looked at: a million digits are no number worth reading.
    if len(text) > 5 or not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 65535:
        raise BadLabel(f"label {PORTS}: {_shown(part)}: {_shown(text)} is not a port from 1 to 65535")
    return int(text)


def _name(text: str, label: str) -> str:
    if not _DNS_LABEL.fullmatch(text):
        raise BadLabel(f"label {label}: {_shown(text)} is not a DNS label (a-z, 0-9 and -, at most 63 characters)")
    return text


def _service_account(text: str) -> str:
    if not _DNS_NAME.fullmatch(text):
        raise BadLabel(f"label {SERVICE_ACCOUNT}: {_shown(text)} is not a DNS name (a-z, 0-9, - and .)")
    return text


def workload_labels(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Those that say something of the workload, sorted.

    Images and tools bring labels of their own, many of them free text: what is no label in Kubernetes' syntax is left
    out silently, except for `app` and `version`, which are meant for the mesh. Raises BadLabel.
    """
    for name in ("app", "version"):
        if not _VALUE.fullmatch(labels.get(name, "")):
            raise BadLabel(
                f"label {name}: {_shown(labels[name])} is not a label's value (letters, digits, -, _ and ., at most 63)"
            )
    kept = [
        (key, value)
        for key, value in labels.items()
        if not key.startswith(_NOT_OF_WORKLOADS) and _KEY.fullmatch(key) and _VALUE.fullmatch(value)
    ]
    if len(kept) > _MAX_WORKLOAD_LABELS:
        raise BadLabel(f"{len(kept)} labels are for the workload; at most {_MAX_WORKLOAD_LABELS} can be")
    return tuple(sorted(kept))


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "…")
