"""The loop of automatic injection, against an Engine in memory."""

import asyncio
import logging
import queue
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from docker.errors import DockerException

from controlplane.injector import automatic
from controlplane.injector.automatic import Address, AutomaticInjector
from controlplane.injector.container import ContainerSpec, Rules, Seen, World
from controlplane.injector.engine import InjectionFailed, Own
from tests.controlplane.injector.worlds import NETWORK, seen

ASKS = {"lugsail.io/inject": "true"}


class FakeEngine:
    """Containers by name. `problem` is what the next creations and inits meet; `created` counts attempts."""

    def __init__(self) -> None:
        self.containers: dict[str, Seen] = {}
        self.problem = ""
        self.init_problem = ""
        self.created: list[ContainerSpec] = []
        self.own: Own | None = None
        self.opened = 0
        self.broken = False
        self._streams: list[queue.Queue[Any]] = []

    def open(self) -> Any:
        self.opened += 1
        if self.broken:
            raise DockerException("cannot connect")
        return self

    def world(self) -> World:
        if self.broken:
            raise DockerException("gone")
        return World(tuple(self.containers.values()))

    def events(self) -> Any:
        source: queue.Queue[Any] = queue.Queue()
        self._streams.append(source)
        return _Stream(source)

    def create(self, spec: ContainerSpec) -> str:
        self.created.append(spec)
        if self.problem:
            raise InjectionFailed(self.problem)
        assert spec.name not in self.containers, "Docker refuses a name that is taken"
        self.put(seen(spec.name, dict(spec.labels), mode=spec.network_mode, networks={}))
        return f"id-{spec.name}"

    def finish(self, identity: str, name: str) -> None:
        self.remove(identity)
        if self.init_problem:
            raise InjectionFailed(self.init_problem)

    def remove(self, identity: str) -> None:
        self.containers.pop(identity.removeprefix("id-"), None)
        self._say()

    def own_container(self) -> Own | None:
        return self.own

    def gateway(self, network: str) -> str:
        return "10.1.0.1" if network == NETWORK else ""

    def close(self) -> None:
        pass

    # What people and the daemon do

    def put(self, container: Seen) -> None:
        self.containers[container.container.name] = container
        self._say()

    def end_streams(self) -> None:
        for each in self._streams:
            each.put(None)

    def _say(self) -> None:
        for each in self._streams:
            each.put({"Action": "start"})


class _Stream:
    """Events as the SDK gives them; `close` ends it from another thread."""

    def __init__(self, source: "queue.Queue[Any]") -> None:
        self._source = source

    def __iter__(self) -> Iterator[Any]:
        return iter(self._source.get, None)

    def close(self) -> None:
        self._source.put(None)


@asynccontextmanager
async def running(engine: FakeEngine, listen: str = "10.9.9.9", discovery: str = "") -> AsyncIterator[None]:
    injector = AutomaticInjector(Rules("cp"), Address(listen, 15010, discovery), engine.open)
    task = asyncio.create_task(injector.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  the condition is about other code
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automatic, "RETRY_S", (0.02, 0.1))
    monkeypatch.setattr(automatic, "RECONNECT_S", (0.01, 0.05))
    # Longer than any test: what a test sees came from an event or a retry.
    monkeypatch.setattr(automatic, "LOOK_EVERY_S", 60.0)


def discovery_of(engine: FakeEngine) -> str:
    command = engine.created[-1].command
    return command[command.index("--discovery") + 1]


async def test_an_app_gets_its_sidecar_and_loses_it() -> None:
    engine = FakeEngine()
    async with running(engine):
        await until(lambda: engine.opened == 1)
        engine.put(seen("web", ASKS))
        await until(lambda: "web-proxy" in engine.containers)
        assert [spec.role for spec in engine.created] == ["init", "proxy"]
        assert "web-init" not in engine.containers
        engine.put(seen("web", ASKS, status="exited"))
        await until(lambda: "web-proxy" not in engine.containers)


async def test_a_restarted_app_gets_another_sidecar() -> None:
    engine = FakeEngine()
    engine.put(seen("web", ASKS))
    async with running(engine):
        await until(lambda: "web-proxy" in engine.containers)
        engine.put(seen("web", ASKS, started="2026-11-21T11:00:00Z"))
        await until(lambda: len(engine.created) == 4)
        await until(lambda: "web-proxy" in engine.containers)
        labels = engine.containers["web-proxy"].container.label_map
        assert labels["lugsail.io/pod-started"] == "2026-11-21T11:00:00Z"


