"""Forked and executed processes, real ones: start, streams, exit codes, and life after their nursery."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lugsail.lab.launcher import Launcher, LaunchError
from lugsail.lab.paths import source_root
from lugsail.lab.processes import is_alive, marked
from lugsail.lab.spawn import Spawn

LAB_ID = f"test-launcher-{os.getpid()}"
FAKES = "tests.lugsail.lab.fakes"


@pytest.fixture
async def launcher(tmp_path: Path) -> AsyncIterator[Launcher]:
    environment = {"LUGSAIL_LAB_ID": LAB_ID, "PYTHONPATH": str(source_root())}
    launcher = Launcher(environment, {"fakes": (FAKES,)}, tmp_path)
    launcher.adopt_orphans()
    try:
        yield launcher
    finally:
        await launcher.close()
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)
        assert marked(LAB_ID) == []


def forked(tmp_path: Path, function: str, **environment: str) -> Spawn:
    log = tmp_path / f"{function}.log"
    return Spawn(f"app:{function}", ("a", "b"), log, log, "fakes", f"{FAKES}:{function}", environment)


async def test_a_fork_has_its_arguments_environment_and_log(launcher: Launcher, tmp_path: Path) -> None:
    process = await launcher.launch(forked(tmp_path, "talk", WORD="hello"))
    assert await process.wait() == 0
    assert (tmp_path / "talk.log").read_text() == "out hello ['a', 'b']\nerr\n"


async def test_exit_codes_and_signals_are_told(launcher: Launcher, tmp_path: Path) -> None:
    crashed = await launcher.launch(forked(tmp_path, "crash"))
    assert await crashed.wait() == 3
    stubborn = await launcher.launch(forked(tmp_path, "stubborn"))
    os.kill(stubborn.pid, signal.SIGKILL)
    assert await stubborn.wait() == -signal.SIGKILL


async def test_a_missing_function_is_told_in_the_log(launcher: Launcher, tmp_path: Path) -> None:
    process = await launcher.launch(forked(tmp_path, "no_such"))
    assert await process.wait() == 1
    assert "no_such" in (tmp_path / "no_such.log").read_text()


async def test_a_full_disk_costs_the_log_not_the_process(launcher: Launcher, tmp_path: Path) -> None:
    full = Path("/dev/full")
    spawn = Spawn("app:talk", (), full, full, "fakes", f"{FAKES}:talk")
    process = await launcher.launch(spawn)
    assert await process.wait() == 0
    nowhere = tmp_path / "no" / "such" / "folder.log"
    process = await launcher.launch(Spawn("app:talk", (), nowhere, nowhere, "fakes", f"{FAKES}:talk"))
    assert await process.wait() == 0


async def test_a_pod_outlives_its_nursery_and_the_next_fork_gets_a_new_one(launcher: Launcher, tmp_path: Path) -> None:
    survivor = await launcher.launch(forked(tmp_path, "stubborn"))
    nursery = launcher.nurseries["fakes"].process
    assert nursery is not None
    os.kill(nursery.pid, signal.SIGKILL)
    await nursery.wait()
    assert is_alive(survivor.ref)
    assert launcher.nurseries["fakes"].has_died
    crashed = await launcher.launch(forked(tmp_path, "crash"))
    assert await crashed.wait() == 3
    assert launcher.nurseries["fakes"].restarts == 1
    os.kill(survivor.pid, signal.SIGKILL)
    assert await survivor.wait() == -signal.SIGKILL


async def test_an_executed_command(launcher: Launcher, tmp_path: Path) -> None:
    log = tmp_path / "command.log"
    command = (sys.executable, "-c", "import os, sys; print(os.environ['WORD']); sys.exit(7)")
    process = await launcher.launch(Spawn("app:x", command, log, log, environment={"WORD": "hi"}))
    assert await process.wait() == 7
    assert log.read_text() == "hi\n"


async def test_a_command_that_is_not_there(launcher: Launcher, tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    with pytest.raises(LaunchError, match=r"app:x: cannot run '/no/such'"):
        await launcher.launch(Spawn("app:x", ("/no/such",), log, log))


async def test_the_users_own_proxy_settings_stay_outside(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://elsewhere:3128")
    assert "HTTPS_PROXY" not in launcher.child_environment({})
    assert launcher.child_environment({"http_proxy": "http://127.20.1.2:15080"})["http_proxy"].endswith("15080")
