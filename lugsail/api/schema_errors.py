"""Turns pydantic's complaints into field errors: JSON paths, plain words, and the nearest known field."""

import difflib
from collections.abc import Iterator, Sequence
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lugsail.api.errors import FieldError, join_path
from lugsail.api.scalars import Duration

# How much of a refused value a message may show.
_SHOWN_VALUE_LIMIT = 60


def from_pydantic(error: ValidationError, root: type[BaseModel]) -> list[tuple[tuple[str | int, ...], FieldError]]:
    """Each complaint as (location, field error), in the order of the fields."""
    found = []
    for detail in error.errors(include_url=False):
        location = tuple(part for part in detail["loc"] if part != "[key]")
        found.append((location, _field_error(detail, location, root)))
    return found


def _field_error(detail: ErrorDetails, location: Sequence[str | int], root: type[BaseModel]) -> FieldError:
    path = join_path(location)
    kind, value = detail["type"], detail["input"]
    context: dict[str, Any] = detail.get("ctx", {})
    if kind == "extra_forbidden":
        return FieldError(path, f"unknown field `{location[-1]}`", _nearest(str(location[-1]), location[:-1], root))
    if kind == "missing":
        return FieldError(path, "is required")
    if kind == "literal_error":
        return _wrong_word(path, value, str(context.get("expected", "")))
    if kind == "duration":
        return FieldError(path, f"{context['reason']}", 'write a number with a unit, such as "0.5s", "10m" or "1h"')
    expected = _EXPECTED.get(kind)
    if expected is None:
        return FieldError(path, f"{detail['msg']}, not {_shown(value)}")
    if kind in ("greater_than_equal", "less_than_equal"):
        limit = context["ge"] if kind == "greater_than_equal" else context["le"]
        return FieldError(path, f"must be {expected} {limit}, not {_shown(value)}")
    hint = "quote it" if kind == "string_type" and isinstance(value, int | float) else ""
    if hint and _is_duration(location, root):
        hint = f'write a duration with its unit, such as "{value}s"'
    return FieldError(path, f"must be {expected}, not {_shown(value)}", hint)


_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "string_unicode": "text",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "tuple_type": "a list",
    "list_type": "a list",
    "greater_than_equal": "at least",
    "less_than_equal": "at most",
}
def _is_duration(location: Sequence[str | int], root: type[BaseModel]) -> bool:
    model = model_at(root, location[:-1])
    fields = model.model_fields.items() if model else ()
    info = next((info for name, info in fields if location[-1] in (name, info.alias)), None)
    return info is not None and Duration in get_args(info.annotation)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value) if isinstance(value, str) else f"the number {value}"
    return text if len(text) <= _SHOWN_VALUE_LIMIT else text[:_SHOWN_VALUE_LIMIT] + "…"


def _wrong_word(path: str, value: Any, expected: str) -> FieldError:
    words = [word for word in expected.replace(" or ", ", ").replace("'", "").split(", ") if word]
    near = difflib.get_close_matches(str(value).upper(), words, 1, 0.6)
    hint = f"did you mean {near[0]}?" if near else ""
    return FieldError(path, f"must be one of {', '.join(words)}, not {_shown(value)}", hint)


def _nearest(name: str, parent: Sequence[str | int], root: type[BaseModel]) -> str:
    """What the writer may have meant: a similar field here, or the place where a field of that name does belong."""
    model = model_at(root, parent)
    if model is None:
        return ""
    here = field_names(model)
    lowered = {field.lower(): field for field in here}
    near = difflib.get_close_matches(name.lower(), lowered, 1, 0.6)
    if near:
        return f"did you mean `{lowered[near[0]]}`?"
    elsewhere = sorted({owner for owner, field in all_fields(root) if field.rsplit(".", 1)[-1] == name})
    if elsewhere:
        return f"`{name}` belongs in `{elsewhere[0]}`"
    return "known here: " + ", ".join(f"`{field}`" for field in sorted(here))


def field_names(model: type[BaseModel]) -> list[str]:
    """JSON names of a model's fields."""
    return [info.alias or name for name, info in model.model_fields.items()]


def sub_model(annotation: Any) -> tuple[type[BaseModel] | None, str]:
    """The model inside an annotation and how it is held: "", "[]" (list) or "{}" (map)."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        found = [sub_model(arg) for arg in get_args(annotation) if arg is not type(None)]
        return next((hit for hit in found if hit[0]), found[0] if found else (None, ""))
    if origin in (tuple, list):
        return sub_model(get_args(annotation)[0])[0], "[]"
    if origin is dict:
        return sub_model(get_args(annotation)[1])[0], "{}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    return None, ""


def model_at(root: type[BaseModel], location: Sequence[str | int]) -> type[BaseModel] | None:
    """The model that a location inside a resource leads to; None where the API is free form."""
    model: type[BaseModel] | None = root
    parts = iter(location)
    for part in parts:
        if model is None:
            return None
        info = next((i for name, i in model.model_fields.items() if part in (i.alias, name)), None)
        if info is None:
            return None
        model, holder = sub_model(info.annotation)
        if holder:
            next(parts, None)
    return model


@cache
def all_fields(root: type[BaseModel]) -> tuple[tuple[str, str], ...]:
    """Every field below a model as (path of its parent, its own path); lists show `[]`, maps `{}`."""
    return tuple(_walk(root, ""))


def _walk(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str]]:
    for name, info in model.model_fields.items():
        own = f"{prefix}.{info.alias or name}" if prefix else (info.alias or name)
        child, holder = sub_model(info.annotation)
        yield prefix, own + holder
        if child is not None:
            yield from _walk(child, own + holder)