async def test_a_new_control_plane_adopts_what_it_finds() -> None:
    engine = FakeEngine()
    engine.put(seen("web", ASKS))
    async with running(engine):
        await until(lambda: "web-proxy" in engine.containers)
    assert "web-proxy" in engine.containers
    async with running(engine):
        await until(lambda: engine.opened == 2)
        engine.put(seen("other", ASKS))
        await until(lambda: "other-proxy" in engine.containers)
    assert [spec.name for spec in engine.created].count("web-proxy") == 1


async def test_a_failure_is_told_with_the_fix_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    engine = FakeEngine()
    engine.problem = "the Engine has no image lugsail/planes; build it with `make images`"
    engine.put(seen("web", ASKS))
    async with running(engine):
        await until(lambda: len(engine.created) >= 3)
        assert "container web gets no sidecar: the Engine has no image lugsail/planes; build it" in caplog.text
        engine.problem = ""
        await until(lambda: "web-proxy" in engine.containers)


async def test_without_its_rules_an_app_gets_no_sidecar_either(caplog: pytest.LogCaptureFixture) -> None:
    engine = FakeEngine()
    engine.init_problem = "container web-init could not write the rules (exit code 1): no iptables"
    engine.put(seen("web", ASKS))
    async with running(engine):
        await until(lambda: len(engine.created) >= 2)
        assert {spec.role for spec in engine.created} == {"init"}
        assert "no iptables" in caplog.text


async def test_a_sidecar_that_dies_at_once_is_not_made_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automatic, "RETRY_S", (0.3, 0.3))
    engine = FakeEngine()
    engine.put(seen("web", ASKS))
    async with running(engine):
        await until(lambda: "web-proxy" in engine.containers)
        first = asyncio.get_running_loop().time()
        engine.remove("id-web-proxy")
        await until(lambda: "web-proxy" in engine.containers)
        assert asyncio.get_running_loop().time() - first >= 0.25


async def test_the_daemon_may_go_and_come_back() -> None:
    engine = FakeEngine()
    engine.broken = True
    async with running(engine):
        await until(lambda: engine.opened >= 3)
        engine.broken = False
        engine.put(seen("web", ASKS))
        await until(lambda: "web-proxy" in engine.containers)
        before = engine.opened
        engine.end_streams()
        await until(lambda: engine.opened > before)
        engine.put(seen("late", ASKS))
        await until(lambda: "late-proxy" in engine.containers)


async def test_how_sidecars_find_the_control_plane() -> None:
    for listen, discovery, expected in (
        ("10.9.9.9", "", "10.9.9.9:15010"),
        ("0.0.0.0", "", "10.1.0.1:15010"),  # noqa: S104  what a control plane may be told
        ("127.20.0.1", "mesh.example:15010", "mesh.example:15010"),
    ):
        engine = FakeEngine()
        engine.put(seen("web", ASKS))
        async with running(engine, listen, discovery):
            await until(lambda engine=engine: "web-proxy" in engine.containers)  # type: ignore[misc]
        assert discovery_of(engine) == expected


async def test_a_control_plane_in_a_container_is_found_by_name_in_a_shared_network(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = FakeEngine()
    engine.own = Own({NETWORK: "control-plane"}, "")
    engine.put(seen("far", ASKS, networks={"elsewhere": "net-2"}))
    engine.put(seen("web", ASKS))
    async with running(engine):
        await until(lambda: "web-proxy" in engine.containers)
    assert discovery_of(engine) == "control-plane:15010"
    assert "far-proxy" not in engine.containers
    assert caplog.text.count("container far gets no sidecar: it is in no network of the control plane") == 1


async def test_a_control_plane_of_a_project_is_known_by_it_and_injects_there_alone() -> None:
    engine = FakeEngine()
    engine.own = Own({NETWORK: "control-plane"}, "shop", "control-plane")
    engine.put(seen("stranger", ASKS))
    engine.put(seen("web", {**ASKS, "com.docker.compose.project": "shop"}))
    async with running(engine):
        await until(lambda: "web-proxy" in engine.containers)
    assert engine.containers["web-proxy"].container.label_map["lugsail.io/injected-by"] == "shop.control-plane"
    assert "stranger-proxy" not in engine.containers


async def test_a_control_plane_on_loopback_says_that_nobody_can_reach_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    engine = FakeEngine()
    engine.put(seen("web", ASKS))
    async with running(engine, "127.20.0.1"):
        await until(lambda: "which containers cannot reach" in caplog.text)
    assert engine.created == []
