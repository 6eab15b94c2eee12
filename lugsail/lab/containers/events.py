"""Tells what happens to the containers of a mesh, from Docker's own events, for as long as one looks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from lugsail.lab.containers import discovery, engine
from lugsail.lab.containers.readiness import Sink

if TYPE_CHECKING:
    from docker import APIClient

WATCHED = ("die", "start", "oom", "pause", "unpause", "health_status")
AGAIN_AFTER_S = 1.0


def follow(client: APIClient, project: str, sink: Sink) -> None:
    """For ever; ends by an exception of a signal's handler. A daemon that goes away is asked again when it is back."""
    since = time.time()
    told_away = False
    sick: set[str] = set()
    from docker.errors import DockerException

    while True:
        try:
            filters = {"type": ["container"], "event": list(WATCHED)}
            for event in client.events(decode=True, filters=filters, since=int(since)):
                told_away = False
                if event.get("timeNano", 0) / 1e9 <= since:
                    continue
                since = event.get("timeNano", 0) / 1e9
                attributes = event.get("Actor", {}).get("Attributes") or {}
                if is_ours(attributes, project) and (told := describe(event.get("Action", ""), attributes, sick)):
                    sink({"event": "note", **told})
        except (DockerException, OSError) as problem:
            if not told_away:
                text = f"Docker's events ended ({engine.failure(problem)}); waiting for it"
                sink({"event": "note", "level": "warning", "text": text})
            told_away = True
        time.sleep(AGAIN_AFTER_S)


def is_ours(attributes: dict[str, Any], project: str) -> bool:
    own = attributes.get(discovery.PROJECT_LABEL)
    return own == project or (not own and discovery.INJECTED_LABEL in attributes)


def describe(action: str, attributes: dict[str, Any], sick: set[str]) -> dict[str, str] | None:
    """One event in words, with its level; None for what is as it should be. `sick`: who was said to be unhealthy."""
    name = attributes.get("name", "?")
    role = attributes.get(discovery.ROLE_LABEL, "")
    if action == "die":
        code = str(attributes.get("exitCode", "?"))
        if role == discovery.INIT and code == "0":
            return None
        how = "was killed" if code == "137" else f"ended with exit code {code}"
        return {"level": "warning", "text": f"{name} {how}"}
    if action == "oom":
        return {"level": "warning", "text": f"{name} ran out of memory"}
    if action == "start":
        return None if role == discovery.INIT else {"level": "info", "text": f"{name} started"}
    if action in ("pause", "unpause"):
        return {"level": "info", "text": f"{name} was {action}d"}
    if action.startswith("health_status"):
        state = action.partition(": ")[2]
        if state == "unhealthy":
            sick.add(name)
            return {"level": "warning", "text": f"{name} is unhealthy"}
        if name in sick:
            sick.discard(name)
            return {"level": "info", "text": f"{name} is healthy again"}
    return None
