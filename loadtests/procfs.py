"""What /proc says of a process (Linux): CPU time, the program's name, and where it may run."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from lugsail.lab.processes import family

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def parse_cpu_s(stat: str) -> float:
    """utime + stime of a /proc/PID/stat line, in seconds: all threads, ended ones too."""
    fields = stat.rpartition(")")[2].split()  # proc(5): the name in brackets may hold anything
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used. Raises OSError when it is gone."""
    return parse_cpu_s(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace"))


def parse_busy_s(stat: str) -> float:
    """CPU seconds that all programs together have used since boot, from the text of /proc/stat.

    Interrupts count too: the kernel bills them to whatever program they interrupt, so cpu_s holds its part of them.
    """
    user, nice, system, _idle, _iowait, irq, softirq = (int(field) for field in stat.split("\n", 1)[0].split()[1:8])
    return (user + nice + system + irq + softirq) / _TICKS_PER_S


def busy_s() -> float:
    """See parse_busy_s."""
    return parse_busy_s(Path("/proc/stat").read_text(encoding="ascii"))


def program(pid: int) -> str:
    """The name of the file that a process runs; empty when it is gone."""
    with contextlib.suppress(OSError):
        return Path(os.readlink(f"/proc/{pid}/exe")).name
    return ""


def envoy_below(pid: int) -> int | None:
    """The pid of an Envoy that runs below this process."""
    return next((child for child in family(pid)[1:] if program(child).startswith("envoy")), None)


def pin(pid: int, cpus: set[int]) -> None:
    """Keep every thread of a process, and those it starts, on these CPUs."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), cpus)
