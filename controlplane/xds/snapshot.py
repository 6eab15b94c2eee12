"""The current mesh snapshot, and what a change makes of it.

The snapshot stays the last good one when a rebuild raises. Nothing is served before the store and every registry
source have given their first complete list.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from controlplane.xds.connection import Push
from controlplane.xds.observer import XdsObserver
from controlplane.xds.push_queue import Change
from controlplane.xds.status import StatusBoard
from controlplane.xds.type_urls import PUSH_ORDER
from lugsail.api.base import Resource

log = logging.getLogger(__name__)

ALL_TYPES = frozenset(PUSH_ORDER)


class SnapshotKeeper:
    """`build(resources, registry, previous)` makes a snapshot; `affected(before, after)`: types that can differ."""

    def __init__(
        self,
        read_resources: Callable[[], Iterable[Resource]],
        read_registry: Callable[[], Iterable[Resource]],
        build: Callable[[Iterable[Resource], Iterable[Resource], Any], Any],
        affected: Callable[[Any, Any], frozenset[str]],
        board: StatusBoard,
        observer: XdsObserver,
        clock: Callable[[], float],
    ) -> None:
        self._read_resources = read_resources
        self._read_registry = read_registry
        self._build = build
        self._affected = affected
        self._board = board
        self._observer = observer
        self._clock = clock
        self.current: Push | None = None

    def rebuild(self, change: Change, force: bool = False) -> Push | None:
        """A push of what the change made; None when no snapshot could be built (the last good one stays)."""
        started = self._clock()
        previous = self.current.snapshot if self.current is not None else None
        try:
            snapshot = self._build(self._read_resources(), self._read_registry(), previous)
        except Exception as error:
            log.exception("no snapshot of revision %d: the last good one stays in force", change.revision)
            self._observer.snapshot_failed()
            self._board.build_failed(change.revision, f"{type(error).__name__}: {error}")
            return None
        self._board.build_succeeded()
        self._observer.snapshot_built(self._clock() - started)
        # Compared with what was served last: it includes what an earlier, failed rebuild should have brought.
        types = ALL_TYPES if force else self._affected(previous, snapshot)
        push = Push(snapshot, change.revision, types, change.first_at, self._clock(), force)
        self.current = push
        return push
