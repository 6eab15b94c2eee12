"""Reads fields of Kubernetes objects whose shape nobody has checked yet; errors name the place and the path."""

from __future__ import annotations

from typing import Any

from lugsail.api.errors import child_path


class BadWorkload(ValueError):
    """A workload that cannot be injected: file, document, kind/name, path, what is wrong and what would be right."""

    def __init__(self, where: str, path: str, found: Any, expected: str) -> None:
        self.where, self.path = where, path
        super().__init__(f"{where}: {path}: expected {expected}, found {_named(found)}")


def mapping_of(parent: dict[str, Any], field: str, where: str, *, path: str = "") -> dict[str, Any]:
    """The mapping in `field`; empty where there is none. `path` is the parent's path. Raises BadWorkload."""
    value = parent.get(field)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadWorkload(where, child_path(path, field), value, "a mapping")
    return value


def items_of(parent: dict[str, Any], field: str, where: str, *, path: str = "") -> list[dict[str, Any]]:
    """The list of mappings in `field`; empty where there is none. Raises BadWorkload."""
    value = parent.get(field)
    if value is None:
        return []
    here = child_path(path, field)
    if not isinstance(value, list):
        raise BadWorkload(where, here, value, "a list")
    for position, item in enumerate(value):
        if not isinstance(item, dict):
            raise BadWorkload(where, child_path(here, position), item, "a mapping")
    return value


def texts_of(parent: dict[str, Any], field: str, where: str, *, path: str = "") -> dict[str, str]:
    """Labels or annotations: a mapping of text. Raises BadWorkload, also for numbers and booleans without quotes."""
    found = mapping_of(parent, field, where, path=path)
    for name, value in found.items():
        if not isinstance(value, str):
            here = child_path(child_path(path, field), name)
            raise BadWorkload(where, here, value, f'text; put it in quotes: "{_plain(value)}"')
    return found


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)[:40]


def _named(value: Any) -> str:
    kinds: dict[type, str] = {dict: "a mapping", list: "a list", str: "text", type(None): "nothing"}
    return kinds.get(type(value), f"{_plain(value)}")
