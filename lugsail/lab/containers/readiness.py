"""Follows a mesh of containers as it comes up, and tells what changes in the words that the process lab uses.

An app is ready when the control plane gives its address to others (it asks the pod itself before it does), a proxy
when it has acknowledged what was sent to it; a container without ports, or without a sidecar, when it runs.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lugsail.client import ApiError, Client, Unreachable
from lugsail.lab.containers.discovery import Container, View, Workload
from lugsail.lab.running import SYNC_KEYS, worst

Sink = Callable[[dict[str, Any]], None]
READY = "ready"
OBSERVERS_NAMESPACE = "istio-system"
GRAFANA = "grafana"  # no service of the mesh's
CONTROL_PLANE = "control plane"


@dataclass
class Told:
    """What the control plane says: proxies by their sync word, and the workloads that have an endpoint."""

    answers: bool = False
    sync: Mapping[str, str] = field(default_factory=dict)
    endpoints: frozenset[str] = frozenset()
    errors: tuple[tuple[str, str, str], ...] = ()  # proxy, type, reason


def ask(url: str) -> Told:
    """What the control plane says now; nothing where it does not answer."""
    client = Client(url, timeout_s=3.0)
    try:
        if not client.is_ready():
            return Told()
        proxies, services = client.debug("syncz"), client.debug("endpointz")
    except (ApiError, Unreachable):
        return Told()
    finally:
        client.close()
    return Told(
        True,
        {proxy["proxy"]: worst([str(proxy.get(key, "NOT SENT")) for key in SYNC_KEYS]) for proxy in proxies},
        frozenset(each["workload"] for service in services for each in service["endpoints"]),
        tuple(
            (proxy["proxy"], kind, reason) for proxy in proxies for kind, reason in (proxy.get("errors") or {}).items()
        ),
    )


def states(view: View, told: Told) -> dict[str, str]:
    """Component (`app:reviews-v1`) → its state in one word; `ready` when it is."""
    found = {CONTROL_PLANE: _running(view.control_plane, told.answers)}
    for each in view.observers:
        found[each.role] = _running(
            each, f"{each.role}.{OBSERVERS_NAMESPACE}" in told.endpoints or each.role == GRAFANA
        )
    for workload in view.workloads:
        for part, state in _workload(workload, told).items():
            found[f"{part}:{workload.name}"] = state
    return found


def _workload(workload: Workload, told: Told) -> dict[str, str]:
    name = f"{workload.name}.{workload.namespace}"
    has_ports = bool(workload.head.labels.get("lugsail.io/ports"))
    parts = {}
    if workload.app is not None:
        parts["app"] = _running(workload.app, not has_ports or name in told.endpoints)
    if workload.proxy is not None:
        parts["proxy"] = _running(workload.proxy, told.sync.get(name) == "SYNCED")
    return parts


def _running(container: Container | None, is_ready: bool) -> str:
    if container is None:
        return "waiting"
    if not container.is_running:
        return container.state
    return READY if is_ready else "starting"


class Follower:
    """Tells changes of state to the sink, as the process lab's supervisor does."""

    def __init__(self, sink: Sink, now: Callable[[], float] = time.monotonic) -> None:
        self._sink = sink
        self._now = now
        self._started = now()
        self._seen: dict[str, str] = {}

    def update(self, found: Mapping[str, str]) -> None:
        for name, state in found.items():
            if self._seen.get(name) == state:
                continue
            self._seen[name] = state
            ms = (self._now() - self._started) * 1000
            self._sink({"event": "component", "name": name, "state": state, "restarts": 0, "ms": ms})

    def not_ready(self) -> list[str]:
        return [name for name, state in self._seen.items() if state != READY]


def plan_event(names: Mapping[str, list[str]], observers: Sequence[str] = ()) -> dict[str, Any]:
    """The rows that there will be: workload → its parts, and what watches the mesh."""
    rows: list[list[Any]] = [[CONTROL_PLANE, "", [CONTROL_PLANE]]]
    rows += [[name, "", parts] for name, parts in names.items()]
    return {"event": "plan", "rows": rows + [[name, "", [name]] for name in observers]}


def page_status(port: int, path: str, timeout_s: float = 10.0) -> int | None:
    """The status of one GET at 127.0.0.1; None when there was no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        return response.status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
