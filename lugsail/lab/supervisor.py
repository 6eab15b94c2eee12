"""Keeps the lab's components running: starts, watches, restarts with back-off, stops.

Every change is told to an event sink as a plain dict, so that the terminal, a detached parent and the lab's own log
all show the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from lugsail.lab.launcher import Launcher, LaunchError, Process
from lugsail.lab.processes import is_alive, signal_component, signal_group
from lugsail.lab.spawn import Spawn

FIRST_BACKOFF_S = 0.2
LONGEST_BACKOFF_S = 10.0
STEADY_S = 20.0  # a component that ran this long starts again with the shortest back-off
READY_POLL_S = 0.02
SLOWEST_READY_POLL_S = 0.25
STOP_GRACE_S = 7.0  # a sidecar drains for up to 5 s

EventSink = Callable[[dict[str, Any]], None]
ReadyCheck = Callable[[], Awaitable[bool]]


class State(StrEnum):
    STARTING = "starting"
    READY = "ready"
    WAITING = "waiting to restart"
    STOPPED = "stopped"


@dataclass(eq=False)
class Component:
    """One supervised process. `name` is unique (`proxy:reviews-v1`); `is_ready` probes it from outside."""

    name: str
    spawn: Spawn
    is_ready: ReadyCheck
    state: State = State.STOPPED
    process: Process | None = None
    restarts: int = 0
    last_exit: str = ""
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        running = self.state in (State.STARTING, State.READY) and self.process is not None
        return self.process.pid if running and self.process is not None else None


def backoff_s(failures: int) -> float:
    """The wait before restart number `failures` + 1 in a row: 0.2 s, doubling, 10 s at most."""
    return float(min(FIRST_BACKOFF_S * 2**failures, LONGEST_BACKOFF_S))


def describe_exit(code: int | None) -> str:
    """`exit code 3`, `killed by SIGKILL`; as a sentence's end."""
    if code is None:
        return "ended, exit code unknown"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
        return f"killed by signal {-code}"
    return f"ended with exit code {code}"


class Supervisor:
    """Runs components until told to stop. `changed` is called whenever a pid or a state changes."""

    def __init__(self, launcher: Launcher, sink: EventSink, changed: Callable[[], None] = lambda: None) -> None:
        self.components: dict[str, Component] = {}
        self._launcher = launcher
        self._sink = sink
        self._changed = changed

    def start(self, component: Component) -> Component:
        """Begin to supervise the component."""
        if component.name in self.components:
            raise ValueError(f"{component.name} is supervised already")
        self.components[component.name] = component
        component.task = asyncio.create_task(self._run(component), name=component.name)
        return component

    async def stop(self, components: Iterable[Component], grace_s: float = STOP_GRACE_S) -> None:
        """SIGTERM, then SIGKILL for the whole process group of each; all at once."""
        await asyncio.gather(*(self._stop(component, grace_s) for component in list(components)))

    async def _run(self, component: Component) -> None:
        failures = 0
        while True:
            started = time.monotonic()
            component.process = None
            self._become(component, State.STARTING)
            try:
                component.process = await self._launcher.launch(component.spawn)
            except LaunchError as error:
                component.last_exit = str(error)
            else:
                self._changed()
                code = await self._attend(component, started)
                component.last_exit = describe_exit(code)
                # What it had started (a stock Envoy, a shell's children) must not hold its ports.
                signal_group(component.process.pid, signal.SIGKILL)
            if time.monotonic() - started > STEADY_S:
                failures = 0
            delay_s = backoff_s(failures)
            failures += 1
            component.restarts += 1
            component.ready.clear()
            detail = f"{component.last_exit}; starting it again in {delay_s:g} s (restart {component.restarts})"
            self._become(component, State.WAITING, detail=detail, level="warning")
            await asyncio.sleep(delay_s)

    async def _attend(self, component: Component, started: float) -> int | None:
        """From launch to exit: probe until ready, then wait."""
        assert component.process is not None
        probing = asyncio.create_task(self._probe(component, started))
        try:
            return await component.process.wait()
        finally:
            probing.cancel()

    async def _probe(self, component: Component, started: float) -> None:
        delay_s = READY_POLL_S
        while not await component.is_ready():
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 1.5, SLOWEST_READY_POLL_S)
        component.ready.set()
        self._become(component, State.READY, ms=(time.monotonic() - started) * 1000)

    async def _stop(self, component: Component, grace_s: float) -> None:
        if component.task is not None:
            component.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await component.task
        process = component.process
        if process is not None and is_alive(process.ref):
            signal_component(process.ref, signal.SIGTERM)
            try:
                async with asyncio.timeout(grace_s):
                    await process.wait()
            except TimeoutError:
                self._sink({"event": "note", "level": "warning", "text": f"{component.name} did not stop; killing it"})
            signal_group(process.pid, signal.SIGKILL)
            if is_alive(process.ref):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(2.0):
                        await process.wait()
        self.components.pop(component.name, None)
        self._become(component, State.STOPPED)

    def _become(self, component: Component, state: State, **more: Any) -> None:
        component.state = state
        event = {"event": "component", "name": component.name, "state": state.value, "restarts": component.restarts}
        self._sink({**event, "pid": component.pid, **more})
        self._changed()
