"""Starts processes, forked from a nursery or executed, and tells when and how they end.

A process is watched by its pidfd, not by its parent, so a pod outlives the nursery it came from. The lab's process
adopts orphans (Linux: PR_SET_CHILD_SUBREAPER) and reaps them.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lugsail.lab.nursery import open_log
from lugsail.lab.paths import source_root
from lugsail.lab.processes import ProcessRef, is_alive, reference
from lugsail.lab.spawn import Spawn

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
POLL_S = 0.1
EXIT_CODE_WAIT_S = 0.5
SPAWN_TIMEOUT_S = 30.0


class LaunchError(Exception):
    """A process could not be started; the message says which and why."""


class Process:
    """A started process: `ref` pins it down, `wait()` gives its exit code (negative: the signal; None: unknown)."""

    def __init__(self, ref: ProcessRef, launcher: Launcher) -> None:
        self.ref = ref
        self._launcher = launcher

    @property
    def pid(self) -> int:
        return self.ref.pid

    async def wait(self) -> int | None:
        await _gone(self.ref)
        return await self._launcher.exit_code(self.ref.pid)


class Launcher:
    """Starts what a Spawn says. `preload` names each nursery's modules; a nursery starts when it is first needed.

    `logs` is the folder for what the nurseries themselves write.
    """

    def __init__(self, environment: Mapping[str, str], preload: Mapping[str, tuple[str, ...]], logs: Path) -> None:
        self.logs = logs
        self._environment = dict(environment)
        self._nurseries = {name: NurseryClient(name, modules, self) for name, modules in preload.items()}
        self._codes: dict[int, int] = {}
        self._changed = asyncio.Event()

    def adopt_orphans(self) -> None:
        """Become the parent of what loses its own, and reap every child that ends. Main thread only."""
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)

    @property
    def nurseries(self) -> Mapping[str, NurseryClient]:
        return self._nurseries

    def child_environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """The lab's environment with the component's on top; proxies of the user's shell are not for the mesh."""
        base = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        return {**base, **self._environment, **more}

    async def launch(self, spawn: Spawn) -> Process:
        """Start the process; raises LaunchError."""
        if spawn.nursery is not None:
            pid = await self._nurseries[spawn.nursery].fork(spawn)
        else:
            pid = self._execute(spawn)
        # A process that is gone already has no start time; waiting for it then ends at once.
        return Process(reference(pid) or ProcessRef(pid, ""), self)

    def _execute(self, spawn: Spawn) -> int:
        out, err = open_log(str(spawn.stdout)), open_log(str(spawn.stderr))
        try:
            child = subprocess.Popen(
                spawn.argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=self.child_environment(spawn.environment),
                start_new_session=True,
            )
        except OSError as error:
            raise LaunchError(f"{spawn.title}: cannot run {spawn.argv[0]!r}: {error.strerror}") from error
        finally:
            os.close(out)
            os.close(err)
        child.returncode = 0  # reaped here by pid, not by Popen
        return child.pid

    def note_exit(self, pid: int, code: int) -> None:
        self._codes[pid] = code
        self._changed.set()

    async def exit_code(self, pid: int) -> int | None:
        """The exit code of a process that is gone, as its parent told it; None when nobody did in time."""
        deadline = asyncio.get_running_loop().time() + EXIT_CODE_WAIT_S
        while pid not in self._codes:
            self._reap()
            if pid in self._codes:
                break
            remaining = deadline - asyncio.get_running_loop().time()
            if remaining <= 0:
                return None
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                # Not wait_for: Python 3.11's loses a cancellation that comes with the result.
                async with asyncio.timeout(min(remaining, POLL_S)):
                    await self._changed.wait()
        return self._codes.pop(pid)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self.note_exit(pid, os.waitstatus_to_exitcode(status))

    async def close(self) -> None:
        """End the nurseries (their last children with them)."""
        await asyncio.gather(*(nursery.close() for nursery in self._nurseries.values()))
        self._reap()


