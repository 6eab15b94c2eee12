"""Bookinfo's users for locust. Each task is one request, so that a run ends between requests and every one is counted.

A user that browses goes through a script of steps; the schedule, where there is one, says when each step is due.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any, ClassVar, NamedTuple
from urllib.parse import urlencode

import gevent.event
import geventhttpclient.client
from gevent import GreenletExit
from locust import FastHttpUser, task
from locust.exception import StopUser

from loadtests.load import bodies
from loadtests.load.pacer import Pacer
from loadtests.load.recorder import Recorder
from loadtests.load.settings import REQUEST_TIMEOUT_S, Settings

# The client would send a GET again whose connection ended without an answer, up to eleven times and without a word.
# Here each request goes out once, and a dropped connection is a failure.
geventhttpclient.client.IDEMPOTENT_METHODS = frozenset()

# jason is not among them: the samples' rules treat him apart. --user-name signs him in.
PEOPLE = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi")
PAGES_PER_SESSION = (3, 6)
PAGE = "/productpage"
API = "/api/v1/products"

Check = Callable[[str], str | None]


class Step(NamedTuple):
    """One request, the status that is right for it, and what its body must be like; `form` is its body."""

    method: str
    path: str
    status: int = 200
    check: Check | None = None
    form: dict[str, str] | None = None


class BookinfoUser(FastHttpUser):
    """What all have in common. The locustfile sets the class variables before any user starts."""

    abstract = True
    network_timeout = REQUEST_TIMEOUT_S
    connection_timeout = REQUEST_TIMEOUT_S
    max_redirects = 0
    max_retries = 0
    concurrency = 1

    settings: ClassVar[Settings]
    recorder: ClassVar[Recorder]
    pacer: ClassVar[Pacer | None]
    numbers: ClassVar[Iterator[int]]
    begun: ClassVar[gevent.event.Event]
    ending: ClassVar[bool] = False

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        # Users start in order: the same seed gives each the same choices.
        self.random = random.Random(f"{self.settings.seed}/{next(self.numbers)}")
        self._script = self.script()
        self._due: float | None = None

    def on_start(self) -> None:
        """Nobody begins before the clock does."""
        self.begun.wait()

    def script(self) -> Iterator[Step]:
        """The user's requests, without end."""
        raise NotImplementedError

    def wait_time(self) -> float:
        """Until the next request is due; without a schedule the user thinks a while."""
        if self.pacer is None:
            return self.random.uniform(self.settings.think_low_s, self.settings.think_high_s)
        due = self.pacer.take(perf_counter())
        if due is None:
            raise StopUser()
        self._due = due
        return max(0.0, due - perf_counter())

    @task
    def step(self) -> None:
        """The next step of the script, once it is due."""
        if self.ending:  # woken in the moment between the end and being told of it
            raise StopUser()
        if self.pacer is None:
            self.send(next(self._script))
        elif self._due is not None:  # the first turn only leads to the first wait
            try:
                self.send(next(self._script))
            finally:
                self._due = None
                self.pacer.done()

    def send(self, step: Step) -> None:
        """Send a request and count how it went."""
        headers = {"User-Agent": f"lugsail-load/{self.settings.run_id}", "x-request-id": str(uuid.uuid4())}
        if step.form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self.recorder.begin(step.path)
        started = perf_counter()
        lag_ms = 0.0 if self._due is None else max(0.0, (started - self._due) * 1000)
        self.recorder.lagged(lag_ms)
        try:
            with self.client.request(
                step.method,
                step.path,
                headers=headers,
                data=None if step.form is None else urlencode(step.form),
                catch_response=True,
                allow_redirects=False,
            ) as answer:
                ms = (perf_counter() - started) * 1000 + lag_ms
                answer.request_meta["response_time"] = ms  # locust's own statistics count from when it was due too
                failure = self._judge(step, answer)
                self.recorder.finish(step.path, int(answer.status_code or 0), ms, failure)
                if failure is None:
                    answer.success()
                else:
                    answer.failure(failure)
        except GreenletExit:  # it took longer than the end of a run waits
            self.recorder.finish(step.path, 0, (perf_counter() - started) * 1000 + lag_ms, bodies.CUT_OFF)
            raise

    def _judge(self, step: Step, answer: Any) -> str | None:
        """Why the answer is a failure, or None; a version of reviews that shows in it is counted."""
        if not answer.status_code or answer.content is None:
            return bodies.no_answer(answer.request_meta["exception"] or answer.error)
        if answer.status_code != step.status:
            return f"status {answer.status_code}"
        text = answer.content.decode("utf-8", "replace")
        if step.path in VERSION_IN:
            self.recorder.saw_version(VERSION_IN[step.path](text))
        return step.check(text) if step.check else None

    def sign_in(self, user: str) -> Step:
        """POST /login; the client keeps the session cookie, and without one it is no success."""

        def has_cookie(_: str) -> str | None:
            return None if any(cookie.name == "session" for cookie in self.client.cookiejar) else bodies.NOT_SIGNED_IN

        return Step("POST", "/login", 302, has_cookie, {"username": user, "passwd": "any"})


class BrowseUser(BookinfoUser):
    """Signs in, looks at the page a few times, fetches what belongs to it, signs out."""

    weight = 2

    def script(self) -> Iterator[Step]:
        while True:
            user = self.settings.user_name or self.random.choice(PEOPLE)
            self.client.cookiejar.clear()
            yield self.sign_in(user)
            for number in range(self.random.randint(*PAGES_PER_SESSION)):
                yield page(user)
                if number == 0:
                    yield Step("GET", "/static/style.css")
                    yield Step("GET", "/static/book.svg")
            yield Step("GET", "/logout", 302)


class ApiUser(BookinfoUser):
    """Asks the JSON API for everything it has."""

    weight = 1

    def script(self) -> Iterator[Step]:
        while True:
            yield Step("GET", API, 200, bodies.products_problem)
            yield Step("GET", f"{API}/0", 200, bodies.details_problem)
            yield Step("GET", f"{API}/0/reviews", 200, bodies.reviews_problem)
            yield Step("GET", f"{API}/0/ratings", 200, bodies.ratings_problem)


class SplitUser(BookinfoUser):
    """Reads the page alone, to see which version of reviews made it; signed in where a name is given."""

    weight = 1

    def script(self) -> Iterator[Step]:
        user = self.settings.user_name
        if user:
            yield self.sign_in(user)
        while True:
            yield page(user or None)


def page(user: str | None) -> Step:
    """The page as that user, or a stranger, should see it."""
    return Step("GET", PAGE, 200, lambda body: bodies.page_problem(body, user))


VERSION_IN = {PAGE: bodies.page_version, f"{API}/0/reviews": bodies.reviews_version}

SCENARIO_USERS: dict[str, tuple[type[BookinfoUser], ...]] = {
    "browse": (BrowseUser,),
    "api": (ApiUser,),
    "split": (SplitUser,),
    "mixed": (BrowseUser, ApiUser, SplitUser),
}
