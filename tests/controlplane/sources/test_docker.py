"""The Docker source against a played Engine: the source contract, and what is Docker's own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.controlplane.sources.contract import Platform, RecordingSink, SourceContract, addresses, until
from tests.controlplane.sources.engine import NETWORK, FakeEngine, Json, Readiness, placed, plain, pod, source_of


@pytest.fixture
async def engine(tmp_path: Path):
    made = await FakeEngine(tmp_path / "docker.sock").start()
    yield made
    await made.stop()


class Docker(Platform):
    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self._made: dict[str, Json] = {}

    def source(self):
        return source_of(self.engine)

    def set(self, workloads: dict[str, str]) -> None:
        for name in self._made.keys() - workloads.keys():
            self.engine.remove(self._made.pop(name))
        for name, address in workloads.items():
            if name not in self._made:
                self._made[name] = plain(name, address)
                self.engine.add(self._made[name])
            elif address != self._address(name):
                self.engine.restart(self._made[name], address)

    def _address(self, name: str) -> str:
        return self._made[name]["NetworkSettings"]["Networks"]["bookinfo_default"]["IPAddress"]

    def break_(self) -> str:
        self.engine.go_down()
        return f"Docker Engine {self.engine.host}: "

    def mend(self) -> None:
        self.engine.come_back()


class TestContract(SourceContract):
    @pytest.fixture
    async def platform(self, engine: FakeEngine) -> Docker:
        return Docker(engine)

    async def test_a_socket_that_is_not_there_is_told_and_awaited(self, tmp_path, run):
        class Late(Docker):
            pass

        engine = FakeEngine(tmp_path / "late.sock")
        engine.add(plain("v1"))
        sink = RecordingSink()
        task = asyncio.create_task(source_of(engine).run(sink))
        try:
            await until(lambda: sink.errors, "told")
            assert f"{engine.host}: No such file or directory" in sink.errors[0]
            await engine.start()
            await until(lambda: "recovered" in sink.names, "it recovers")
            assert sink.names == ["failed", "apply", "synced", "recovered"]
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await engine.stop()


def healthy(sink: RecordingSink) -> dict[str, bool]:
    """Workload → whether it takes traffic."""
    return {
        key.name: r.status["conditions"][0]["status"] == "True"
        for key, r in sink.table.items()
        if key.kind == "WorkloadEntry"
    }


class Running:
    """A source at work, with its sink and the probe that answers for its containers."""

    def __init__(self, engine: FakeEngine, **changes) -> None:
        self.engine = engine
        self.probe = Readiness()
        self.sink = RecordingSink()
        self._source = source_of(engine, self.probe, **changes)

    async def __aenter__(self) -> Running:
        self._task = asyncio.create_task(self._source.run(self.sink))
        await until(lambda: "synced" in self.sink.names, "synced", 5.0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert not self._task.done(), self._task
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def shows(self, **expected: bool) -> None:
        await until(lambda: healthy(self.sink) == expected, f"{expected}, but {healthy(self.sink)}")

    async def quiet(self) -> None:
        """Everything that was told has been looked at: a new container, told last, has come and gone."""
        probe = plain("last-told", "10.9.9.9", app="last")
        self.engine.add(probe)
        await until(lambda: "last-told" in healthy(self.sink), "the last event is heard")
        self.engine.remove(probe)
        await until(lambda: "last-told" not in healthy(self.sink), "the last event is heard")


async def test_what_docker_says_of_a_container_decides_on_its_traffic(engine):
    web = plain("v1")
    engine.add(web)
    async with Running(engine) as run:
        await run.shows(v1=True)
        engine.pause(web)
        await run.shows(v1=False)
        engine.unpause(web)
        await run.shows(v1=True)
        engine.health(web, "unhealthy")
        await run.shows(v1=False)
        engine.health(web, "healthy")
        await run.shows(v1=True)
        assert len(run.probe.asked) == 1, "it never started anew, and so is not asked anew"
        engine.disconnect(web)
        await run.shows()
        placed(web, "10.0.0.7")
        engine.emit_network("connect", web)
        await run.shows(v1=True)
        assert addresses(run.sink) == {"v1": "10.0.0.7"}
        engine.die(web)
        await run.shows()
        assert [key.name for key in run.sink.table] == ["reviews"], "the service stays while its containers exist"
        engine.remove(web)
        await until(lambda: not run.sink.table, "the service goes with its last container")


async def test_a_container_takes_traffic_once_it_was_ready_since_its_start(engine):
    web = plain("v1")
    async with Running(engine) as run:
        run.probe.refused.add("10.0.0.1")
        engine.add(web)
        await run.shows(v1=False)
        run.probe.refused.clear()
        await run.shows(v1=True)
        run.probe.refused.add("10.0.0.1")
        engine.restart(web)
        await run.shows(v1=False)
        run.probe.refused.clear()
        await run.shows(v1=True)


async def test_the_first_list_waits_for_those_who_are_ready(engine):
    engine.add(plain("v1", "10.0.0.1"), plain("v2", "10.0.0.2"))
    run = Running(engine)
    run.probe.refused.add("10.0.0.2")
    async with run:
        assert run.sink.names[:2] == ["apply", "synced"]
        first = {c.resource.name: c.resource.status for c in run.sink.batches[0] if c.key.kind == "WorkloadEntry"}
        assert first["v1"]["conditions"][0]["status"] == "True"
        assert first["v2"]["conditions"][0]["status"] == "False"


async def test_a_pod_is_its_containers(engine):
    containers = pod("reviews-v3")
    async with Running(engine) as run:
        engine.add(containers["pod"])
        await run.shows(**{"reviews-v3": False})
        assert run.probe.asked == [], "there is no sidecar that could be asked yet"
        engine.add(containers["init"])
        engine.die(containers["init"])
        engine.add(containers["proxy"], containers["app"])
        await run.shows(**{"reviews-v3": True})
        assert (run.probe.asked[-1].http_port, run.probe.asked[-1].path) == (15020, "/healthz/ready?ports=9080")
        for role in ("proxy", "app"):
            engine.die(containers[role])
            await run.shows(**{"reviews-v3": False})
            engine.restart(containers[role])
            await run.shows(**{"reviews-v3": True})
            engine.pause(containers[role])
            await run.shows(**{"reviews-v3": False})
            engine.unpause(containers[role])
            await run.shows(**{"reviews-v3": True})
        engine.remove(containers["proxy"])
        await run.shows(**{"reviews-v3": False})


async def test_an_end_counts_at_once_though_the_engine_cannot_say_more_yet(engine):
    web = plain("v1")
    engine.add(web)
    async with Running(engine) as run:
        engine.unlocked.clear()
        engine.restart(web, "10.0.0.9")
        await run.shows()
        engine.unlocked.set()
        await run.shows(v1=True)
        assert addresses(run.sink) == {"v1": "10.0.0.9"}


async def test_one_that_is_told_to_stop_gets_no_more_traffic_before_it_has_ended(engine):
    web = plain("v1")
    engine.add(web)
    async with Running(engine) as run:
        engine.signal(web, 1)  # HUP: often "read your settings anew"
        await run.quiet()
        assert healthy(run.sink) == {"v1": True}
        engine.signal(web, 15)
        await run.shows(v1=False)
        await run.quiet()
        assert healthy(run.sink) == {"v1": False}, "an inspection says that it still runs"
        engine.restart(web)
        await run.shows(v1=True)


async def test_one_container_that_is_locked_keeps_no_other_waiting(engine):
    slow, quick = plain("slow", "10.0.0.1"), plain("quick", "10.0.0.2")
    engine.add(slow, quick)
    async with Running(engine) as run:
        engine.unlocked.clear()
        engine.emit("rename", slow)
        await until(lambda: engine.asked[-1].endswith(f"{slow['Id']}/json"), "the locked one is asked for")
        engine.pause(quick)
        await run.shows(slow=True, quick=False)
        engine.unlocked.set()


async def test_an_old_end_told_again_ends_nothing(engine):
    web = plain("v1")
    engine.add(web)
    async with Running(engine) as run:
        before = len(run.sink.batches)
        event = {"Type": "container", "Action": "die", "Actor": {"ID": web["Id"], "Attributes": {}}, "timeNano": 1}
        for follower in engine._followers:
            follower.put_nowait(event)
        await run.quiet()
        assert not any("v1" in c.key for batch in run.sink.batches[before:] for c in batch)


async def test_the_list_now_and_then_finds_what_nobody_told_and_is_silent_otherwise(engine):
    engine.add(plain("v1"))
    async with Running(engine, resync_s=0.05) as run:
        lists = engine.asked.count("/v1.41/containers/json")
        await until(lambda: engine.asked.count("/v1.41/containers/json") > lists + 3, "it lists again")
        assert len(run.sink.batches) == 1
        untold = plain("v2", "10.0.0.2")
        engine.containers[untold["Id"]] = untold
        await run.shows(v1=True, v2=True)
        engine.remove(untold, quietly=True)
        await run.shows(v1=True)


async def test_a_container_that_cannot_be_described_is_told_and_asked_for_again(engine):
    broken, other = plain("broken", "10.0.0.1"), plain("other", "10.0.0.2")
    engine.add(broken, other)
    async with Running(engine) as run:
        engine.broken = {broken["Id"]}
        engine.emit("rename", broken)
        await until(lambda: run.sink.warnings, "told")
        assert run.sink.warnings[0].startswith("container broken: Docker Engine unix://")
        assert run.sink.warnings[0].endswith(": out of order; what was known of it holds")
        engine.pause(other)
        await run.shows(broken=True, other=False)
        engine.pause(broken)
        engine.broken = set()
        await run.shows(broken=False, other=False)
        await until(lambda: not run.sink.warnings, "the warning goes")
        assert not run.sink.errors


async def test_a_daemon_that_is_restarted_with_all_its_containers_loses_nothing(engine):
    first, second = plain("v1", "10.0.0.1"), plain("v2", "10.0.0.2")
    engine.add(first, second)
    async with Running(engine) as run:
        engine.go_down()
        await until(lambda: run.sink.errors, "told")
        engine.restart(first, "10.0.0.2")
        engine.restart(second, "10.0.0.1")
        engine.come_back()
        await until(lambda: "recovered" in run.sink.names, "it recovers")
        await run.shows(v1=True, v2=True)
        assert addresses(run.sink) == {"v1": "10.0.0.2", "v2": "10.0.0.1"}
        assert len(run.sink.errors) == 1


async def test_bad_labels_are_told_and_hurt_nobody_else(engine):
    engine.add(plain("v1"))
    async with Running(engine) as run:
        bad = plain("bad", "10.0.0.2", ports="http:99999")
        engine.add(bad, plain("huge", "10.0.0.3", ports="x" * 100_000), plain("odd", "10.0.0.4", ports="http:9081"))
        await until(lambda: len(run.sink.warnings) == 3, "told")
        text = "\n".join(run.sink.warnings)
        assert "container bad: label lugsail.io/ports: 'http:99999': '99999' is not a port from 1 to 65535" in text
        assert "container huge: label lugsail.io/ports is 100000 characters long" in text
        assert "container odd: label lugsail.io/ports gives service reviews of namespace default http:9081, but" in text
        await run.shows(v1=True)
        bad["Config"]["Labels"]["lugsail.io/ports"] = "http:9080"
        engine.restart(bad)
        await run.shows(v1=True, bad=True)
        assert len(run.sink.warnings) == 2


def itself(engine: FakeEngine, network: str = NETWORK) -> Json:
    own = placed(plain("control-plane", "10.0.0.99", **{"lugsail.io/role": "control-plane"}), "10.0.0.99", network)
    engine.containers[own["Id"]] = own
    return own


async def test_in_a_container_only_its_own_project_counts(engine):
    own = itself(engine)
    other = plain("v2", "10.0.0.2", **{"com.docker.compose.project": "other"})
    engine.add(plain("v1"), other)
    async with Running(engine, own_ids=lambda: ("0" * 64, own["Id"])) as run:
        engine.restart(other)
        await run.quiet()
        assert addresses(run.sink) == {"v1": "10.0.0.1"}
    async with Running(engine, own_ids=lambda: (own["Id"],), project="other") as run:
        assert addresses(run.sink) == {"v2": "10.0.0.2"}
    async with Running(engine, own_ids=lambda: (own["Id"],), everything=True) as run:
        assert addresses(run.sink) == {"v1": "10.0.0.1", "v2": "10.0.0.2"}


async def test_only_networks_that_the_control_plane_is_in_count(engine):
    own, far = itself(engine), placed(plain("far"), "10.7.0.1", "e" * 64)
    engine.add(plain("v1"), far)
    async with Running(engine, own_ids=lambda: (own["Id"],)) as run:
        assert addresses(run.sink) == {"v1": "10.0.0.1"}
        assert run.sink.warnings[0].startswith("container far: it has no address in a network that the control plane")
        own["NetworkSettings"]["Networks"]["far"] = {"NetworkID": "e" * 64, "IPAddress": "10.7.0.99"}
        engine.emit_network("connect", own)
        await run.shows(v1=True, far=True)
        assert run.sink.warnings == ()


async def test_replicas_are_workloads_of_one_service(engine):
    number = "com.docker.compose.container-number"
    engine.add(plain("web", "10.0.0.1"), plain("web", "10.0.0.2", **{number: "2"}))
    async with Running(engine) as run:
        await run.shows(**{"web": True, "web-2": True})
        engine.add(plain("web", "10.0.0.3", **{number: "3"}))
        await run.shows(**{"web": True, "web-2": True, "web-3": True})
