"""Refusing configuration: where in a resource, what is wrong. What the proxy cannot honour it must not accept."""

from __future__ import annotations

from typing import NoReturn


class Rejected(Exception):
    """A resource the proxy will not run; its text goes into the NACK.

    `resource` is the resource's name, `path` the field inside it (proto names, `virtual_hosts[0].routes[2].match`).
    """

    def __init__(self, resource: str, path: str, reason: str) -> None:
        super().__init__(f"{resource}: {path}: {reason}" if path else f"{resource}: {reason}")
        self.resource = resource
        self.path = path
        self.reason = reason


class At:
    """A place in a resource: `at.field("routes", 2)`. The text of the path is only built when something is refused."""

    __slots__ = ("_parent", "_segment", "resource")

    def __init__(self, resource: str, segment: str = "", parent: At | None = None) -> None:
        self.resource = resource
        self._segment = segment
        self._parent = parent

    def field(self, name: str, index: int | str | None = None) -> At:
        """The place of a field below; `index` is a position in a list or a key of a map."""
        return At(self.resource, name if index is None else f"{name}[{index}]", self)

    @property
    def path(self) -> str:
        """The dotted path from the resource down to here."""
        segments: list[str] = []
        place: At | None = self
        while place is not None:
            if place._segment:
                segments.append(place._segment)
            place = place._parent
        return ".".join(reversed(segments))

    def reject(self, reason: str) -> NoReturn:
        """Raise Rejected for this place."""
        raise Rejected(self.resource, self.path, reason)
