"""`labelSelector` and `fieldSelector` of a list or watch: the equality forms. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from controlplane.apiserver.errors import ApiError
from controlplane.apiserver.storage import Stored

Selector = Callable[[Stored], bool]


def parse_selectors(query: Mapping[str, str]) -> Selector:
    """A predicate from the query's `labelSelector` and `fieldSelector`. Raises ApiError 400."""
    labels = [_requirement(part) for part in _parts(query.get("labelSelector", ""))]
    fields = [_requirement(part) for part in _parts(query.get("fieldSelector", ""))]
    for field, _, _ in fields:
        if field not in ("metadata.name", "metadata.namespace"):
            raise ApiError(400, f"fieldSelector: {field} is not supported; metadata.name and metadata.namespace are")

    def matches(stored: Stored) -> bool:
        own = stored.resource.metadata.labels
        where = {"metadata.name": stored.key.name, "metadata.namespace": stored.key.namespace}
        return _all(labels, own) and _all(fields, where)

    return matches


Requirement = tuple[str, str | None, bool]  # name, value (None: is there at all), wanted


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _requirement(part: str) -> Requirement:
    for operator, wanted in (("!=", False), ("==", True), ("=", True)):
        name, found, value = part.partition(operator)
        if found:
            return (name.strip(), value.strip(), wanted)
    if any(c in part for c in "() "):
        raise ApiError(400, f"selector {part!r} is not supported; write name=value, name!=value, name or !name")
    return (part.removeprefix("!"), None, not part.startswith("!"))


def _all(requirements: list[Requirement], values: Mapping[str, str]) -> bool:
    for name, value, wanted in requirements:
        holds = name in values if value is None else values.get(name) == value
        if holds != wanted:
            return False
    return True
