"""Containers as the mesh sees them, from what the Engine says of one (`GET /containers/{id}/json`). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from controlplane.sources import docker_labels

PROJECT, COMPOSE_SERVICE = "com.docker.compose.project", "com.docker.compose.service"
_NUMBER, _ONE_OFF = "com.docker.compose.container-number", "com.docker.compose.oneoff"
_MAX_NUMBER_DIGITS = 6

_FRACTION_DIGITS = 9
_STOP_SIGNALS = ("2", "3", "9", "15")  # INT, QUIT, KILL, TERM


@dataclass(frozen=True, slots=True)
class Container:
    """One container at the moment of an inspection. Compared by value."""

    id: str
    name: str
    created: str  # RFC 3339
    labels: tuple[tuple[str, str], ...]
    is_running: bool
    is_paused: bool
    health: str  # "" when Docker does not know, else starting, healthy or unhealthy
    started_at: str  # RFC 3339; another one after each start
    network_mode: str
    networks: tuple[tuple[str, str, str], ...]  # (name, network id, IPv4 address), by name
    is_leaving: bool = False  # it was told to stop

    @property
    def label_map(self) -> dict[str, str]:
        return dict(self.labels)

    @property
    def role(self) -> str:
        return self.label_map.get(docker_labels.ROLE, "")

    @property
    def project(self) -> str:
        return self.label_map.get(PROJECT, "")

    @property
    def owner(self) -> str:
        """The container whose network namespace it shares, by id; "" when it has its own."""
        return self.network_mode.removeprefix("container:") if self.network_mode.startswith("container:") else ""

    @property
    def is_one_off(self) -> bool:
        """Whether `compose run` made it: with the labels of a service, but no part of it."""
        return self.label_map.get(_ONE_OFF, "").lower() == "true"

    @property
    def serves(self) -> bool:
        """Whether nothing that Docker knows keeps it from doing its work."""
        return self.is_running and not self.is_paused and not self.is_leaving and self.health != "unhealthy"

    @property
    def default_workload(self) -> str:
        """The compose service (of a pod's pause container: the app's), else the container's own name."""
        name = self.label_map.get(COMPOSE_SERVICE) or self.name
        return name.removesuffix("-pod") if self.role == docker_labels.ROLE_POD else name

    @property
    def number(self) -> int:
        """Its place in a scaled compose service, from 1."""
        text = self.label_map.get(_NUMBER, "1")
        is_number = text.isascii() and text.isdigit() and len(text) <= _MAX_NUMBER_DIGITS
        return int(text) if is_number else 1

    @property
    def generation(self) -> tuple[str, str]:
        """What is another one after a restart."""
        return (self.id, self.started_at)


def parse_container(data: Mapping[str, Any]) -> Container:
    """From an inspection. Raises KeyError, TypeError or AttributeError for what is none."""
    state, config = data["State"], data["Config"]
    networks = (data.get("NetworkSettings") or {}).get("Networks") or {}
    return Container(
        id=data["Id"],
        name=str(data.get("Name", "")).removeprefix("/"),
        created=str(data.get("Created", "")),
        labels=tuple(sorted((str(k), str(v)) for k, v in (config.get("Labels") or {}).items())),
        is_running=state.get("Running") is True and state.get("Restarting") is not True,
        is_paused=state.get("Paused") is True,
        health=_health(state.get("Health") or {}),
        started_at=str(state.get("StartedAt", "")),
        network_mode=str((data.get("HostConfig") or {}).get("NetworkMode", "")),
        networks=tuple(
            sorted((str(n), str(v.get("NetworkID", "")), str(v.get("IPAddress", ""))) for n, v in networks.items() if v)
        ),
    )


def _health(health: Mapping[str, Any]) -> str:
    """Docker's word for it, where it knows one.

    When a container is paused, the Engine stops checking and calls it unhealthy, and goes on to do so until the first
    check after the pause. Only a check that failed is a reason to believe it.
    """
    status = str(health.get("Status", ""))
    is_checked = health.get("FailingStreak", 1) != 0
    return "" if status == "none" or (status == "unhealthy" and not is_checked) else status


def concerns(summary: Mapping[str, Any]) -> bool:
    """Whether a row of `GET /containers/json` is of a container that the mesh may have to do with."""
    labels = summary.get("Labels") or {}
    mode = str((summary.get("HostConfig") or {}).get("NetworkMode", ""))
    return mode.startswith("container:") or any(name.startswith(docker_labels.PREFIX) for name in labels)


def after_event(container: Container, action: str, time_ns: int) -> Container:
    """What an event of this moment says by itself, until the container is inspected.

    `docker restart` holds the container's lock from its `die` until it runs anew, and an inspection in between waits
    for that; its traffic must not.
    """
    if action == "pause":
        return replace(container, is_paused=True)
    if action == "die" and time_ns > nanoseconds(container.started_at):
        return replace(container, is_running=False)
    return container


def is_told_to_stop(action: str, attributes: Mapping[str, str]) -> bool:
    """Whether an event is of a signal that `docker stop` and its like send: requests go elsewhere before it ends."""
    return action == "kill" and attributes.get("signal") in _STOP_SIGNALS


def nanoseconds(time: str) -> int:
    """An RFC 3339 time of the Engine (UTC, up to nanoseconds) since 1970; 0 when it is none."""
    whole, _, fraction = time.removesuffix("Z").partition(".")
    try:
        seconds = datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()
        return int(seconds) * 1_000_000_000 + int(fraction[:_FRACTION_DIGITS].ljust(_FRACTION_DIGITS, "0"))
    except ValueError:
        return 0
