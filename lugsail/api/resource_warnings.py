"""What a writer of a good resource should still be told: deprecated, ignored or unreachable parts."""

from collections.abc import Iterator
from typing import Any

from lugsail.api.base import ApiModel, Resource
from lugsail.api.errors import FieldError, child_path
from lugsail.api.support import RENAMED_VALUES, SUPPORT, Mark
from lugsail.api.validation.check import inspect


def warnings_for(resource: Resource) -> list[FieldError]:
    """Deprecated and ignored fields, those of the stock Envoy, then unreachable rules and the like."""
    return [*_of_fields(resource.spec, "spec"), *inspect(resource).warnings]


def _of_fields(model: ApiModel, path: str) -> Iterator[FieldError]:
    marks = SUPPORT.get(type(model), {})
    for name, info in type(model).model_fields.items():
        if name not in model.model_fields_set:
            continue
        value = getattr(model, name)
        json_name = info.alias or name
        here = child_path(path, json_name)
        mark = marks.get(json_name, Mark())
        if mark.state == "ignored":
            if value != info.get_default(call_default_factory=True):
                yield FieldError(here, f"is ignored: {mark.reason}")
            continue
        if mark.state == "envoy" and value != info.get_default(call_default_factory=True):
            yield FieldError(here, f"acts on the stock Envoy only: {mark.reason}")
            if not mark.replacement:
                continue
        if mark.replacement:
            yield FieldError(here, "is deprecated", f"use `{mark.replacement}`")
        yield from _of_value(model, json_name, value, here, mark)
        yield from _below(value, here)


def _of_value(model: ApiModel, json_name: str, value: Any, path: str, mark: Mark) -> Iterator[FieldError]:
    if not isinstance(value, str):
        return
    if value in mark.ignored_values:
        yield FieldError(path, f"{value} is ignored: {mark.ignored_values[value]}")
    if value.upper() in mark.envoy_values:
        yield FieldError(path, f"{value} acts on the stock Envoy only: {mark.envoy_values[value.upper()]}")
    renamed = RENAMED_VALUES.get(type(model), {}).get(json_name, {}).get(value)
    if renamed:
        yield FieldError(path, f"{value} is deprecated", f"write {renamed}")


def _below(value: Any, path: str) -> Iterator[FieldError]:
    if isinstance(value, ApiModel):
        yield from _of_fields(value, path)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _below(item, child_path(path, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _below(item, child_path(path, key))
