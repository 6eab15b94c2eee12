"""CPU time and programs of processes."""

import os
import subprocess
import sys

from loadtests.procfs import cpu_s, envoy_below, parse_busy_s, parse_cpu_s, pin, program

TICKS = os.sysconf("SC_CLK_TCK")


def test_cpu_time_of_a_stat_line_whose_name_is_nasty():
    fields = ["S", *(["0"] * 10), str(3 * TICKS), str(TICKS), "99", "99"]
    assert parse_cpu_s("42 (a) b (c) " + " ".join(fields)) == 4.0


def test_busy_time_leaves_waiting_and_stolen_time_out():
    assert parse_busy_s(f"cpu  {TICKS} {TICKS} {TICKS} 999 999 {TICKS} {TICKS} 999 0 0\ncpu0 1 2 3\n") == 5.0


def test_cpu_time_grows_with_work():
    before = cpu_s(os.getpid())
    while cpu_s(os.getpid()) - before < 0.05:
        sum(range(10_000))


def test_program_and_pinning_of_a_child():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        allowed = sorted(os.sched_getaffinity(0))
        pin(child.pid, {allowed[-1]})
        assert os.sched_getaffinity(child.pid) == {allowed[-1]}
        assert program(child.pid).startswith("python")
        assert envoy_below(os.getpid()) is None
        child.communicate(b"\n")


def test_a_process_that_is_gone():
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    assert program(child.pid) == ""
