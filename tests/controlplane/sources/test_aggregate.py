"""Several sources as one registry."""

import asyncio
from collections.abc import Sequence

from controlplane.sources import aggregate
from controlplane.sources.aggregate import Registry
from controlplane.sources.base import Change, Delete, Sink, Upsert
from controlplane.sources.static_file import parse_registry
from lugsail.api.base import Resource
from tests.controlplane.sources.contract import until
from tests.controlplane.sources.test_static_file import workload


class Script:
    """A source that a test speaks for."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sink: Sink | None = None
        self.runs = 0
        self.fail = False

    async def run(self, sink: Sink) -> None:
        self.sink = sink
        self.runs += 1
        if self.fail:
            raise OSError("no such platform")
        await asyncio.Event().wait()


def entry(name: str, address: str) -> Resource:
    return next(iter(parse_registry(workload(name, address), "f").values()))


class Bench:
    def __init__(self, *names: str) -> None:
        self.scripts = [Script(name) for name in names]
        self.changes: list[frozenset[str]] = []
        self.registry = Registry(self.scripts, self.changes.append)

    async def __aenter__(self) -> "Bench":
        self.task = asyncio.create_task(self.registry.run())
        await until(lambda: all(s.sink for s in self.scripts), "the sources run")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def say(self, index: int, *changes: Change) -> None:
        self.scripts[index].sink.apply(changes)

    def addresses(self) -> dict[str, str]:
        return {r.name: r.spec.address for r in self.registry.resources()}


def upserts(*pairs: tuple[str, str]) -> Sequence[Change]:
    return [Upsert(entry(name, address)) for name, address in pairs]


async def test_complete_once_every_source_is():
    async with Bench("a", "b") as bench:
        bench.say(0, *upserts(("x", "1.1.1.1")))
        bench.scripts[0].sink.synced()
        assert not bench.registry.complete.is_set() and bench.changes == []
        assert bench.registry.waiting_for() == ["b: no complete list yet"]
        bench.say(1)
        bench.scripts[1].sink.synced()
        assert bench.registry.complete.is_set()
        assert bench.changes == [frozenset({"WorkloadEntry"})]
        assert bench.registry.waiting_for() == []


async def test_every_later_batch_is_told():
    async with Bench("a") as bench:
        bench.say(0)
        bench.scripts[0].sink.synced()
        bench.changes.clear()
        bench.say(0, *upserts(("x", "1.1.1.1")))
        bench.say(0, Delete(entry("x", "1.1.1.1").key))
        assert bench.changes == [frozenset({"WorkloadEntry"})] * 2 and len(bench.registry) == 0


async def test_the_source_listed_first_wins_and_the_next_takes_over():
    async with Bench("a", "b") as bench:
        bench.say(1, *upserts(("x", "2.2.2.2")))
        bench.say(0, *upserts(("x", "1.1.1.1")))
        assert bench.addresses() == {"x": "1.1.1.1"}
        bench.say(0, Delete(entry("x", "1.1.1.1").key))
        assert bench.addresses() == {"x": "2.2.2.2"}


async def test_errors_are_kept_until_recovery_and_delete_nothing(caplog):
    async with Bench("a") as bench:
        bench.say(0, *upserts(("x", "1.1.1.1")))
        bench.scripts[0].sink.synced()
        bench.scripts[0].sink.failed("f.yaml:3: broken")
        assert bench.registry.errors() == {"a": "f.yaml:3: broken"}
        assert bench.addresses() == {"x": "1.1.1.1"}
        assert "f.yaml:3: broken" in caplog.text
        bench.scripts[0].sink.recovered()
        assert bench.registry.errors() == {}


async def test_a_source_that_raises_is_started_again(monkeypatch):
    monkeypatch.setattr(aggregate, "RESTART_WAIT_S", 0.001)
    bench = Bench("a", "b")
    bench.scripts[0].fail = True
    async with bench:
        await until(lambda: bench.scripts[0].runs > 2, "it is started again")
        assert bench.registry.errors() == {"a": "OSError: no such platform"}
        assert bench.scripts[1].runs == 1


async def test_without_sources_the_registry_is_complete():
    async with Bench() as bench:
        await until(bench.registry.complete.is_set, "complete")