class NurseryClient:
    """The lab's end of one nursery; starts it when needed, again when it has died."""

    def __init__(self, name: str, modules: tuple[str, ...], launcher: Launcher) -> None:
        self.name = name
        self.process: Process | None = None
        self.restarts = -1
        self._modules = modules
        self._launcher = launcher
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._pending: dict[int, asyncio.Future[int]] = {}
        self._sequence = 0
        self._starting = asyncio.Lock()

    @property
    def has_died(self) -> bool:
        """Whether it was started and runs no more."""
        return self.process is not None and not self._starting.locked() and not is_alive(self.process.ref)

    async def start(self) -> None:
        """Start the nursery unless it runs, and wait until its imports are done; raises LaunchError."""
        async with self._starting:
            if self.process is not None and is_alive(self.process.ref) and self._writer is not None:
                return
            await self._start()

    async def _start(self) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "lugsail.lab.nursery", "--fd", str(theirs.fileno())]
        environment = self._launcher.child_environment({})
        path = environment.get("PYTHONPATH")
        log = open_log(str(self._launcher.logs / f"nursery-{self.name}.log"))
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(source_root()), path)))
        child = subprocess.Popen(  # noqa: ASYNC220 - starts in a moment; its output goes elsewhere
            [*command, "--preload", ",".join(self._modules)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(theirs.fileno(),),
            env=environment,
            start_new_session=True,
        )
        child.returncode = 0  # reaped by the launcher
        os.close(log)
        theirs.close()
        self.process = Process(reference(child.pid) or ProcessRef(child.pid, ""), self._launcher)
        self.restarts += 1
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        line = await reader.readline()
        if not line:
            writer.close()
            raise LaunchError(f"the {self.name} nursery ended while it was importing {', '.join(self._modules)}")
        self._writer = writer
        self._reading = asyncio.create_task(self._read(reader, writer))

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                message: dict[str, Any] = json.loads(line)
                if "spawned" in message:
                    waiting = self._pending.pop(message["spawned"], None)
                    if waiting is not None and not waiting.done():
                        waiting.set_result(message["pid"])
                elif "exited" in message:
                    self._launcher.note_exit(message["exited"], message["status"])
        writer.close()
        if self._writer is not writer:
            return  # a later nursery has taken over
        self._writer = None
        for waiting in self._pending.values():
            if not waiting.done():
                waiting.set_exception(LaunchError(f"the {self.name} nursery ended"))
        self._pending.clear()

    async def fork(self, spawn: Spawn) -> int:
        """Fork a child for the spawn; its pid. Raises LaunchError."""
        await self.start()
        assert self._writer is not None
        self._sequence += 1
        request = {
            "spawn": self._sequence,
            "title": spawn.title,
            "target": spawn.target,
            "argv": list(spawn.argv),
            "environment": dict(spawn.environment),
            "stdout": str(spawn.stdout),
            "stderr": str(spawn.stderr),
        }
        waiting: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._pending[self._sequence] = waiting
        self._writer.write(json.dumps(request).encode() + b"\n")
        try:
            async with asyncio.timeout(SPAWN_TIMEOUT_S):
                return await waiting
        except TimeoutError:
            raise LaunchError(f"{spawn.title}: the {self.name} nursery did not answer") from None

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._reading is not None:
            self._reading.cancel()
        if self.process is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(10.0):
                    await self.process.wait()


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _gone(ref: ProcessRef) -> None:
    """Return once the process has ended."""
    if not is_alive(ref):
        return
    try:
        descriptor = os.pidfd_open(ref.pid)
    except (AttributeError, OSError):
        while is_alive(ref):  # noqa: ASYNC110 - no pidfd on this system, so nothing tells
            await asyncio.sleep(POLL_S)
        return
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    loop.add_reader(descriptor, _settle, ended)
    try:
        if is_alive(ref):  # the pid may have changed hands before it was opened
            await ended
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
