"""The composed agent as a process: it starts without a control plane, says what is wrong, and ends cleanly."""

from __future__ import annotations

import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from sidecar.agent.health import ask_admin

IP = "127.36.94.1"
REPO = pathlib.Path(__file__).parents[2]


def start(folder: pathlib.Path) -> subprocess.Popen[str]:
    command = [
        sys.executable, "-m", "sidecar", "--workload", "x-v1", "--ip", IP, "--discovery", "127.36.94.9:15010",
        "--state-dir", str(folder),
    ]  # fmt: skip
    return subprocess.Popen(command, cwd=REPO, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def agent(tmp_path: pathlib.Path) -> Iterator[subprocess.Popen[str]]:
    process = start(tmp_path)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                ask_admin(IP, 15000, "/server_info")
                break
            except OSError:
                assert time.monotonic() < deadline and process.poll() is None, "it does not start"
                time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.communicate()


def test_without_a_control_plane_it_waits_and_ends_when_told(agent: subprocess.Popen[str]) -> None:
    assert ask_admin(IP, 15021, "/healthz/ready") == (503, "PRE_INITIALIZING\n")
    assert ask_admin(IP, 15090, "/stats/prometheus")[0] == 200
    agent.terminate()
    _, errors = agent.communicate(timeout=6)
    assert agent.returncode == 0
    assert "traffic goes on with the last configuration" in errors
    assert "Traceback" not in errors


def test_quitquitquit_ends_it(agent: subprocess.Popen[str]) -> None:
    assert ask_admin(IP, 15000, "/quitquitquit", "POST") == (200, "OK\n")
    assert agent.wait(6) == 0


def test_a_busy_port_is_named(tmp_path: pathlib.Path) -> None:
    with socket.create_server((IP, 15000)):
        process = start(tmp_path)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert f"can not listen on {IP}:15000" in errors
    assert "Traceback" not in errors


def test_importing_it_starts_nothing() -> None:
    check = "import threading, sidecar.main, grpc; print(threading.active_count())"
    done = subprocess.run([sys.executable, "-c", check], cwd=REPO, capture_output=True, text=True, timeout=30)
    assert done.stdout.strip() == "1", done.stderr
