"""The nursery: a warmed process that forks the lab's Python components.

`python -m lugsail.lab.nursery --fd N --preload MODULE,…` imports the modules once (they start no threads, loops or
channels when imported), freezes them out of the garbage collector's sight so that their pages stay shared, and then
forks a child per request. A child costs milliseconds to start and only its own pages to keep.

Requests and answers are lines of JSON on the socket inherited as descriptor N:

    -> {"spawn": 7, "title": …, "target": "sidecar.main:main", "argv": […], "environment": {…},
        "stdout": PATH, "stderr": PATH}
    <- {"ready": true}                                    once, when the imports are done
    <- {"spawned": 7, "pid": 4711}
    <- {"exited": 4711, "status": 0}                      negative: the signal

When the other end closes, the lab is gone: the nursery stops its children and ends.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import io
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from typing import Any

READ_BYTES = 65536
GRACE_S = 6.0
HANDLED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)


class LogStream(io.TextIOWrapper):
    """A text stream over a log file that never raises: a full disk costs lines of the log, not the process."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            pass


class Nursery:
    """Serves spawn requests until its socket closes."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._buffer = b""
        self._children: set[int] = set()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

    def serve(self) -> int:
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, lambda *_: None)  # the wake-up descriptor tells
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._send({"ready": True})
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                go_on = self._reap() if descriptor == self._wake_read else self._receive()
                if not go_on:
                    self._stop_children()
                    return 0

    def _send(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self._channel.sendall(json.dumps(message).encode() + b"\n")

    def _receive(self) -> bool:
        """Handle what has arrived; False when the other end is gone."""
        try:
            data = self._channel.recv(READ_BYTES)
        except OSError:
            return False
        if not data:
            return False
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._spawn(json.loads(line))
        return True

    def _spawn(self, request: dict[str, Any]) -> None:
        # A signal that met the child with the nursery's handlers would be lost, and told to the nursery.
        signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        pid = os.fork()
        if pid == 0:
            status = 70  # EX_SOFTWARE
            try:
                self._become(request)
                status = _call(request["target"], request["argv"])
            finally:
                for stream in (sys.stdout, sys.stderr):
                    with contextlib.suppress(Exception):
                        stream.flush()
                os._exit(status)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
        self._children.add(pid)
        self._send({"spawned": request["spawn"], "pid": pid})

    def _become(self, request: dict[str, Any]) -> None:
        """In the child: a session, streams, an environment and signals of its own."""
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        # As Python starts: SIGINT raises KeyboardInterrupt, a broken pipe is an OSError.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
        for descriptor in (self._channel.fileno(), self._wake_read, self._wake_write):
            os.close(descriptor)
        for descriptor, path in ((1, request["stdout"]), (2, request["stderr"])):
            log = open_log(path)
            os.dup2(log, descriptor)
            os.close(log)
        sys.stdout = LogStream(io.FileIO(1, "w", closefd=False), encoding="utf-8", line_buffering=True)
        sys.stderr = LogStream(io.FileIO(2, "w", closefd=False), encoding="utf-8", line_buffering=True)
        os.environ.update(request["environment"])
        sys.argv = [request["title"], *request["argv"]]
        with contextlib.suppress(OSError), open("/proc/self/comm", "w", encoding="utf-8") as comm:
            comm.write(request["title"].partition(":")[2] or request["title"])

    def _reap(self) -> bool:
        """Report the children that ended; False when this process was asked to end."""
        signals = b""
        with contextlib.suppress(BlockingIOError):
            signals = os.read(self._wake_read, READ_BYTES)
        for pid in list(self._children):
            try:
                done, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                done, status = pid, 0
            if done:
                self._children.discard(pid)
                self._send({"exited": pid, "status": os.waitstatus_to_exitcode(status)})
        return signal.SIGTERM not in signals

    def _stop_children(self) -> None:
        for number, grace_s in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, 1.0)):
            for pid in self._children:
                with contextlib.suppress(OSError):
                    os.kill(pid, number)
            deadline = time.monotonic() + grace_s
            while self._children and time.monotonic() < deadline:
                time.sleep(0.02)
                self._reap()


def open_log(path: str) -> int:
    """A descriptor for appending to a log file; /dev/null where it cannot be opened (a full or read-only disk)."""
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


def _call(target: str, argv: list[str]) -> int:
    """Run `MODULE:FUNCTION`(argv) to its end and give its exit code; a failure is told on stderr."""
    module, _, function = target.partition(":")
    try:
        result = getattr(importlib.import_module(module), function)(argv)
    except SystemExit as exit_request:
        code = exit_request.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
            return 1
        return code or 0
    except KeyboardInterrupt:
        return 130
    except BaseException:
        traceback.print_exc()
        return 1
    return result or 0


def preload(modules: list[str]) -> None:
    """Import the modules; what fails is told on stderr, and again by the child that needs it."""
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:
            print(f"{module} cannot be imported: {type(error).__name__}: {error}", file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m lugsail.lab.nursery")
    parser.add_argument("--fd", type=int, required=True, help="the inherited socket to serve")
    parser.add_argument("--preload", default="", help="modules to import before the first fork, comma separated")
    options = parser.parse_args(argv)
    preload([module for module in options.preload.split(",") if module])
    gc.collect()
    gc.freeze()
    return Nursery(socket.socket(fileno=options.fd)).serve()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
