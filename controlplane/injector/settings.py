"""What a workload's annotations ask of its sidecar, and the command lines of init and sidecar that follow from it.

The names are Istio's (https://istio.io/latest/docs/reference/config/annotations/). Compose has no annotations: there
they are labels of the same names.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from controlplane.injector.annotations import (
    EVERYTHING,
    BadAnnotation,
    joined,
    parse_choice,
    parse_cidrs,
    parse_cidrs_or_all,
    parse_interfaces,
    parse_ports,
    parse_ports_or_all,
    parse_switch,
)
from controlplane.injector.proxy_config import ANNOTATION as PROXY_CONFIG
from controlplane.injector.proxy_config import INTERCEPTIONS, parse_proxy_config

__all__ = ("BadAnnotation", "InjectionSettings", "proxy_arguments", "workload_labels")

PROXY_UID = 1337
OUTBOUND_PORT, INBOUND_PORT = 15001, 15006
AGENT_PORT, HEALTH_PORT, PROMETHEUS_PORT = 15020, 15021, 15090
# What the proxy itself serves on the pod's address is never sent through the proxy.
OWN_PORTS = (PROMETHEUS_PORT, HEALTH_PORT, AGENT_PORT)
STATE_DIR = "/tmp/lugsail"

INJECT = "sidecar.istio.io/inject"
OWN_INJECT = "lugsail.io/inject"
PROXY_KIND = "lugsail.io/proxy"
_SIDECAR, _TRAFFIC = "sidecar.istio.io/", "traffic.sidecar.istio.io/"
_LOG_LEVEL = f"{_SIDECAR}logLevel"
# Envoy's levels, which the annotation is written in → ours.
_LOG_LEVELS = {
    "trace": "debug",
    "debug": "debug",
    "info": "info",
    "warning": "warning",
    "warn": "warning",
    "error": "error",
    "critical": "error",
    "off": "error",
}
# An image reference: what Docker's `reference` grammar allows, without taking it apart.
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,511}\Z")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?([numkMGTPE]|[KMGTPE]i|[eE][0-9]+)?\Z")
_RESOURCES = {
    f"{_SIDECAR}proxyCPU": "proxy_cpu",
    f"{_SIDECAR}proxyMemory": "proxy_memory",
    f"{_SIDECAR}proxyCPULimit": "proxy_cpu_limit",
    f"{_SIDECAR}proxyMemoryLimit": "proxy_memory_limit",
}
_REWRITE = f"{_SIDECAR}rewriteAppHTTPProbers"
# Read elsewhere (Kubernetes) or written by the injector.
_ELSEWHERE = frozenset((f"{_SIDECAR}status",))
KNOWN = frozenset(
    (
        *(INJECT, _LOG_LEVEL, f"{_SIDECAR}interceptionMode", f"{_SIDECAR}proxyImage", _REWRITE, *_RESOURCES),
        *(f"{_TRAFFIC}{direction}InboundPorts" for direction in ("include", "exclude")),
        *(f"{_TRAFFIC}{direction}OutboundIPRanges" for direction in ("include", "exclude")),
        *(f"{_TRAFFIC}{direction}OutboundPorts" for direction in ("include", "exclude")),
        f"{_TRAFFIC}excludeInterfaces",
        *_ELSEWHERE,
    )
)
# Labels that are about the container, not about the workload.
_NOT_WORKLOAD = (
    *("lugsail.io/", "com.docker.", "desktop.docker.", "org.opencontainers.", "org.testcontainers", "maintainer"),
    *("prometheus.io/", "proxy.istio.io/", "istio-injection", _SIDECAR, _TRAFFIC),
)
# Kubernetes' syntax of label keys and values: images bring labels of free text.
_LABEL_NAME = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?\Z")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?\Z")


@dataclass(frozen=True)
class InjectionSettings:
    """What one workload asks for. Includes are `*` or a list with commas; `inject` is None where nothing was said."""

    inject: bool | None = None
    include_inbound_ports: str = EVERYTHING
    exclude_inbound_ports: tuple[int, ...] = ()
    include_outbound_ip_ranges: str = EVERYTHING
    exclude_outbound_ip_ranges: tuple[str, ...] = ()
    include_outbound_ports: tuple[int, ...] = ()
    exclude_outbound_ports: tuple[int, ...] = ()
    exclude_interfaces: tuple[str, ...] = ()
    interception: Literal["REDIRECT", "NONE"] = "REDIRECT"
    dns_capture: bool = True
    proxy: Literal["python", "envoy"] = "python"
    hold_application_until_proxy_starts: bool = False
    concurrency: int | None = None
    log_level: str | None = None
    proxy_image: str | None = None
    # Kubernetes quantities (`100m`, `128Mi`) of the proxy container.
    proxy_cpu: str | None = None
    proxy_memory: str | None = None
    proxy_cpu_limit: str | None = None
    proxy_memory_limit: str | None = None
    rewrite_app_probers: bool = True
    # Sentences for people: annotations that nothing reads. They stop nothing.
    warnings: tuple[str, ...] = ()

    @classmethod
    def from_annotations(cls, annotations: Mapping[str, str], where: str, **defaults: Any) -> InjectionSettings:
        """The settings of annotations (or Compose labels); others than injection's are not looked at.

        `where` names the workload in errors and warnings (`compose/app.yaml: services.reviews-v1.labels`); `defaults`
        are fields for what the annotations leave open, such as `proxy="envoy"`. Raises BadAnnotation.
        """
        settings = cls(**defaults)
        settings = _with_proxy_config(settings, annotations, where)
        settings = _with_traffic(settings, annotations, where)
        settings = _with_sidecar(settings, annotations, where)
        return replace(settings, warnings=(*settings.warnings, *_unknown(annotations, where)))

    @property
    def needs_init(self) -> bool:
        """Whether there are rules to be written before the app starts."""
        return self.interception != "NONE"

    def init_arguments(self) -> list[str]:
        """Arguments of `python -m sidecar.agent.interception`; none where no init container is needed."""
        if not self.needs_init:
            return []
        excluded = dict.fromkeys((*OWN_PORTS, *self.exclude_inbound_ports))
        arguments = [
            *("-p", str(OUTBOUND_PORT), "-z", str(INBOUND_PORT), "-u", str(PROXY_UID), "-g", str(PROXY_UID)),
            *("-m", self.interception),
            *("-i", self.include_outbound_ip_ranges, "-x", joined(self.exclude_outbound_ip_ranges)),
            *("-b", self.include_inbound_ports, "-d", joined(tuple(excluded))),
        ]
        for flag, values in (
            ("-q", joined(self.include_outbound_ports)),
            ("-o", joined(self.exclude_outbound_ports)),
            ("-c", joined(self.exclude_interfaces)),
        ):
            arguments += [flag, values] if values else []
        return [*arguments, "--redirect-dns"] if self.dns_capture else arguments


def proxy_arguments(
    settings: InjectionSettings,
    *,
    workload: str,
    namespace: str,
    labels: Mapping[str, str],
    service_account: str,
    discovery: str,
    access_log_service: str = "",
) -> list[str]:
    """Arguments of `python -m sidecar`. `labels` are the workload's (see workload_labels).

    `discovery` is host:port, and `access_log_service` too: where a stock Envoy sends its records, "" for nowhere.
    """
    arguments = ["--workload", workload, "--namespace", namespace, "--ip", "auto"]
    if labels:
        arguments += ["--labels", ",".join(f"{name}={value}" for name, value in labels.items())]
    arguments += ["--service-account", service_account, "--discovery", discovery, "--proxy", settings.proxy]
    if access_log_service:
        arguments += ["--access-log-service", access_log_service]
    arguments += ["--interception", settings.interception]
    if settings.dns_capture and settings.needs_init:
        arguments.append("--dns-capture")
    if settings.concurrency is not None:
        arguments += ["--concurrency", str(settings.concurrency)]
    if settings.log_level is not None:
        arguments += ["--log-level", settings.log_level]
    return [*arguments, "--state-dir", STATE_DIR]


def workload_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels that describe the workload to the mesh: without Docker's, Lugsail's own and injection's.

    What is no label in Kubernetes' syntax is left out, as discovery leaves it out: `--labels` is a list with commas.
    """
    return {
        name: value
        for name, value in labels.items()
        if not name.startswith(_NOT_WORKLOAD) and _LABEL_NAME.match(name) and _LABEL_VALUE.match(value)
    }


