"""What every source must do (controlplane/sources/base.py). Subclass `SourceContract` and give it a `Platform`."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence

import pytest

from controlplane.sources.base import REGISTRY_KINDS, Change, Delete, Source, Upsert
from lugsail.api.base import Resource, ResourceKey


class RecordingSink:
    """Keeps every call, and plays them into a table as the registry would."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []
        self.table: dict[ResourceKey, Resource] = {}
        self.warnings: tuple[str, ...] = ()

    def apply(self, changes: Sequence[Change]) -> None:
        self.calls.append(("apply", tuple(changes)))
        for change in changes:
            if isinstance(change, Upsert):
                self.table[change.key] = change.resource
            else:
                assert change.key in self.table, f"{change.key} is deleted but was never there"
                del self.table[change.key]

    def synced(self) -> None:
        self.calls.append(("synced", None))

    def failed(self, error: str) -> None:
        self.calls.append(("failed", error))

    def recovered(self) -> None:
        self.calls.append(("recovered", None))

    def warned(self, warnings: Sequence[str]) -> None:
        assert tuple(warnings) != self.warnings, "told again without a change"
        self.warnings = tuple(warnings)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    @property
    def batches(self) -> list[tuple[Change, ...]]:
        return [batch for name, batch in self.calls if name == "apply"]

    @property
    def errors(self) -> list[str]:
        return [text for name, text in self.calls if name == "failed"]


class Platform(ABC):
    """A platform that a test controls. Workloads are of service `reviews` in namespace `default`."""

    @abstractmethod
    def source(self) -> Source:
        """A source of this platform."""

    @abstractmethod
    def set(self, workloads: dict[str, str]) -> None:
        """Let exactly these run: name → address."""

    @abstractmethod
    def break_(self) -> str:
        """Make the platform unreadable; a part of the error text that is to be told."""

    @abstractmethod
    def mend(self) -> None:
        """Undo break_, with the workloads set last."""


async def until(condition, what: str, seconds: float = 3.0) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"{what}: not within {seconds} s"
        await asyncio.sleep(0.005)


def addresses(sink: RecordingSink) -> dict[str, str]:
    return {key.name: r.spec.address for key, r in sink.table.items() if key.kind == "WorkloadEntry"}


class SourceContract:
    """The tests. A subclass has a fixture `platform`."""

    @pytest.fixture
    async def run(self, platform: Platform):
        """Starts the platform's source; returns its sink."""
        tasks = []

        def start() -> RecordingSink:
            sink = RecordingSink()
            tasks.append(asyncio.create_task(platform.source().run(sink)))
            return sink

        yield start
        for task in tasks:
            assert not task.done(), f"run() ended by itself: {task}"
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def test_the_first_batch_is_complete_and_marked(self, platform, run):
        platform.set({"v1": "10.0.0.1", "v2": "10.0.0.2"})
        sink = run()
        await until(lambda: "synced" in sink.names, "synced")
        assert sink.names == ["apply", "synced"]
        assert addresses(sink) == {"v1": "10.0.0.1", "v2": "10.0.0.2"}
        assert {key.kind for key in sink.table} <= REGISTRY_KINDS

    async def test_nothing_is_complete_while_the_platform_cannot_be_read(self, platform, run):
        platform.set({"v1": "10.0.0.1"})
        text = platform.break_()
        sink = run()
        await until(lambda: sink.errors, "an error is told")
        assert sink.names == ["failed"] and text in sink.errors[0]
        platform.mend()
        await until(lambda: "recovered" in sink.names, "it recovers")
        assert sink.names == ["failed", "apply", "synced", "recovered"]

    async def test_later_batches_hold_only_what_changed(self, platform, run):
        platform.set({"v1": "10.0.0.1", "v2": "10.0.0.2"})
        sink = run()
        await until(lambda: "synced" in sink.names, "synced")
        platform.set({"v1": "10.0.0.1", "v2": "10.0.0.22", "v3": "10.0.0.3"})
        await until(lambda: len(addresses(sink)) == 3, "the new workload comes")
        changed = {change.key.name for batch in sink.batches[1:] for change in batch}
        assert changed == {"v2", "v3"}
        assert addresses(sink) == {"v1": "10.0.0.1", "v2": "10.0.0.22", "v3": "10.0.0.3"}

    async def test_what_stops_is_deleted(self, platform, run):
        platform.set({"v1": "10.0.0.1", "v2": "10.0.0.2"})
        sink = run()
        await until(lambda: "synced" in sink.names, "synced")
        platform.set({"v1": "10.0.0.1"})
        await until(lambda: addresses(sink) == {"v1": "10.0.0.1"}, "v2 goes")
        assert any(isinstance(change, Delete) for change in sink.batches[-1])

    async def test_an_error_deletes_nothing_and_what_changed_meanwhile_follows(self, platform, run):
        platform.set({"v1": "10.0.0.1", "v2": "10.0.0.2"})
        sink = run()
        await until(lambda: "synced" in sink.names, "synced")
        platform.break_()
        await until(lambda: sink.errors, "the error is told")
        assert addresses(sink) == {"v1": "10.0.0.1", "v2": "10.0.0.2"}
        platform.set({"v2": "10.0.0.2"})
        platform.mend()
        await until(lambda: "recovered" in sink.names, "it recovers")
        assert addresses(sink) == {"v2": "10.0.0.2"}
        assert sink.names.count("synced") == 1
