"""Containers of a Docker Engine, by their labels: services, workloads and endpoints, live.

Events tell which containers to look at again; what is known of one is always an inspection's answer, never pieced
together from events (with two exceptions, see docker_containers.after_event). A list every 30 s finds what no event
told.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from controlplane.sources import readiness
from controlplane.sources.base import Sink, difference
from controlplane.sources.docker_containers import (
    PROJECT,
    Container,
    after_event,
    concerns,
    is_told_to_stop,
    parse_container,
)
from controlplane.sources.docker_engine import Engine, EngineError
from controlplane.sources.docker_pods import Plan, plan_pods
from controlplane.sources.docker_resources import assign_addresses, registry_resources
from controlplane.sources.docker_self import own_container_ids
from lugsail.api.base import Resource, ResourceKey

log = logging.getLogger(__name__)

RESYNC_S = 30.0
RETRY_S = 0.5
SETTLE_S = 3.0
# One that was told to stop and still runs after so long has other plans, and counts again.
LEAVING_S = 30.0
# Clocks and the order of events and answers: so far back a subscription begins.
_OVERLAP_S = 2


class DockerSource:
    """`project`: only that compose project's containers; "" means the own container's project, where there is one.
    `everything`: all containers with labels of ours. `injected`: who asks for a sidecar gets one (plan_pods). `probe`
    and `own_ids` are for tests."""

    def __init__(
        self,
        host: str,
        project: str = "",
        everything: bool = False,
        *,
        injected: bool = False,
        probe: readiness.Probe = readiness.probe,
        own_ids: Callable[[], tuple[str, ...]] = own_container_ids,
        retry_s: float = RETRY_S,
        resync_s: float = RESYNC_S,
    ) -> None:
        self.host = host
        self._asked_project = project
        self._everything = everything
        self._injected = injected
        self._own_ids = own_ids
        self._retry_s = retry_s
        self._resync_s = resync_s
        self._wake = asyncio.Event()
        self._prober = readiness.Prober(self._wake.set, probe)
        # What is known, and what of it has to be looked at.
        self._containers: dict[str, Container] = {}
        self._own: Container | None = None
        self._network_owner: Container | None = None  # of the own network namespace
        self._dirty: set[str] = set()
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._engine: Engine | None = None
        self._leaving: dict[tuple[str, str], float] = {}  # container's generation → until when
        self._unread: dict[str, str] = {}  # container → why it cannot be looked at
        self._broken: EngineError | None = None
        self._heard_since_ns = 0
        # What was said.
        self._known: dict[ResourceKey, Resource] = {}
        self._addresses: dict[str, str] = {}
        self._warnings: tuple[str, ...] = ()
        self._is_synced = False
        self._error: str | None = None

    @property
    def name(self) -> str:
        return f"docker {self.host}"

    @property
    def project(self) -> str:
        """The compose project whose containers count; "" for all."""
        if self._everything or self._asked_project:
            return self._asked_project
        return self._own.project if self._own is not None else ""

    async def run(self, sink: Sink) -> None:
        """One connection after the other, until cancelled."""
        try:
            while True:
                try:
                    await self._session(sink)
                except EngineError as error:
                    self._fail(sink, str(error))
                await asyncio.sleep(self._retry_s)
        finally:
            await self._prober.stop()

    async def _session(self, sink: Sink) -> None:
        """Catch up, then follow the events. Ends by EngineError."""
        self._broken = None
        self._dirty.clear()
        self._unread.clear()
        engine = await Engine.connect(self.host)
        try:
            now = time.time()
            self._heard_since_ns = int(now * 1e9)
            self._engine = engine
            await engine.subscribe(int(now) - _OVERLAP_S, self._heard, lambda: self._stream_ended(engine))
            await self._find_itself(engine)
            await self._list(engine)
            while self._dirty or self._looking:
                await self._turn(engine)
            await self._publish_first(sink)
            await self._follow(engine, sink)
        finally:
            for task in self._looking.values():
                task.cancel()
            await asyncio.gather(*self._looking.values(), return_exceptions=True)
            self._looking.clear()
            await engine.close()

    async def _follow(self, engine: Engine, sink: Sink) -> None:
        next_list = time.monotonic() + self._resync_s
        while True:
            await self._turn(engine, next_list - time.monotonic())
            self._publish(sink)
            if time.monotonic() >= next_list:
                await self._list(engine)
                next_list = time.monotonic() + self._resync_s

    # Looking

    async def _turn(self, engine: Engine, timeout_s: float = RESYNC_S) -> None:
        """Look at what is dirty, wait for anything new. Raises EngineError once the stream of events has ended."""
        for container in self._dirty - self._looking.keys():
            self._dirty.discard(container)
            self._looking[container] = asyncio.create_task(self._look(engine, container))
        try:
            async with asyncio.timeout(max(timeout_s, 0)):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()
        if self._broken is not None:
            raise self._broken

    async def _look(self, engine: Engine, container: str) -> None:
        """At one container. An answer that an event has overtaken meanwhile is not believed.

        A container that the Engine cannot describe (its lock may be held for good) is asked for again later: it keeps
        neither the others waiting, nor its own last state from holding.
        """
        try:
            data = await engine.inspect(container)
            self._unread.pop(container, None)
            if container not in self._dirty:
                self._take(container, data)
        except EngineError as error:
            self._unread[container] = str(error)
            asyncio.get_running_loop().call_later(self._retry_s, self._mark, container)
        finally:
            del self._looking[container]
            self._wake.set()

    def _mark(self, container: str) -> None:
        self._dirty.add(container)
        self._wake.set()

    def _take(self, container: str, data: Mapping[str, Any] | None) -> None:
        found = _parsed(data) if data is not None else None
        if found is not None and self._leaving.get(found.generation, 0.0) > time.monotonic():
            found = replace(found, is_leaving=True)
        if self._own is not None and container == self._own.id and found is not None:
            self._own = found
        if self._network_owner is not None and container == self._network_owner.id and found is not None:
            self._network_owner = found
        if found is None or not self._counts(found):
            self._containers.pop(container, None)
        else:
            self._containers[container] = found

    async def _list(self, engine: Engine) -> None:
        """Everything is looked at again, also what is listed no more."""
        rows = await engine.list(f"{PROJECT}={self.project}" if self.project else "")
        self._dirty |= {row["Id"] for row in rows if concerns(row)} | self._containers.keys()
        self._dirty |= {own.id for own in (self._own, self._network_owner) if own is not None}
        self._wake.set()

    async def _find_itself(self, engine: Engine) -> None:
        """The container that this process is in, and the one whose network it is in."""
        own = None
        for candidate in self._own_ids():
            own = _parsed(await engine.inspect(candidate))
            if own is not None:
                break
        owner = _parsed(await engine.inspect(own.owner)) if own is not None and own.owner else own
        is_first, self._own, self._network_owner = self._own is None, own, owner
        if is_first:
            here = f"this is container {own.name}" if own is not None else "this is no container of it"
            scope = f"compose project {self.project}" if self.project else "all projects"
            log.info("%s: %s; containers of %s count", self.name, here, scope)

    def _counts(self, container: Container) -> bool:
        return not self.project or container.project == self.project

    # Events; all are called from the event loop.

    def _heard(self, event: Mapping[str, Any]) -> None:
        actor = event.get("Actor") or {}
        attributes = actor.get("Attributes") or {}
        is_network = event.get("Type") == "network"
        container = str(attributes.get("container") if is_network else actor.get("ID"))
        known = self._containers.get(container)
        if known is None and not self._may_concern(container, attributes, is_network):
            return
        moment = event.get("timeNano", 0)
        if known is not None and moment >= self._heard_since_ns:
            action = str(event.get("Action", ""))
            self._containers[container] = after_event(known, action, moment)
            if is_told_to_stop(action, attributes):
                self._note_leaving(known)
        self._mark(container)

    def _note_leaving(self, container: Container) -> None:
        now = time.monotonic()
        self._leaving = {one: until for one, until in self._leaving.items() if until > now}
        self._leaving[container.generation] = now + LEAVING_S
        self._containers[container.id] = replace(self._containers[container.id], is_leaving=True)

    def _may_concern(self, container: str, attributes: Mapping[str, str], is_network: bool) -> bool:
        """Whether a container that is not known can be one that counts: a container's event carries its labels."""
        if container in (own.id for own in (self._own, self._network_owner) if own is not None):
            return True
        return not is_network and (not self.project or attributes.get(PROJECT) == self.project)

    def _stream_ended(self, engine: Engine) -> None:
        if engine is not self._engine:
            return  # of a session that is over
        self._broken = EngineError(f"Docker Engine {self.host}: it ended the stream of events; it is asked again")
        self._wake.set()

    # Saying

    def _plan(self) -> Plan:
        plan = plan_pods(self._containers.values(), self._networks(), self._injected)
        self._prober.watch(plan.serving, keep=plan.targets)
        return plan

    def _networks(self) -> frozenset[str] | None:
        """Those within reach, by id; None on the host, where all of them are."""
        owner = self._network_owner
        if owner is None or owner.network_mode == "host":
            return None
        return frozenset(network for _, network, address in owner.networks if address)

    async def _publish_first(self, sink: Sink) -> None:
        """What was caught up with, and that it was. The very first list waits for those who are ready to say so."""
        if not self._is_synced:
            self._plan()
            await self._prober.settled(SETTLE_S)
        self._publish(sink, even_nothing=not self._is_synced)
        if not self._is_synced:
            self._is_synced = True
            sink.synced()
        if self._error is not None:
            self._error = None
            sink.recovered()

    def _publish(self, sink: Sink, even_nothing: bool = False) -> None:
        plan = self._plan()
        self._addresses = assign_addresses(plan.pods, self._addresses)
        resources, problems = registry_resources(plan.pods, self._prober.ready, self._addresses)
        changes = tuple(difference(self._known, resources))
        self._known = resources
        if changes or even_nothing:
            sink.apply(changes)
        unread = [f"container {self._name_of(c)}: {why}; what was known of it holds" for c, why in self._unread.items()]
        warnings = (*plan.warnings, *problems, *unread)
        if warnings != self._warnings:
            self._warnings = warnings
            sink.warned(warnings)

    def _name_of(self, container: str) -> str:
        known = self._containers.get(container)
        return known.name if known is not None else container[:12]

    def _fail(self, sink: Sink, error: str) -> None:
        if error != self._error:
            self._error = error
            sink.failed(error)


def _parsed(data: Mapping[str, Any] | None) -> Container | None:
    """None also for an answer that describes no container."""
    try:
        return parse_container(data) if data is not None else None
    except (KeyError, TypeError, AttributeError) as error:
        log.warning("the Engine describes a container in a way that is not understood: %r", error)
        return None
