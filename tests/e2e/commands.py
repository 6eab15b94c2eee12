"""`lugsail` commands in children of one process that has loaded their code.

The tests of a mesh give hundreds of commands on the way to what they are about, and loading Python's modules took a
third of the CPU of a run. What a command is as a process of its own is for `Lab.cli`, and for test_cli.py.

    python -m tests.e2e.commands SOCKET     serves until its standard input ends
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

_LOADED = (
    "lugsail.__main__",
    "lugsail.api.load",
    "lugsail.api.resource_warnings",
    "lugsail.cli.apply",
    "lugsail.cli.status",
    "lugsail.lab.containers.mesh",
    "lugsail.lab.process_mesh",
)
_MAX_REQUEST_BYTES = 1 << 20


class Commands:
    """The client's side, and the life of the server."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="lugsail-commands-")
        self._path = f"{self._folder.name}/socket"
        self._server = subprocess.Popen(
            [sys.executable, "-m", __name__, self._path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == "ready\n"

    def run(
        self, args: Sequence[str], env: Mapping[str, str], text: str | None, timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """As subprocess.run of `lugsail ARGS` would do it. Raises subprocess.TimeoutExpired."""
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) for _ in range(3)]
            files[0].write(text or "")
            files[0].seek(0)
            connection = stack.enter_context(socket.socket(socket.AF_UNIX))
            connection.settimeout(timeout_s)
            connection.connect(self._path)
            request = json.dumps({"args": list(args), "env": dict(env)}).encode() + b"\n"
            sent = socket.send_fds(connection, [request], [file.fileno() for file in files])
            connection.sendall(request[sent:])
            answers = stack.enter_context(connection.makefile())
            pid = int(answers.readline())
            try:
                code = int(answers.readline())
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(["lugsail", *args], timeout_s) from None
            for file in files:
                file.seek(0)
            return subprocess.CompletedProcess(["lugsail", *args], code, files[1].read(), files[2].read())

    def close(self) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(10)
        self._folder.cleanup()


@functools.cache
def commands() -> Commands:
    """The one of this run; ends with it."""
    made = Commands()
    atexit.register(made.close)
    return made


def serve(path: str) -> None:
    """A child for each connection, which gives one command."""
    for name in _LOADED:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        print("ready", flush=True)
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    _give(connection)


def _give(connection: socket.socket) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    text, fds, _, _ = socket.recv_fds(connection, _MAX_REQUEST_BYTES, 3)
    while not text.endswith(b"\n"):
        piece = connection.recv(_MAX_REQUEST_BYTES)
        if not piece:  # nobody waits for an answer
            os._exit(1)
        text += piece
    request = json.loads(text)
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(request, fds)
    connection.sendall(b"%d\n" % pid)
    _, status = os.waitpid(pid, 0)
    connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _become(request: dict[str, Any], fds: list[int]) -> NoReturn:
    from lugsail.__main__ import main

    for number, fd in enumerate(fds):
        os.dup2(fd, number)
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = ["lugsail", *request["args"]]
    code: object = 70
    try:
        code = main()
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    serve(sys.argv[1])
