"""Containers as the Engine describes them, for tests."""

from typing import Any

from controlplane.injector.container import Seen, World, see

STARTED = "2026-11-21T10:00:00.000000001Z"
NETWORK = "net-1"


def inspection(name: str, labels: dict[str, str] | None = None, **changes: Any) -> dict[str, Any]:
    """What `GET /containers/{id}/json` says, as far as it is read. `changes`: status, started, mode, networks, id."""
    status = changes.get("status", "running")
    networks = changes.get("networks", {"shop_default": NETWORK})
    return {
        "Id": changes.get("id", f"id-{name}"),
        "Name": f"/{name}",
        "Created": STARTED,
        "Config": {"Labels": labels or {}},
        "State": {
            "Status": status,
            "Running": status in ("running", "paused", "restarting"),
            "Paused": status == "paused",
            "Restarting": status == "restarting",
            "StartedAt": changes.get("started", STARTED),
        },
        "HostConfig": {"NetworkMode": changes.get("mode", "shop_default")},
        "NetworkSettings": {
            "Networks": {name: {"NetworkID": each, "IPAddress": "10.1.0.2"} for name, each in networks.items()}
        },
    }


def seen(name: str, labels: dict[str, str] | None = None, **changes: Any) -> Seen:
    return see(inspection(name, labels, **changes))


def compose(service: str, number: int = 1, **labels: str) -> dict[str, str]:
    """The labels that Compose gives a container, and others (`__` for `.`, `_` for `/` is not done here)."""
    return {
        "com.docker.compose.project": "shop",
        "com.docker.compose.service": service,
        "com.docker.compose.container-number": str(number),
        "com.docker.compose.oneoff": "False",
        "com.docker.compose.version": "2.26.1",
        "com.docker.compose.config-hash": "abc",
        **labels,
    }


def sidecar_of(app: Seen, by: str = "cp", **changes: Any) -> Seen:
    """A sidecar that `by` injected into the app as it runs in this moment."""
    labels = {
        "lugsail.io/role": changes.pop("role", "proxy"),
        "lugsail.io/injected-by": by,
        "lugsail.io/pod-started": changes.pop("pod_started", app.container.started_at),
    }
    name = f"{app.container.name}-proxy"
    return seen(name, labels, mode=f"container:{app.container.id}", networks={}, **changes)


def world(*containers: Seen, networks: frozenset[str] = frozenset()) -> World:
    return World(containers, networks)
