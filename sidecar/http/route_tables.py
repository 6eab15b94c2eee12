"""The route tables by name: what RDS brings, and who uses it. Swapping a table is setting one reference."""

from __future__ import annotations

from collections.abc import Callable

from sidecar.config.routes import RouteConfiguration
from sidecar.router.match import RouteTable


class RouteSlot:
    """Where a connection manager finds its table; None until the first update (the listener waits until then)."""

    __slots__ = ("removed", "table", "waiting")

    def __init__(self, table: RouteTable | None = None) -> None:
        self.table = table
        self.waiting: list[Callable[[], None]] = []
        self.removed = False


class RouteTables:
    """Requests in flight keep the route they have; the next ones read the new table."""

    def __init__(self) -> None:
        self._slots: dict[str, RouteSlot] = {}

    def update(self, configuration: RouteConfiguration) -> None:
        """A new version of a route configuration; listeners that wait for it go on."""
        slot = self.slot(configuration.name)
        slot.table = RouteTable(configuration, slot.table)
        slot.removed = False
        waiting, slot.waiting = slot.waiting, []
        for ready in waiting:
            ready()

    def remove(self, name: str) -> None:
        """Nobody wants it any more. Connections that drain keep the last version; a new listener waits for the next."""
        slot = self._slots.get(name)
        if slot is not None:
            slot.removed = True

    def slot(self, name: str) -> RouteSlot:
        """The slot of a name, made when it is first asked for."""
        found = self._slots.get(name)
        if found is None:
            found = self._slots[name] = RouteSlot()
        return found

    @property
    def tables(self) -> dict[str, RouteTable]:
        """Every table there is, by name."""
        return {name: slot.table for name, slot in self._slots.items() if slot.table and not slot.removed}
