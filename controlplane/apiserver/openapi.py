"""OpenAPI v3 of the resources, from the models themselves. Pure."""

from __future__ import annotations

from typing import Any

from lugsail.api.kinds import KINDS, Kind, kind_schema

_REF = "#/components/schemas/{model}"


def document(group: str, version: str) -> dict[str, Any] | None:
    """The OpenAPI document of one group and version; None when there is none."""
    kinds = [kind for kind in KINDS.values() if kind.group == group and version in kind.versions]
    if not kinds:
        return None
    schemas: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for kind in kinds:
        schemas.update(_schemas(kind, version))
        paths.update(_paths(kind, version))
    return {
        "openapi": "3.0.0",
        "info": {"title": f"{group}/{version}", "version": version},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def index() -> dict[str, Any]:
    """What `GET /openapi/v3` lists."""
    versions = sorted({f"apis/{kind.group}/{version}" for kind in KINDS.values() for version in kind.versions})
    return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}"} for path in versions}}


def _schemas(kind: Kind, version: str) -> dict[str, Any]:
    schema = kind_schema(kind.kind)
    # Models of different kinds may share a name, so each kind's parts carry the kind's.
    parts = schema.pop("$defs", {})
    renamed = {f"#/$defs/{name}": _REF.format(model=f"{kind.kind}.{name}") for name in parts}
    whole = {f"{kind.kind}.{name}": part for name, part in parts.items()}
    whole[kind.kind] = {
        **schema,
        "x-kubernetes-group-version-kind": [{"group": kind.group, "version": version, "kind": kind.kind}],
    }
    result = _rename(whole, renamed)
    assert isinstance(result, dict)
    return result


def _rename(node: Any, names: dict[str, str]) -> Any:
    if isinstance(node, dict):
        return {
            key: names.get(value, value) if key == "$ref" and isinstance(value, str) else _rename(value, names)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_rename(item, names) for item in node]
    return node


def _paths(kind: Kind, version: str) -> dict[str, Any]:
    whole = {"schema": {"$ref": _REF.format(model=kind.kind)}}
    content = {"content": {"application/json": whole}}
    responses = {"200": {"description": "OK", **content}}
    many = {"200": {"description": f"a {kind.kind}List, or with watch=1 a stream of events"}}
    base = f"/apis/{kind.group}/{version}"
    one = f"{base}/namespaces/{{namespace}}/{kind.plural}"
    body = {"requestBody": {"required": True, **content}}

    def parameters(*names: str) -> list[dict[str, Any]]:
        return [{"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in names]

    return {
        f"{base}/{kind.plural}": {"get": {"responses": many}},
        one: {
            "parameters": parameters("namespace"),
            "get": {"responses": many},
            "post": {**body, "responses": {"201": {"description": "Created", **content}}},
        },
        f"{one}/{{name}}": {
            "parameters": parameters("namespace", "name"),
            "get": {"responses": responses},
            "put": {**body, "responses": responses},
            "patch": {"responses": responses},
            "delete": {"responses": {"200": {"description": "Deleted"}}},
        },
    }
