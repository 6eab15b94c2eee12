"""The nursery's end of the conversation, over a real socket: it ends with its other end, and its children with it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lugsail.lab.nursery import open_log
from lugsail.lab.paths import source_root
from lugsail.lab.processes import start_time

FAKES = "tests.lugsail.lab.fakes"


@pytest.fixture
def nursery() -> Iterator[tuple[socket.socket, subprocess.Popen[bytes]]]:
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "lugsail.lab.nursery", "--fd", str(theirs.fileno()), "--preload", "no.such"]
    environment = {**os.environ, "PYTHONPATH": str(source_root())}
    process = subprocess.Popen(
        command, pass_fds=(theirs.fileno(),), env=environment, stderr=subprocess.PIPE, start_new_session=True
    )
    theirs.close()
    with ours:
        yield ours, process
    process.wait(10)
    assert process.stderr is not None
    process.stderr.close()


def ask(channel: socket.socket, tmp_path: Path, function: str) -> int:
    log = str(tmp_path / "x.log")
    request = {"spawn": 1, "title": "app:x", "target": f"{FAKES}:{function}", "argv": [], "environment": {}}
    channel.sendall(json.dumps({**request, "stdout": log, "stderr": log}).encode() + b"\n")
    reader = channel.makefile("rb")
    while "pid" not in (answer := json.loads(reader.readline())):
        pass
    return int(answer["pid"])


@pytest.mark.parametrize("how", ["close", "terminate"])
def test_it_takes_its_children_along(
    nursery: tuple[socket.socket, subprocess.Popen[bytes]], tmp_path: Path, how: str
) -> None:
    channel, process = nursery
    pid = ask(channel, tmp_path, "app_that_waits")
    assert start_time(pid) is not None
    if how == "close":
        channel.shutdown(socket.SHUT_RDWR)
    else:
        process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    deadline = time.monotonic() + 5
    while start_time(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert start_time(pid) is None
    assert process.stderr is not None
    assert b"no.such cannot be imported: ModuleNotFoundError" in process.stderr.read()


def test_a_log_that_cannot_be_opened_goes_nowhere(tmp_path: Path) -> None:
    descriptor = open_log(str(tmp_path / "none" / "x.log"))
    assert os.write(descriptor, b"x") == 1
    os.close(descriptor)
