from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from lugsail.lab import processes, state
from lugsail.lab.paths import Home
from lugsail.lab.processes import ProcessRef, family, is_alive, marked, memory, reference, start_time, stop_all

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    *(sys.executable, "-c"),
    "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)",
]


def test_a_pid_with_another_start_time_is_another_process() -> None:
    me = reference(os.getpid())
    assert me is not None
    assert is_alive(me)
    assert not is_alive(ProcessRef(os.getpid(), "1"))
    assert not is_alive(None)
    assert start_time(2**22 + 1) is None


def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert start_time(child.pid) is None
    child.wait()


def test_stop_asks_and_then_kills() -> None:
    willing = subprocess.Popen(SLEEP)
    stubborn = subprocess.Popen(STUBBORN, stdout=subprocess.PIPE)
    assert stubborn.stdout is not None
    stubborn.stdout.readline()
    refs = [ref for child in (willing, stubborn) if (ref := reference(child.pid)) is not None]
    assert stop_all(refs, grace_s=0.2) == [stubborn.pid]
    assert (willing.wait(), stubborn.wait()) == (-15, -9)
    stubborn.stdout.close()


def test_marks_and_leftovers(tmp_path: Path) -> None:
    environment = {**os.environ, "LUGSAIL_LAB_ID": f"mark-{os.getpid()}"}
    child = subprocess.Popen(SLEEP, env=environment)
    try:
        assert marked(f"mark-{os.getpid()}") == [child.pid]
        home = Home(tmp_path)
        state.write_state(home, {"lab_id": f"mark-{os.getpid()}", "supervisor": {"pid": 1, "start_time": "no"}})
        found = state.read_state(home)
        assert found is not None
        assert not found.is_running
        assert [ref.pid for ref in state.leftovers(found)] == [child.pid]
        assert state.clean_up(home, found) == 1
        assert child.wait() == -15
        assert state.read_state(home) is None
    finally:
        child.kill()


def test_memory_and_family() -> None:
    mine = memory(os.getpid())
    assert mine is not None
    assert mine.rss_bytes >= mine.pss_bytes > 1_000_000
    child = subprocess.Popen(SLEEP)
    try:
        assert child.pid in family(os.getpid())
    finally:
        child.kill()
        child.wait()
    assert memory(2**22 + 1) is None


def test_smaps_without_pss() -> None:
    rollup = "00400000-7fff ---p 00000000 00:00 0 [rollup]\nRss:    12 kB\n"
    assert processes._smaps_memory(rollup) == processes.Memory(12288, 12288)


def test_a_state_file_that_is_none(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert state.read_state(home) is None
    for text in ("", "[]", '{"version": 99}'):
        home.state_file.write_text(text)
        assert state.read_state(home) is None


def test_the_lock_is_one_labs(tmp_path: Path) -> None:
    home = Home(tmp_path)
    first, second = state.HomeLock(home), state.HomeLock(home)
    assert first.take()
    assert not second.take()
    first.release()
    assert second.take()
    second.release()


def test_a_long_path_has_its_socket_elsewhere(tmp_path: Path) -> None:
    assert Home(Path("/x")).control_socket == Path("/x/control.sock")
    deep = Home(tmp_path / ("d" * 120)).control_socket
    assert len(os.fsencode(deep)) <= 100
    assert deep != Home(tmp_path / ("e" * 120)).control_socket
