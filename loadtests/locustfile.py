"""Bookinfo's users for locust: `lugsail load` runs this file, and `locust -f loadtests/locustfile.py` does too.

Variables (see loadtests/load/settings.py): LUGSAIL_LOAD_SCENARIO browse|api|split|mixed, LUGSAIL_LOAD_SHAPE
steady|steps|spike, LUGSAIL_LOAD_RATE_PER_S, LUGSAIL_LOAD_DURATION_S, LUGSAIL_LOAD_USER_NAME, LUGSAIL_LOAD_SEED.
LUGSAIL_LOAD_REPORT_FD is where JSON lines go: `start`, a `second` each second, `result`.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import time
from typing import Any

import gevent
import gevent.event
from locust import LoadTestShape, events

from loadtests.load.pacer import Pacer
from loadtests.load.recorder import Recorder
from loadtests.load.schedule import load_share
from loadtests.load.settings import Settings
from loadtests.load.table import split_text
from loadtests.load.users import SCENARIO_USERS, BookinfoUser

SETTINGS = Settings.from_environment(os.environ)
REPORT_FD = os.environ.get("LUGSAIL_LOAD_REPORT_FD")
PARENT = os.environ.get("LUGSAIL_LOAD_PARENT")
POLL_S, PARENT_POLL_S = 0.02, 0.5

# locust runs the user classes that it finds in this module.
globals().update({user.__name__: user for user in SCENARIO_USERS[SETTINGS.scenario]})


class _Run:
    """One run of the load; locust's page can start several, one after the other."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.pacer = Pacer(SETTINGS.schedule) if SETTINGS.schedule else None
        self.begun = 0.0
        self.ended = 0.0

    def install(self) -> None:
        """The users that start from now on belong to this run."""
        BookinfoUser.settings = SETTINGS
        BookinfoUser.recorder = self.recorder
        BookinfoUser.pacer = self.pacer
        BookinfoUser.numbers = itertools.count()
        BookinfoUser.begun = gevent.event.Event()
        BookinfoUser.ending = False

    def begin(self) -> None:
        """The clock starts."""
        if self.begun:
            return
        self.recorder.start(time.time())
        self.begun = time.perf_counter()
        if self.pacer:
            self.pacer.start(self.begun)
        report("start", {"started_at": self.recorder.started_at, "run_id": SETTINGS.run_id})
        BookinfoUser.begun.set()

    @property
    def seconds(self) -> float:
        """How long requests were sent: the schedule's time where all of it was kept."""
        if self.pacer and not self.pacer.unsent:
            return self.pacer.schedule.duration_s
        return (self.ended or time.perf_counter()) - self.begun


def report(event: str, content: dict[str, Any]) -> None:
    """A JSON line to who started this; nothing where nobody listens."""
    if REPORT_FD is not None:
        line = json.dumps({"event": event, **content}) + "\n"
        try:
            with open(int(REPORT_FD), "w", encoding="utf-8", closefd=False) as stream:
                stream.write(line)
        except BrokenPipeError:
            pass  # who started this is gone; the run ends by itself


RUN = _Run()


@events.init.add_listener
def on_init(environment: Any, **_: Any) -> None:
    """Whoever started this may be killed: then the load ends too, and is not left running."""
    if PARENT:
        gevent.spawn(end_with_parent)


def end_with_parent() -> None:
    """Ends this process in the usual way once its parent is gone."""
    while str(os.getppid()) == PARENT:
        gevent.sleep(PARENT_POLL_S)
    os.kill(os.getpid(), signal.SIGTERM)


@events.test_start.add_listener
def on_start(environment: Any, **_: Any) -> None:
    """A new run. Without a schedule its clock starts with the first user."""
    global RUN
    RUN = _Run()
    RUN.install()
    if RUN.pacer is None:
        RUN.begin()
    gevent.spawn(watch, environment, RUN)


@events.spawning_complete.add_listener
def on_spawned(user_count: int, **_: Any) -> None:
    """A schedule's clock starts when all users are there to keep it."""
    RUN.begin()


def watch(environment: Any, run: _Run) -> None:
    """Report each second; end the run when its schedule is done."""
    seconds = 0
    BookinfoUser.begun.wait()
    while not run.ended:
        if time.perf_counter() >= run.begun + seconds + 1:
            seconds += 1
            second = run.recorder.tick(environment.runner.user_count)
            report("second", {**second, "overview": run.recorder.overview()})
        if run.pacer and run.pacer.finished:
            (environment.runner.stop if environment.web_ui else environment.runner.quit)()
            return
        gevent.sleep(POLL_S)


@events.test_stopping.add_listener
def on_stopping(environment: Any, **_: Any) -> None:
    """No user begins another request from here on."""
    BookinfoUser.ending = True
    RUN.ended = RUN.ended or time.perf_counter()


@events.test_stop.add_listener
def on_stop(environment: Any, **_: Any) -> None:
    """Everything is in: report it, on the terminal too where locust runs by itself."""
    run = RUN
    result = run.recorder.result(run.seconds, run.pacer.unsent if run.pacer else 0)
    last = run.recorder.tick(0)
    if last["rps"]:
        report("second", {**last, "overview": run.recorder.overview()})
    report("result", {"result": result})
    if REPORT_FD is None:
        print(split_text(result["split"]["reviews"]))


if SETTINGS.shape != "steady" and not SETTINGS.rate_per_s:

    class Shape(LoadTestShape):
        """Changes the number of users over time; with a rate, the schedule changes the rate instead."""

        def tick(self) -> tuple[int, float] | None:
            """(users, users started per second), or None at the end."""
            share = load_share(SETTINGS.shape, self.get_run_time(), SETTINGS.duration_s)
            if share is None:
                return None
            users = max(1, round(SETTINGS.users * share))
            return users, float(SETTINGS.users)
