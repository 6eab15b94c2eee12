"""Probes of the app, sent to the agent instead: the kubelet's come from outside and would be captured by the proxy.

As Istio's rewriteAppHTTPProbers. The agent finds the original probes, by path, in the environment variable
LUGSAIL_APP_PROBERS. Probes that run a command stay, and so do gRPC probes, which the proxy passes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from controlplane.injector.kube_fields import items_of, mapping_of
from controlplane.injector.settings import AGENT_PORT

PROBERS_ENV = "LUGSAIL_APP_PROBERS"
_PROBES = {"livenessProbe": "livez", "readinessProbe": "readyz", "startupProbe": "startupz"}


def rewrite_probes(containers: list[dict[str, Any]], where: str) -> tuple[list[dict[str, Any]], str | None, list[str]]:
    """(containers with rewritten probes, the prober table as JSON or None where there is none, warnings)."""
    table: dict[str, Any] = {}
    rewritten, warnings = [], []
    for position, container in enumerate(containers):
        place = f"{where}[{position}]"
        changes: dict[str, Any] = {}
        for field, suffix in _PROBES.items():
            probe = mapping_of(container, field, place)
            path = f"/app-health/{container['name']}/{suffix}"
            try:
                prober = _prober(probe, _named_ports(container, place))
            except _UnknownPort as unknown:
                warnings.append(
                    f"{place}.{field}: no port of the container is named {unknown}; the probe is left alone"
                )
                continue
            if prober is not None:
                table[path] = prober
                changes[field] = _redirected(probe, path)
        rewritten.append({**container, **changes})
    return rewritten, json.dumps(table, separators=(",", ":")) if table else None, warnings


class _UnknownPort(LookupError):
    """A probe names a port that its container does not have."""


def _prober(probe: Mapping[str, Any], ports: Mapping[str, int]) -> dict[str, Any] | None:
    """The table's entry of a probe: `{httpGet: …}` or `{tcpSocket: …}`, ports as numbers; None: not rewritten."""
    timeout = {"timeoutSeconds": probe["timeoutSeconds"]} if "timeoutSeconds" in probe else {}
    http, tcp = probe.get("httpGet"), probe.get("tcpSocket")
    if isinstance(http, dict) and "host" not in http:
        kept = {name: http[name] for name in ("path", "scheme", "httpHeaders") if name in http}
        return {"httpGet": {**kept, "port": _number(http.get("port"), ports)}, **timeout}
    if isinstance(tcp, dict) and "host" not in tcp:
        return {"tcpSocket": {"port": _number(tcp.get("port"), ports)}, **timeout}
    return None  # a command, gRPC, or another host's port


def _redirected(probe: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The same probe with the agent's address, in its place among the fields."""
    target = {"path": path, "port": AGENT_PORT}
    return {
        "httpGet" if name in ("httpGet", "tcpSocket") else name: target if name in ("httpGet", "tcpSocket") else value
        for name, value in probe.items()
    }


def _number(port: Any, ports: Mapping[str, int]) -> int:
    if isinstance(port, int) and not isinstance(port, bool):
        return port
    if isinstance(port, str) and port.isdecimal():
        return int(port)
    if port not in ports:
        raise _UnknownPort(port)
    return ports[port]


def _named_ports(container: dict[str, Any], where: str) -> dict[str, int]:
    return dict(_each_named(container, where))


def _each_named(container: dict[str, Any], where: str) -> Iterator[tuple[str, int]]:
    for port in items_of(container, "ports", where):
        if isinstance(port.get("name"), str) and isinstance(port.get("containerPort"), int):
            yield port["name"], port["containerPort"]
