"""A Docker Engine that tests play: the API that the SDK asks, over a unix socket, with recorded containers.

`containers.json` is what Engine 20.10 answered for a pod of compose/bookinfo.yaml, its gateway and its control plane,
and for a container alone.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from controlplane.sources.docker import DockerSource
from controlplane.sources.docker_pods import Target

RECORDED: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "testdata" / "docker" / "containers.json").read_text()
)
NETWORK = "f" * 64
PROJECT = "bookinfo"
Json = dict[str, Any]

_serial = itertools.count(1)


def new_id() -> str:
    return f"{next(_serial):064x}"


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"


def recorded(kind: str, name: str, **labels: str | None) -> Json:
    """A recorded container under another name and id, running, its labels changed as said (None: without it)."""
    made = copy.deepcopy(RECORDED[kind])
    made.update({"Id": new_id(), "Name": f"/{name}", "Created": now()})
    made["State"].update({"StartedAt": now()})
    for label, value in labels.items():
        key = {"service": "lugsail.io/service", "ports": "lugsail.io/ports", "workload": "lugsail.io/workload"}.get(
            label, label
        )
        made["Config"]["Labels"].pop(key, None)
        if value is not None:
            made["Config"]["Labels"][key] = value
    return made


def plain(name: str, address: str = "10.0.0.1", **labels: str | None) -> Json:
    """A container of its own, of service reviews, workload `name`."""
    made = recorded("plain", name, **{"workload": name, "com.docker.compose.project": PROJECT, **labels})
    return placed(made, address)


def placed(container: Json, address: str, network: str = NETWORK, name: str = "bookinfo_default") -> Json:
    container["NetworkSettings"]["Networks"] = {name: {"NetworkID": network, "IPAddress": address}}
    return container


def pod(name: str = "reviews-v3", address: str = "10.0.0.1") -> dict[str, Json]:
    """The four containers of a pod, by role."""
    made = {"pod": placed(recorded("pod", f"{name}-pod"), address)}
    made["pod"]["Config"]["Labels"]["com.docker.compose.service"] = f"{name}-pod"
    for role in ("init", "proxy", "app"):
        made[role] = recorded(role, f"{name}-{role}")
        made[role]["HostConfig"]["NetworkMode"] = f"container:{made['pod']['Id']}"
    return made


class FakeEngine:
    """Start it inside of a loop. `asked` holds the paths of all requests."""

    def __init__(self, path: Path) -> None:
        self.host = f"unix://{path}"
        self._path = path
        self.containers: dict[str, Json] = {}
        self.asked: list[str] = []
        self.is_down = False
        self.broken: set[str] = set()  # ids of containers that it cannot describe
        # While it is clear, inspections wait, as they do for a container that is being restarted.
        self.unlocked = asyncio.Event()
        self.unlocked.set()
        self._followers: set[asyncio.Queue[Json | None]] = set()
        self._runner: web.AppRunner | None = None

    async def start(self) -> FakeEngine:
        app = web.Application()
        app.add_routes(
            [
                web.get("/version", self._version),
                web.get("/{version}/containers/json", self._list),
                web.get("/{version}/containers/{id}/json", self._inspect),
                web.get("/{version}/events", self._events),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self._path)).start()
        return self

    async def stop(self) -> None:
        self.go_down()
        if self._runner is not None:
            await self._runner.cleanup()

    def go_down(self) -> None:
        """As a daemon that was killed: every stream ends, nobody gets an answer."""
        self.is_down = True
        for follower in self._followers:
            follower.put_nowait(None)

    def come_back(self) -> None:
        self.is_down = False

    # What happens to containers. Each tells its event unless `quietly`.

    def add(self, *containers: Json) -> None:
        for container in containers:
            self.containers[container["Id"]] = container
            self.emit("start", container)

    def remove(self, container: Json, quietly: bool = False) -> None:
        container["State"].update({"Running": False})
        del self.containers[container["Id"]]
        if not quietly:
            self.emit("die", container)
            self.emit("destroy", container)

    def restart(self, container: Json, address: str = "") -> None:
        self.die(container)
        container["State"].update({"Running": True, "StartedAt": now()})
        if address:
            placed(container, address)
        self.emit("start", container)

    def die(self, container: Json) -> None:
        container["State"].update({"Running": False})
        self.emit("die", container)

    def pause(self, container: Json) -> None:
        container["State"].update({"Paused": True})
        if container["State"].get("Health"):
            container["State"]["Health"]["Status"] = "unhealthy"  # nobody checks any more
        self.emit("pause", container)

    def unpause(self, container: Json) -> None:
        container["State"].update({"Paused": False})
        self.emit("unpause", container)

    def health(self, container: Json, status: str) -> None:
        container["State"]["Health"] = {"Status": status, "FailingStreak": 3 if status == "unhealthy" else 0}
        self.emit(f"health_status: {status}", container)

    def disconnect(self, container: Json) -> None:
        container["NetworkSettings"]["Networks"] = {}
        self.emit_network("disconnect", container)

    def signal(self, container: Json, number: int) -> None:
        """It gets a signal, and goes on for now."""
        self.emit("kill", container, signal=str(number))

    def emit(self, action: str, container: Json, **more: str) -> None:
        attributes = {**container["Config"]["Labels"], "name": container["Name"].removeprefix("/"), **more}
        self._tell("container", action, container["Id"], attributes)

    def emit_network(self, action: str, container: Json) -> None:
        self._tell("network", action, NETWORK, {"container": container["Id"], "name": "bookinfo_default"})

    def _tell(self, kind: str, action: str, actor: str, attributes: Json) -> None:
        event = {"Type": kind, "Action": action, "Actor": {"ID": actor, "Attributes": attributes}}
        event.update({"time": int(time.time()), "timeNano": time.time_ns()})
        for follower in self._followers:
            follower.put_nowait(event)

    # The API

    def _enter(self, request: web.Request) -> None:
        self.asked.append(request.path)
        self._check(request)

    def _check(self, request: web.Request) -> None:
        if self.is_down:
            assert request.transport is not None
            request.transport.abort()
            raise web.HTTPServiceUnavailable

    async def _version(self, request: web.Request) -> web.StreamResponse:
        self._enter(request)
        return web.json_response({"ApiVersion": "1.41", "MinAPIVersion": "1.12", "Version": "20.10.24"})

    async def _list(self, request: web.Request) -> web.StreamResponse:
        self._enter(request)
        assert request.query["all"] == "1", "containers that do not run are asked for as well"
        wanted = json.loads(request.query.get("filters", "{}")).get("label", [])
        rows = [
            {"Id": c["Id"], "Labels": c["Config"]["Labels"], "HostConfig": c["HostConfig"]}
            for c in self.containers.values()
            if all(text in {f"{k}={v}" for k, v in c["Config"]["Labels"].items()} for text in wanted)
        ]
        return web.json_response(rows)

    async def _inspect(self, request: web.Request) -> web.StreamResponse:
        self._enter(request)
        await self.unlocked.wait()
        self._check(request)
        found = self.containers.get(request.match_info["id"])
        if found is None:
            return web.json_response({"message": f"No such container: {request.match_info['id']}"}, status=404)
        if found["Id"] in self.broken:
            return web.json_response({"message": "out of order"}, status=500)
        return web.json_response(found)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        self._enter(request)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        queue: asyncio.Queue[Json | None] = asyncio.Queue()
        asked = json.loads(request.query.get("filters", "{}")).get("event", [])
        self._followers.add(queue)
        try:
            while (event := await queue.get()) is not None:
                if asked and event["Action"].partition(":")[0] not in asked:
                    continue
                await response.write(json.dumps(event).encode() + b"\n")
        finally:
            self._followers.discard(queue)
        if request.transport is not None:
            request.transport.abort()
        return response


class Readiness:
    """A probe that a test answers: ready unless said otherwise."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.asked: list[Target] = []

    async def __call__(self, target: Target) -> bool:
        self.asked.append(target)
        return target.address not in self.refused


def source_of(engine: FakeEngine, probe: Readiness | None = None, **changes: Any) -> DockerSource:
    """A source outside of any container, quick to try again."""
    given = {"probe": probe or Readiness(), "own_ids": lambda: (), "retry_s": 0.02, **changes}
    return DockerSource(engine.host, given.pop("project", ""), given.pop("everything", False), **given)