def _with_proxy_config(settings: InjectionSettings, annotations: Mapping[str, str], where: str) -> InjectionSettings:
    if PROXY_CONFIG not in annotations:
        return settings
    config = parse_proxy_config(annotations[PROXY_CONFIG], where)
    said = {
        "hold_application_until_proxy_starts": config.hold_application_until_proxy_starts,
        "concurrency": config.concurrency,
        "interception": config.interception,
        "dns_capture": config.dns_capture,
    }
    changes: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    return replace(settings, **changes, warnings=config.warnings)


def _with_traffic(settings: InjectionSettings, annotations: Mapping[str, str], where: str) -> InjectionSettings:
    readers: dict[str, tuple[str, Any]] = {
        "includeInboundPorts": ("include_inbound_ports", parse_ports_or_all),
        "excludeInboundPorts": ("exclude_inbound_ports", parse_ports),
        "includeOutboundIPRanges": ("include_outbound_ip_ranges", parse_cidrs_or_all),
        "excludeOutboundIPRanges": ("exclude_outbound_ip_ranges", parse_cidrs),
        "includeOutboundPorts": ("include_outbound_ports", parse_ports),
        "excludeOutboundPorts": ("exclude_outbound_ports", parse_ports),
        "excludeInterfaces": ("exclude_interfaces", parse_interfaces),
    }
    changes: dict[str, Any] = {}
    for suffix, (name, read) in readers.items():
        annotation = f"{_TRAFFIC}{suffix}"
        if annotation in annotations:
            changes[name] = read(annotations[annotation], where, annotation)
    return replace(settings, **changes)


