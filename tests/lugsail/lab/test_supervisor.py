"""Supervision with scripted processes: no real ones, no waiting on the clock beyond the shortest back-off."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from lugsail.lab import supervisor as module
from lugsail.lab.launcher import LaunchError
from lugsail.lab.processes import ProcessRef
from lugsail.lab.spawn import Spawn
from lugsail.lab.supervisor import Component, State, Supervisor, backoff_s, describe_exit

NOWHERE = 2**22 + 1  # above Linux's largest pid


class ScriptedProcess:
    def __init__(self) -> None:
        self.ref = ProcessRef(NOWHERE, "0")
        self.ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    @property
    def pid(self) -> int:
        return self.ref.pid

    async def wait(self) -> int | None:
        return await asyncio.shield(self.ended)


class ScriptedLauncher:
    def __init__(self) -> None:
        self.launched: list[ScriptedProcess] = []
        self.refuse = ""

    async def launch(self, spawn: Spawn) -> Any:
        if self.refuse:
            raise LaunchError(self.refuse)
        self.launched.append(ScriptedProcess())
        return self.launched[-1]


async def always_ready() -> bool:
    return True


async def never_ready() -> bool:
    return False


def component(is_ready: Any = always_ready) -> Component:
    return Component("app:x", Spawn("app:x", ("x",), Path("/dev/null"), Path("/dev/null")), is_ready)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_BACKOFF_S", 0.001)


async def until(events: list[dict[str, Any]], state: State, count: int = 1) -> dict[str, Any]:
    async with asyncio.timeout(5):
        while True:
            found = [event for event in events if event.get("state") == state.value]
            if len(found) >= count:
                return found[count - 1]
            await asyncio.sleep(0.001)


async def test_start_ready_crash_restart_stop() -> None:
    launcher, events = ScriptedLauncher(), []
    supervisor = Supervisor(launcher, events.append)  # type: ignore[arg-type]
    what = supervisor.start(component())
    ready = await until(events, State.READY)
    assert ready["ms"] >= 0
    launcher.launched[0].ended.set_result(-signal.SIGKILL)
    waiting = await until(events, State.WAITING)
    assert "killed by SIGKILL; starting it again in 0.001 s (restart 1)" in waiting["detail"]
    assert waiting["level"] == "warning"
    await until(events, State.READY, 2)
    assert what.restarts == 1
    assert len(launcher.launched) == 2
    launcher.launched[1].ended.set_result(0)
    await supervisor.stop([what])
    assert what.state is State.STOPPED
    assert supervisor.components == {}


async def test_what_cannot_be_launched_is_tried_again_and_says_why() -> None:
    launcher, events = ScriptedLauncher(), []
    launcher.refuse = "app:x: cannot run 'x'"
    supervisor = Supervisor(launcher, events.append)  # type: ignore[arg-type]
    what = supervisor.start(component())
    assert "cannot run 'x'" in (await until(events, State.WAITING, 2))["detail"]
    launcher.refuse = ""
    await until(events, State.READY)
    assert what.restarts >= 2
    await supervisor.stop([what])


async def test_a_component_that_never_gets_ready_stays_starting() -> None:
    launcher, events = ScriptedLauncher(), []
    supervisor = Supervisor(launcher, events.append)  # type: ignore[arg-type]
    what = supervisor.start(component(never_ready))
    await until(events, State.STARTING)
    await asyncio.sleep(0)
    assert not what.ready.is_set()
    await supervisor.stop([what])


async def test_a_name_is_supervised_once() -> None:
    supervisor = Supervisor(ScriptedLauncher(), lambda event: None)  # type: ignore[arg-type]
    what = supervisor.start(component())
    with pytest.raises(ValueError, match="supervised already"):
        supervisor.start(component())
    await supervisor.stop([what])


def test_backoff_doubles_to_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_BACKOFF_S", 0.2)
    assert [backoff_s(n) for n in range(8)] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "ended with exit code 0"),
        (3, "ended with exit code 3"),
        (-9, "killed by SIGKILL"),
        (-99, "killed by signal 99"),
        (None, "ended, exit code unknown"),
    ],
)
def test_exits_are_described(code: int | None, text: str) -> None:
    assert describe_exit(code) == text
