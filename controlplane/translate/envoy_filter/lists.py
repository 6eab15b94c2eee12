"""Patches of lists of named things: filters in a chain, routes in a virtual host, virtual hosts, chains."""

from collections.abc import Callable, Iterable
from typing import Any

from controlplane.translate.envoy_filter.merge import merge, parse
from controlplane.translate.envoy_filter.select import Patch


def patch_list(
    items: list[Any], patches: Iterable[Patch], message_class: Any, anchored: Callable[[Patch, Any], bool]
) -> list[Any]:
    """The list after the patches. `anchored`: whether an item is the one that a patch's match names.

    INSERT_BEFORE and INSERT_AFTER without an item to stand beside do nothing; where the match names none, every item
    is the one, so they insert first and last. Raises BadPatch.
    """
    for patch in patches:
        items = _patch(items, patch, message_class, anchored)
    return items


def _patch(
    items: list[Any], patch: Patch, message_class: Any, anchored: Callable[[Patch, Any], bool]
) -> list[Any]:
    operation = patch.operation
    if operation == "REMOVE":
        return [item for item in items if not anchored(patch, item)]
    value = parse(message_class, patch.value)
    if operation == "ADD":
        return [*items, value]
    if operation == "INSERT_FIRST":
        return [value, *items]
    if operation == "MERGE":
        for item in items:
            if anchored(patch, item):
                merge(item, value)
        return items
    if operation == "REPLACE":
        return [value if anchored(patch, item) else item for item in items]
    places = [index for index, item in enumerate(items) if anchored(patch, item)]
    if places and operation == "INSERT_BEFORE":
        return [*items[: places[0]], value, *items[places[0] :]]
    if places and operation == "INSERT_AFTER":
        return [*items[: places[-1] + 1], value, *items[places[-1] + 1 :]]
    return items


def replace_all(field: Any, items: list[Any]) -> None:
    """Put the items into a repeated field."""
    kept = [_copy(item) for item in items]
    del field[:]
    field.extend(kept)


def _copy(item: Any) -> Any:
    copy = type(item)()
    copy.CopyFrom(item)
    return copy