def _with_sidecar(settings: InjectionSettings, annotations: Mapping[str, str], where: str) -> InjectionSettings:
    changes: dict[str, Any] = {}
    for annotation in (OWN_INJECT, INJECT):  # Istio's own name has the last word
        if annotations.get(annotation, "") != "":
            changes["inject"] = parse_switch(annotations[annotation], where, annotation)
    mode = f"{_SIDECAR}interceptionMode"
    if mode in annotations:
        changes["interception"] = parse_choice(annotations[mode], where, mode, INTERCEPTIONS)
    if PROXY_KIND in annotations:
        changes["proxy"] = parse_choice(annotations[PROXY_KIND], where, PROXY_KIND, ("python", "envoy"))
    if _LOG_LEVEL in annotations:
        level = parse_choice(annotations[_LOG_LEVEL], where, _LOG_LEVEL, tuple(_LOG_LEVELS))
        changes["log_level"] = _LOG_LEVELS[level]
    image = f"{_SIDECAR}proxyImage"
    if image in annotations:
        if not _IMAGE.match(annotations[image]):
            raise BadAnnotation(where, image, annotations[image], "expected an image such as lugsail/planes:latest")
        changes["proxy_image"] = annotations[image]
    if _REWRITE in annotations:
        changes["rewrite_app_probers"] = parse_switch(annotations[_REWRITE], where, _REWRITE)
    for annotation, name in _RESOURCES.items():
        if annotation in annotations:
            changes[name] = _quantity(annotations[annotation], where, annotation)
    return replace(settings, **changes)


def _quantity(value: str, where: str, annotation: str) -> str:
    text = value.strip()
    if not _QUANTITY.match(text):
        raise BadAnnotation(where, annotation, value, "expected a Kubernetes quantity, such as 100m or 128Mi")
    return text


def _unknown(annotations: Mapping[str, str], where: str) -> list[str]:
    """A warning for each annotation that only looks like one of injection's."""
    warnings = []
    for name in annotations:
        if name.startswith((_SIDECAR, _TRAFFIC)) and name not in KNOWN:
            close = difflib.get_close_matches(name, sorted(KNOWN), 1, 0.8)
            hint = f"; did you mean {close[0]}?" if close else ""
            warnings.append(f"{where}: {name} has no effect here{hint}")
    return warnings
