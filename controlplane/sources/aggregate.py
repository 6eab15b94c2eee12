"""All sources as one registry: complete once every source is, and readable at any time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from controlplane.sources.base import Change, Sink, Source, Upsert
from lugsail.api.base import Resource, ResourceKey

log = logging.getLogger(__name__)

RESTART_WAIT_S = 1.0


@dataclass(slots=True)
class SourceState:
    """What one source said so far."""

    name: str
    resources: dict[ResourceKey, Resource] = field(default_factory=dict)
    synced: bool = False
    error: str | None = None
    warnings: tuple[str, ...] = ()


class Registry:
    """Runs the sources. A key that two sources claim belongs to the one listed first.

    `changed(kinds)` is called after every batch once all are synced, and once with all kinds when they are.
    """

    def __init__(self, sources: Sequence[Source], changed: Callable[[frozenset[str]], None]) -> None:
        self._sources = tuple(sources)
        self._changed = changed
        self.states = [SourceState(source.name) for source in self._sources]
        self._merged: dict[ResourceKey, Resource] = {}
        self.complete = asyncio.Event()

    def resources(self) -> tuple[Resource, ...]:
        return tuple(self._merged.values())

    def __len__(self) -> int:
        return len(self._merged)

    def waiting_for(self) -> list[str]:
        """What is missing for a complete registry, a line per source, with its error where there is one."""
        return [f"{s.name}: {s.error or 'no complete list yet'}" for s in self.states if not s.synced]

    def errors(self) -> dict[str, str]:
        """Source → what is wrong with it now."""
        return {state.name: state.error for state in self.states if state.error}

    async def run(self) -> None:
        """Run every source until cancelled. One that breaks its promise and ends is started again."""
        async with asyncio.TaskGroup() as group:
            for source, state in zip(self._sources, self.states, strict=True):
                group.create_task(self._keep_running(source, _StateSink(self, state)))
            if not self._sources:
                self._check_complete()

    async def _keep_running(self, source: Source, sink: Sink) -> None:
        while True:
            try:
                await source.run(sink)
                log.error("%s ended by itself; it is started again", source.name)
            except Exception as error:
                log.exception("%s failed; it is started again", source.name)
                sink.failed(f"{type(error).__name__}: {error}")
            await asyncio.sleep(RESTART_WAIT_S)

    def apply(self, state: SourceState, changes: Sequence[Change]) -> None:
        """One source's batch."""
        kinds: set[str] = set()
        for change in changes:
            kinds.add(change.key.kind)
            if isinstance(change, Upsert):
                state.resources[change.key] = change.resource
            else:
                state.resources.pop(change.key, None)
            self._merge(change.key)
        if self.complete.is_set() and kinds:
            self._changed(frozenset(kinds))

    def mark_synced(self, state: SourceState) -> None:
        if not state.synced:
            state.synced = True
            log.info("%s: first complete list, %d resources", state.name, len(state.resources))
            self._check_complete()

    def _check_complete(self) -> None:
        if not self.complete.is_set() and all(state.synced for state in self.states):
            self.complete.set()
            self._changed(frozenset(key.kind for key in self._merged))

    def _merge(self, key: ResourceKey) -> None:
        for resource in self._claims(key):
            self._merged[key] = resource
            return
        self._merged.pop(key, None)

    def _claims(self, key: ResourceKey) -> Iterator[Resource]:
        for state in self.states:
            resource = state.resources.get(key)
            if resource is not None:
                yield resource


class _StateSink:
    """One source's view of the registry."""

    def __init__(self, registry: Registry, state: SourceState) -> None:
        self._registry = registry
        self._state = state

    def apply(self, changes: Sequence[Change]) -> None:
        self._registry.apply(self._state, changes)

    def synced(self) -> None:
        self._registry.mark_synced(self._state)

    def failed(self, error: str) -> None:
        self._state.error = error
        log.error("%s; what it said last stays in force", error)

    def recovered(self) -> None:
        self._state.error = None
        log.info("%s: good again", self._state.name)

    def warned(self, warnings: Sequence[str]) -> None:
        for warning in warnings:
            if warning not in self._state.warnings:
                log.warning("%s: %s", self._state.name, warning)
        self._state.warnings = tuple(warnings)
