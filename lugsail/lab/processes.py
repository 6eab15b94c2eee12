"""Facts about processes: alive or not, since when, how much memory, what they carry in their environment.

A pid alone names nobody for long; with its start time it does. Linux answers from /proc, other systems through `ps`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
LAB_ID_VARIABLE = "LUGSAIL_LAB_ID"


@dataclass(frozen=True, slots=True)
class ProcessRef:
    """A process that cannot be mistaken for a later one of the same pid."""

    pid: int
    start_time: str


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident set and proportional set (shared pages divided by their sharers), in bytes."""

    rss_bytes: int
    pss_bytes: int


def start_time(pid: int) -> str | None:
    """When the process started, in the system's own words; None when there is none (or only a zombie is left)."""
    if PROC.joinpath("self/stat").exists():
        try:
            stat = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        # proc(5): the name in brackets may hold anything; the state is the first field after it, starttime field 22.
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in ("Z", "X") else fields[19]
    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None


def reference(pid: int) -> ProcessRef | None:
    """The process with this pid, pinned down by its start time; None when it is gone."""
    started = start_time(pid)
    return None if started is None else ProcessRef(pid, started)


def is_alive(ref: ProcessRef | None) -> bool:
    return ref is not None and start_time(ref.pid) == ref.start_time


def marked(lab_id: str) -> list[int]:
    """The pids of all processes started with LUGSAIL_LAB_ID=`lab_id` in their environment, this one aside (Linux)."""
    marker = f"{LAB_ID_VARIABLE}={lab_id}".encode()
    found = []
    for entry in PROC.iterdir() if PROC.joinpath("self/environ").exists() else ():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if marker in (entry / "environ").read_bytes().split(b"\0") and start_time(int(entry.name)) is not None:
                found.append(int(entry.name))
    return found


def stop_all(refs: Iterable[ProcessRef], grace_s: float = 6.0) -> list[int]:
    """SIGTERM, then SIGKILL to what is left after `grace_s`. Returns the pids that had to be killed. Blocks."""
    waiting = [ref for ref in refs if is_alive(ref)]
    for ref in waiting:
        _signal(ref.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while (waiting := [ref for ref in waiting if is_alive(ref)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    for ref in waiting:
        _signal(ref.pid, signal.SIGKILL)
    end = time.monotonic() + 2.0
    while any(is_alive(ref) for ref in waiting) and time.monotonic() < end:
        time.sleep(0.01)
    return [ref.pid for ref in waiting]


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def signal_group(pid: int, number: int) -> None:
    """Signal what a component started, and itself: each component leads a process group of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def signal_component(ref: ProcessRef, number: int) -> None:
    """As signal_group, but also in a component's first moment, when it has no group yet."""
    try:
        os.killpg(ref.pid, number)
    except ProcessLookupError:
        if is_alive(ref):
            _signal(ref.pid, number)
    except PermissionError:
        pass


def memory(pid: int) -> Memory | None:
    """The process's memory; where the kernel has no smaps_rollup, PSS is given as RSS."""
    if PROC.joinpath("self/stat").exists():
        try:
            return _smaps_memory((PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii"))
        except OSError:
            pass
    answer = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False)
    text = answer.stdout.strip()
    return Memory(int(text) * 1024, int(text) * 1024) if text.isdigit() else None


def _smaps_memory(rollup: str) -> Memory:
    values = {}
    for line in rollup.splitlines()[1:]:
        key, _, rest = line.partition(":")
        number = rest.split()
        if number and number[0].isdigit():
            values[key] = int(number[0]) * 1024
    return Memory(values.get("Rss", 0), values.get("Pss", values.get("Rss", 0)))


def family(pid: int) -> list[int]:
    """The process and all below it (Linux; elsewhere itself alone): a stock Envoy runs below its agent."""
    found, position = [pid], 0
    while position < len(found):
        tasks = PROC / str(found[position]) / "task"
        with contextlib.suppress(OSError):
            for task in tasks.iterdir():
                found.extend(int(child) for child in (task / "children").read_text(encoding="ascii").split())
        position += 1
    return found


def owner_of_port(ip: str, port: int) -> str | None:
    """Who listens on ip:port, as `NAME (pid N)`; None when that cannot be known (Linux, IPv4)."""
    wanted = {f"{_hex_address(ip)}:{port:04X}", f"00000000:{port:04X}"}
    inodes = set()
    with contextlib.suppress(OSError):
        for line in (PROC / "net/tcp").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[1] in wanted and fields[3] == "0A":  # 0A is TCP_LISTEN
                inodes.add(f"socket:[{fields[9]}]")
    if not inodes:
        return None
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            for descriptor in (entry / "fd").iterdir():
                if os.readlink(descriptor) in inodes:
                    name = (entry / "comm").read_text(encoding="utf-8", errors="replace").strip()
                    return f"{name} (pid {entry.name})"
    return None


def _hex_address(ip: str) -> str:
    return "".join(f"{int(octet):02X}" for octet in reversed(ip.split(".")))
