"""Logs of proxies' containers, with an engine that hands out what cases say."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lugsail.lab.containers import discovery, proxy_logs
from lugsail.lab.containers.proxy_logs import ContainerLogs
from lugsail.lab.errors import LabError
from tests.lugsail.lab.containers.engine_answers import containers, control_plane, gateway, pod


class Engine:
    """`logs` by container id: pieces, or a function that gives them."""

    def __init__(self, logs: dict[str, Any]) -> None:
        self.answers = logs
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def logs(self, container: str, **options: Any) -> Iterator[bytes]:
        self.asked.append((container, options))
        found = self.answers.get(container, [])
        yield from found() if callable(found) else found


def mesh(*items: Any) -> discovery.View:
    return discovery.view("p", containers(control_plane(), *items))


def proxy_id(view: discovery.View, name: str) -> str:
    found = view.workload(name)
    assert found is not None and found.proxy is not None
    return found.proxy.id


def until(logs: ContainerLogs, enough: Callable[[list[Any]], bool]) -> list[Any]:
    found: list[Any] = []
    deadline = time.monotonic() + 5
    while not enough(found) and time.monotonic() < deadline:
        found += logs.poll()
        time.sleep(0.005)
    return found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_logs, "LOOK_EVERY_S", 0.01)


def test_what_was_before_is_all_there_at_once() -> None:
    view = mesh(*pod("reviews-v1"), gateway())
    engine = Engine({proxy_id(view, "reviews-v1"): [b"one\ntw", b"o\n"]})
    logs = ContainerLogs(engine, lambda: view, back=70, follow=False)  # type: ignore[arg-type]
    found = logs.poll()
    assert [(read.proxy, read.lines) for read in found if read.lines] == [
        ("reviews-v1.default", [b"one"]),
        ("reviews-v1.default", [b"two"]),
    ]
    assert {container for container, _ in engine.asked} >= {proxy_id(view, "reviews-v1")}
    assert all(options["tail"] == 70 and not options["follow"] for _, options in engine.asked)


def test_follows_new_containers_and_those_that_run_again() -> None:
    views = [mesh(*pod("reviews-v1"))]
    first = proxy_id(views[0], "reviews-v1")
    ended = threading.Event()

    def endless() -> Iterator[bytes]:
        yield b"a\n"
        ended.wait(5)

    engine = Engine({first: endless})
    logs = ContainerLogs(engine, lambda: views[-1], back=0, follow=True)  # type: ignore[arg-type]
    until(logs, bool)
    assert engine.asked[0][1]["follow"] is True
    more = mesh(*pod("reviews-v1"), *pod("reviews-v2"))
    engine.answers[proxy_id(more, "reviews-v2")] = [b"new\n"]
    views.append(more)
    assert until(logs, bool)[0].proxy == "reviews-v2.default"
    engine.answers[first] = [b"again\n"]
    ended.set()
    assert [b"again"] in [read.lines for read in until(logs, lambda found: any(r.lines == [b"again"] for r in found))]
    again = [options for container, options in engine.asked if container == first][1]
    assert again["since"] <= time.time()
    logs.close()


def test_an_engine_that_is_away_is_waited_for() -> None:
    def away() -> discovery.View:
        raise LabError("Docker: away")

    logs = ContainerLogs(Engine({}), away, back=70, follow=True)  # type: ignore[arg-type]
    assert logs.poll() == []


def test_too_much_is_skipped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_logs, "MAX_WAITING_LINES", 10)
    view = mesh(*pod("reviews-v1"))
    engine = Engine({proxy_id(view, "reviews-v1"): [b"%d\n" % n for n in range(25)]})
    logs = ContainerLogs(engine, lambda: view, back=70, follow=False)  # type: ignore[arg-type]
    assert [line for read in logs.poll() for line in read.lines] == [b"%d" % n for n in range(15, 25)]
    assert logs.skipped == 15
