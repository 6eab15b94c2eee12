"""From plain data (a parsed document) to a typed, validated resource."""

import copy
import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from lugsail.api.base import Resource
from lugsail.api.errors import FieldError, InvalidResource, join_path
from lugsail.api.kinds import KINDS, Kind
from lugsail.api.resource_warnings import warnings_for
from lugsail.api.schema_errors import from_pydantic
from lugsail.api.validation.check import check

__all__ = ["describe", "load_resource", "warnings_for"]

Location = tuple[str | int, ...]


def load_resource(data: Any, default_namespace: str = "default") -> Resource:
    """The resource that `data` (JSON-like values) describes, in `default_namespace` unless it names its own.

    Raises InvalidResource with every error of schema and meaning at once. `data` is not changed.
    """
    ref = describe(data, default_namespace)
    kind = _find_kind(data, ref)
    whole = _complete(data, default_namespace)
    try:
        resource = kind.model.model_validate(whole)
    except ValidationError as error:
        found = from_pydantic(error, kind.model)
        errors = [field_error for _, field_error in found]
        errors += _errors_of_the_rest(kind, whole, [location for location, _ in found])
        raise InvalidResource(ref, errors) from None
    errors = check(resource)
    if errors:
        raise InvalidResource(ref, errors)
    return resource


def describe(data: Any, default_namespace: str = "default") -> str:
    """How messages name a resource: `VirtualService default/reviews`; as much of it as the data gives."""
    if not isinstance(data, Mapping):
        return "document"
    kind = data.get("kind")
    metadata = data.get("metadata")
    names = metadata if isinstance(metadata, Mapping) else {}
    name, namespace = names.get("name"), names.get("namespace") or default_namespace
    shown_kind = kind if isinstance(kind, str) and kind else "resource"
    return f"{shown_kind} {namespace}/{name}" if isinstance(name, str) and name else f"{shown_kind} without a name"


def _find_kind(data: Any, ref: str) -> Kind:
    if not isinstance(data, Mapping):
        raise InvalidResource(ref, [FieldError("", "must be a mapping with apiVersion, kind, metadata and spec")])
    api_version, name = data.get("apiVersion"), data.get("kind")
    errors = [
        FieldError(field, "is required" if value is None else "must be text")
        for field, value in (("apiVersion", api_version), ("kind", name))
        if not isinstance(value, str) or not value
    ]
    if errors or not isinstance(api_version, str) or not isinstance(name, str):
        raise InvalidResource(ref, errors)
    group, _, version = api_version.rpartition("/")
    kind = KINDS.get(name)
    if kind is None or kind.group != group:
        raise InvalidResource(ref, [_unsupported(group, name)])
    if version not in kind.versions:
        right = " or ".join(f"{group}/{known}" for known in kind.versions)
        raise InvalidResource(ref, [FieldError("apiVersion", f"{group} has no version {version!r}", f"write {right}")])
    return kind


def _unsupported(group: str, name: str) -> FieldError:
    if name in KINDS:
        shown = f"of group {group}" if group else "without a group"
        return FieldError("apiVersion", f"kind {name} {shown} is not known", f"write {KINDS[name].api_version}")
    near = difflib.get_close_matches(name, KINDS, 1, 0.8)
    hint = f"did you mean {near[0]}?" if near else "supported kinds: " + ", ".join(KINDS)
    return FieldError("kind", f"kind {name} of group {group or 'core'} is not supported yet", hint)


def _complete(data: Mapping[str, Any], default_namespace: str) -> dict[str, Any]:
    whole = dict(data)
    if whole.get("spec") is None:
        whole["spec"] = {}
    metadata = whole.get("metadata")
    if isinstance(metadata, Mapping) and not metadata.get("namespace"):
        whole["metadata"] = {**metadata, "namespace": default_namespace}
    return whole


def _errors_of_the_rest(kind: Kind, whole: dict[str, Any], bad: list[Location]) -> list[FieldError]:
    """Errors of meaning in what is left when the parts that do not fit the schema are taken out."""
    rest = copy.deepcopy(whole)
    cut = {_cut(rest, location) for location in bad}
    try:
        resource = kind.model.model_validate(rest)
    except ValidationError:
        return []
    cut_paths = [join_path(location) for location in cut]
    return [
        error
        for error in check(resource)
        if not any(path.startswith(error.path) or error.path.startswith(path) for path in cut_paths)
    ]


def _cut(data: Any, location: Location) -> Location:
    """Removes the field at the location, or the innermost field around it; returns where it cut."""
    last_field = max((i for i, part in enumerate(location) if isinstance(part, str)), default=-1)
    holder = data
    for part in location[:last_field]:
        try:
            holder = holder[part]
        except (KeyError, IndexError, TypeError):
            return location
    if isinstance(holder, dict) and last_field >= 0:
        holder.pop(location[last_field], None)
    return location[: last_field + 1]
