"""The contract between a platform adapter and the control plane.

A source says which services and workloads its platform runs, as typed ServiceEntry and WorkloadEntry resources, by
upserts and deletes. What it guarantees, and what the shared contract test checks:

1. The first `apply` holds the complete first list, and `synced` follows it once. Nobody serves before that.
2. Later batches hold only what changed: an upsert whose resource is equal to the last one is not sent.
3. A delete names a key that was upserted before.
4. An error never deletes: `failed` says what is wrong, and what was sent last stays in force. The next good read
   sends what changed meanwhile and `recovered`.
5. `run` ends only by cancellation. It reconnects, retries and backs off by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lugsail.api.base import Resource, ResourceKey

# What a source may emit.
REGISTRY_KINDS = frozenset({"ServiceEntry", "WorkloadEntry"})


@dataclass(frozen=True, slots=True)
class Upsert:
    """The resource is there now, with this content."""

    resource: Resource

    @property
    def key(self) -> ResourceKey:
        return self.resource.key


@dataclass(frozen=True, slots=True)
class Delete:
    """The resource is gone."""

    key: ResourceKey


Change = Upsert | Delete


class Sink(Protocol):
    """Where one source reports. Calls are synchronous, from the event loop's thread."""

    def apply(self, changes: Sequence[Change]) -> None:
        """These changes, atomically. Never empty, except for a first list that has nothing in it."""

    def synced(self) -> None:
        """The first complete list has been applied."""

    def failed(self, error: str) -> None:
        """What was applied last stays in force; `error` names the place, what is wrong and what would be right."""

    def recovered(self) -> None:
        """The last failure is over."""

    def warned(self, warnings: Sequence[str]) -> None:
        """All that is left out or without effect now, a line each; the rest is as it should be. Empty: nothing is."""


class Source(Protocol):
    """A platform adapter. `name` is for people: logs, /ready, debug pages."""

    @property
    def name(self) -> str: ...

    async def run(self, sink: Sink) -> None:
        """Report to the sink until cancelled."""
        ...


def difference(before: Mapping[ResourceKey, Resource], after: Mapping[ResourceKey, Resource]) -> Iterable[Change]:
    """The changes that turn one complete list into the next, upserts first (a reader never sees a gap)."""
    for key, resource in after.items():
        if before.get(key) != resource:
            yield Upsert(resource)
    for key in before:
        if key not in after:
            yield Delete(key)
